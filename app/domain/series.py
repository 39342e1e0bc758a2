"""A series of bookings: what becomes of each of its dates, and the refusals that name dates."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.domain.busy import Busy
from app.domain.errors import DomainError
from app.domain.instants import day_bounds, local_date
from app.domain.plan import ProviderPlan, Refusal, Slot, SlotRules, UnavailableReason, Window, horizon_end
from app.domain.slots import nearest_slots

ALTERNATIVES = 3
"""For one date; there may be many dates."""
PEOPLE_FOR_ALTERNATIVES = 5
REACH = timedelta(days=7)
"""How far from its date an alternative may lie, where that day has none."""
CLOSE = timedelta(days=10)
"""Claims further away say nothing about a start: limits count weeks, and no claim reaches further than four days."""


class SeriesScope(StrEnum):
    """Which dates of a series are meant, from one of them."""

    ONE = "one"
    THIS_AND_FOLLOWING = "this_and_following"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class SeriesDate:
    """The verdict on one date: free (who gives it, or which session, and the price), or why not and what there is."""

    index: int
    starts_at: datetime
    ends_at: datetime
    refusal: Refusal | None = None
    provider_id: UUID | None = None
    session_id: UUID | None = None
    price_minor: int | None = None
    alternatives: tuple[Slot, ...] = ()


class SeriesConflict(DomainError):
    """Some dates cannot be had, and so nothing was done."""

    def __init__(self, dates: Sequence[SeriesDate], of: int, currency: str) -> None:
        super().__init__(f"{len(dates)} of {of} dates cannot be had, so nothing was changed.")
        self.dates = tuple(dates)
        self.currency = currency


class PriceChanged(DomainError):
    """The dates cost something else than what was expected."""

    def __init__(self, total_minor: int, currency: str) -> None:
        super().__init__("The price has changed since you saw it. Look at the plan again.")
        self.total_minor = total_minor
        self.currency = currency


@dataclass(frozen=True, slots=True)
class RefusedChange:
    """A booking of a series that may not be changed so any more. `rule` as of NotAllowed."""

    index: int
    booking_id: UUID
    starts_at: datetime
    rule: str
    message: str


class SeriesNotAllowed(DomainError):
    """Some bookings may not be changed so by the one who asks, and so none was."""

    def __init__(self, refused: Sequence[RefusedChange]) -> None:
        super().__init__(f"{len(refused)} of the bookings cannot be changed so any more: nothing was changed.")
        self.refused = tuple(refused)


# ── what is taken ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Taken:
    """Of one subject, by start. Those that are long (time off of weeks) are few, and looked at each time."""

    starts: list[datetime] = field(default_factory=list)
    claims: list[Busy] = field(default_factory=list)
    long: list[Busy] = field(default_factory=list)


class Calendar:
    """Who is busy when over a long time, asked about one start after another."""

    def __init__(self, busy: Mapping[UUID, Iterable[Busy]]) -> None:
        self._taken: dict[UUID, _Taken] = {}
        for subject, claims in busy.items():
            taken = self._taken.setdefault(subject, _Taken())
            for claim in sorted(claims, key=lambda one: one.busy_from):
                if claim.busy_to - claim.busy_from > CLOSE / 2:
                    taken.long.append(claim)
                else:
                    taken.starts.append(claim.busy_from)
                    taken.claims.append(claim)

    def near(self, subjects: Iterable[UUID], starts_at: datetime) -> dict[UUID, list[Busy]]:
        """All that matters for a start, and for those a week from it."""
        found: dict[UUID, list[Busy]] = {}
        for subject in subjects:
            taken = self._taken.get(subject)
            if taken is not None:
                low = bisect_left(taken.starts, starts_at - REACH - CLOSE)
                high = bisect_left(taken.starts, starts_at + REACH + CLOSE)
                found[subject] = [*taken.long, *taken.claims[low:high]]
        return found

    def take(self, plan: ProviderPlan, starts_at: datetime) -> None:
        """A date that the series itself takes."""
        ends_at = starts_at + timedelta(minutes=plan.duration_minutes)
        busy_from = starts_at - timedelta(minutes=plan.buffer_before)
        claim = Busy(busy_from, ends_at + timedelta(minutes=plan.buffer_after), starts_at=starts_at, ends_at=ends_at)
        taken = self._taken.setdefault(plan.provider_id, _Taken())
        insort(taken.starts, busy_from)
        taken.claims.insert(bisect_left(taken.starts, busy_from), claim)


def alternatives(
    plans: Sequence[ProviderPlan], calendar: Calendar, starts_at: datetime, rules: SlotRules
) -> tuple[Slot, ...]:
    """The free slots nearest to a start that cannot be had: of its own local day, else of the week on both sides."""
    people = plans[:PEOPLE_FOR_ALTERNATIVES]
    if not people:
        return ()
    tz = people[0].time_zone
    earliest = rules.now + timedelta(minutes=rules.notice_minutes)
    latest = horizon_end(rules, tz)
    subjects = {subject for plan in people for subject in plan.subjects()}
    near = calendar.near(subjects, starts_at)
    for low, high in (day_bounds(local_date(starts_at, tz), tz), (starts_at - REACH, starts_at + REACH)):
        window = Window(max(low, earliest), min(high, latest))
        if window.from_utc >= window.to_utc:
            continue
        found = nearest_slots(people, near, window, rules, instant=starts_at, count=ALTERNATIVES + 1)
        elsewhere = [slot for slot in found if slot.starts_at != starts_at][:ALTERNATIVES]
        if elsewhere:
            return tuple(elsewhere)
    return ()


def skipped_by_clocks(shown: str) -> Refusal:
    """Of a wall-clock time that a day does not have."""
    return Refusal(UnavailableReason.CLOSED, f"Clocks go forward over {shown} on this day.")
