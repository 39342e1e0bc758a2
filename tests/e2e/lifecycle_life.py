"""One example: a shop, its people, what they were promised, and a check after each step.

Operations are methods with small numbers as arguments, so that Hypothesis can choose and shrink them, and so that many
tasks with random numbers can do the same at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from app.domain.errors import DomainError
from app.resolvers.context import RequestContext
from tests.e2e.lifecycle_invariants import faults_of
from tests.e2e.lifecycle_promises import Intent, broken_promises
from tests.e2e.lifecycle_rows import Reader, Row, Rows, instant
from tests.e2e.lifecycle_template import Ground
from tests.e2e.lifecycle_world import World
from tests.shop import Person

F = TypeVar("F", bound=Callable[..., Awaitable[None]])
T = TypeVar("T")

GRID = timedelta(minutes=15)
SOON = (1, 2, 3, 13, 14, 15)
"""Starts that are chosen from, in steps of the grid: too late to cancel, and early enough."""
MOST_ARGUMENTS = 5
MOST = 60
"""Numbers are 0 … 59: a multiple of what the ranges are."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`often`: how many times as often as what is rare. `ranges`: each argument is 0 … n-1. `needs`: a list of the
    life that must not be empty; while it is, `instead` is done."""

    name: str
    often: int
    ranges: dict[str, int]
    needs: str | None
    instead: str

    def arguments(self, numbers: Sequence[int]) -> dict[str, int]:
        """Each number made small enough."""
        return {name: number % most for (name, most), number in zip(self.ranges.items(), numbers, strict=False)}


def operation(often: int = 1, needs: str | None = None, instead: str = "book_time", **ranges: int) -> Callable[[F], F]:
    """Marks a method that a machine may call. See Operation."""
    assert len(ranges) <= MOST_ARGUMENTS
    assert all(MOST % most == 0 for most in ranges.values()), "not all would be as likely"

    def mark(method: F) -> F:
        method.operation = Operation(method.__name__, often, ranges, needs, instead)  # type: ignore[attr-defined]
        return method

    return mark


def operations_of(kind: type) -> dict[str, Operation]:
    """By name."""
    found = {name: getattr(getattr(kind, name), "operation", None) for name in dir(kind)}
    return {name: one for name, one in found.items() if one is not None}


@dataclass(frozen=True, slots=True)
class Held:
    """A hold, its secret, and whose it is (none: a guest's)."""

    hold_id: UUID
    token: str
    by: Person | None


@dataclass(frozen=True, slots=True)
class Made:
    """A booking and its secret link."""

    booking_id: UUID
    token: str

    @property
    def key(self) -> str:
        return str(self.booking_id)


@dataclass
class Life:
    """`held`, `made`: what its people believe they have; some of it may have run out."""

    world: World
    ground: Ground
    reader: Reader
    rows: Rows
    held: list[Held] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    promises: dict[str, Row] = field(default_factory=dict)
    """By booking: columns that nobody but the customer and the staff who act on it may change."""
    intent: Intent = field(default_factory=Intent)
    is_checked: bool = True
    """Alone, each step is looked at; where many act, only the end is."""

    def possible(self, one: Operation) -> Operation:
        """Where there is nothing to do it to, something else that helps."""
        is_possible = one.needs is None or bool(getattr(self, one.needs))
        return one if is_possible else getattr(self, one.instead).operation

    async def step(self, one: Operation, numbers: Sequence[int]) -> list[str]:
        """What is wrong after it. Any error but a refusal goes on."""
        self.world.pass_time()
        self.intent = Intent()
        refusal = None
        try:
            await getattr(self, one.name)(**one.arguments(numbers))
        except DomainError as error:
            refusal = error
        self.world.seen[_outcome(one, refusal)] += 1
        if not self.is_checked:
            return []
        before, self.rows = self.rows, await self.reader.read(self.world.now())
        self.intent.refusal = refusal
        broken = broken_promises(before, self.rows, self.intent, self.promises)
        return [*faults_of(self.rows), *broken, *self.own_faults(before)]

    def own_faults(self, before: Rows) -> Iterator[str]:  # noqa: ARG002 (for those that have some)
        """What else is wrong after a step, for those who know more of it. `before`: the rows of then."""
        yield from ()

    # ── who asks ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def owner(self) -> RequestContext:
        return self.world.context(self.ground.owner)

    def person(self, number: int) -> Person | None:
        """A guest, a customer with an account, the owner at the desk."""
        return (None, self.ground.account, self.ground.owner)[number]

    def asking(self, made: Made, who: int) -> tuple[RequestContext, str | None]:
        """The customer by the secret link, or the owner."""
        return (self.owner, None) if who else (self.world.context(None), made.token)

    # ── what they have, as it was before this step ────────────────────────────────────────────────────

    def row_of(self, made: Made) -> Row:
        return self.rows.bookings.get(made.key, {})

    def made_in(self, statuses: Container[str]) -> list[Made]:
        return [one for one in self.made if self.row_of(one).get("status") in statuses]

    @property
    def waiting(self) -> list[Made]:
        """Those that can still be paid."""
        return self.made_in({"pending", "payment_failed"})

    @property
    def coming(self) -> list[Made]:
        """Those that are served some day."""
        return self.made_in({"awaiting_provider", "confirmed", "checked_in", "in_progress"})

    @property
    def timed(self) -> list[Made]:
        """Of those the ones of time."""
        return [one for one in self.coming if self.row_of(one)["session_id"] is None]

    @property
    def placed(self) -> list[Made]:
        """And of places."""
        return [one for one in self.coming if self.row_of(one)["session_id"] is not None]

    @property
    def shut(self) -> list[Row]:
        """Sessions that nobody can book."""
        return [one for one in self.sessions() if one["status"] != "open"]

    # ── choosing ──────────────────────────────────────────────────────────────────────────────────────

    def start(self, number: int) -> datetime:
        """On the grid, soon or in some hours."""
        now = self.world.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + ((now - midnight) // GRID + SOON[number]) * GRID

    def sessions(self) -> list[Row]:
        """Those that have not begun, by start: of the first activity one, again the same, the next; one of the other.

        Few, so that much happens to each.
        """
        now = self.world.now()
        coming = sorted(
            (one for one in self.rows.sessions.values() if instant(one["starts_at"]) > now),
            key=lambda one: (one["starts_at"], one["id"]),
        )
        first, second = ([one for one in coming if one["activity_id"] == str(each)] for each in self.ground.activities)
        return [*first[:1], *first[:2], *second[:1]]

    def session(self, number: int) -> UUID:
        """Raises NothingToDo."""
        return UUID(pick(self.sessions(), number)["id"])

    def promise(self, booking_id: UUID, **columns: Any) -> None:
        """From now on these columns are so."""
        kept = self.promises.setdefault(str(booking_id), {})
        kept |= {name: str(value) if isinstance(value, UUID) else value for name, value in columns.items()}


class NothingToDo(DomainError):
    """The operation has nothing that it could be done to."""

    def __init__(self) -> None:
        super().__init__("nothing to do")


def pick(choice: list[T], number: int) -> T:
    """Raises NothingToDo where there is nothing to choose from."""
    if not choice:
        raise NothingToDo
    return choice[number % len(choice)]


def forget(kept: list[T], one: T) -> None:
    """Somebody else may have done so before."""
    if one in kept:
        kept.remove(one)


def _outcome(one: Operation, refusal: DomainError | None) -> str:
    if refusal is None:
        return one.name
    detail = getattr(refusal, "rule", None) or getattr(refusal, "reason", None)
    return f"{one.name}: {type(refusal).__name__}" + ("" if detail is None else f" {detail}")
