"""What the clients of this process look at and who of them is signed in, exchanged with the other processes.

It costs nothing while nobody is there, one small question a turn while nobody anywhere asks, and is kept nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog

from app.core.chance import between
from app.core.ids import new_id
from app.domain.presence import ONLINE, Look
from app.ports import PresenceBoard

log = structlog.get_logger(__name__)

ACCOUNTS_LIMIT = 10_000
"""Of whom it is remembered that they were here a moment ago."""

Counts = Mapping[UUID, Mapping[str, int]]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class PresenceRules:
    """Turns are `beat_s` apart. Whoever left stays online for `linger_s`.

    A client is told at most every `tell_s`, and up to `jitter_s` later: nobody can tell who came when.
    """

    beat_s: float = 3.0
    linger_s: float = 60.0
    tell_s: float = 10.0
    jitter_s: float = 5.0
    is_blurred: bool = True


class Presence:
    """One for each process."""

    def __init__(self, board: PresenceBoard, rules: PresenceRules | None = None) -> None:
        self.rules = rules or PresenceRules()
        self.counts: Counts | None = None
        """Of all processes, of what is asked about here; none: not known."""
        self.shown: Callable[[], Iterable[tuple[Look, int]]] = lambda: ()
        """What else is looked at here, and by how many: asked for at each turn. Who has it calls `wake`."""
        self._board = board
        self._process_id = new_id()
        self._looks: Counter[Look] = Counter()
        self._staying: Counter[UUID] = Counter()
        self._seen_at: OrderedDict[UUID, float] = OrderedDict()
        self._asked: Counter[UUID] = Counter()
        self._told: frozenset[UUID] = frozenset()
        self._turned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # ── who is here ───────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def looking(self, look: Look | None) -> Iterator[None]:
        """Somebody looks at this inside the block."""
        leave = self.enter(look)
        try:
            yield
        finally:
            leave()

    def enter(self, look: Look | None) -> Callable[[], None]:
        """The same without a block: call what comes back when they look away, once."""
        if look is None:
            return _nothing
        self._looks[look] += 1
        self.wake()
        return lambda: _take_one(self._looks, look)

    def stay(self, account_id: UUID) -> Callable[[], None]:
        """Somebody signed in has a socket open: call what comes back when it ends, once."""
        self._staying[account_id] += 1
        self.wake()

        def leave() -> None:
            _take_one(self._staying, account_id)
            self.note(account_id)

        return leave

    def note(self, account_id: UUID) -> None:
        """Somebody signed in was here just now."""
        self._seen_at[account_id] = time.monotonic()
        self._seen_at.move_to_end(account_id)
        while len(self._seen_at) > ACCOUNTS_LIMIT:
            self._seen_at.popitem(last=False)
        self.wake()

    # ── who asks ──────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def asking(self, subjects: Collection[UUID]) -> Iterator[None]:
        """`counts` has these, a turn or two after the block begins."""
        self._asked.update(subjects)
        self.wake()
        try:
            yield
        finally:
            for subject in subjects:
                _take_one(self._asked, subject)

    async def turn(self) -> None:
        """Until the next exchange with the other processes is over."""
        await self._turned.wait()

    # ── turns ─────────────────────────────────────────────────────────────────────────────────────────

    def wake(self) -> None:
        """There may be something to tell."""
        if self._task is None:
            with suppress(RuntimeError):  # no loop: nobody could ask
                self._task = asyncio.get_running_loop().create_task(self._run(), name="presence")

    async def stop(self) -> None:
        """Take back what was noted, as far as the board answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._told:
            await self._board.tell(self._process_id, self._cleared())

    async def _run(self) -> None:
        """While anybody is here."""
        while self._is_needed():
            try:
                await self._exchange()
            except Exception as error:  # never an error for anybody else
                log.error("presence.failed", exc_info=error)
                self.counts = None
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()
            await asyncio.sleep(self.rules.beat_s * between(0.8, 1.2))  # so that processes drift apart
        self.counts, self._task = None, None

    def _is_needed(self) -> bool:
        return bool(self._staying or self._asked or self._told or self._lingering() or self._all_looks())

    def _lingering(self) -> list[UUID]:
        """Those who were here a moment ago; the others are forgotten."""
        past = time.monotonic() - self.rules.linger_s
        while self._seen_at and next(iter(self._seen_at.values())) <= past:
            self._seen_at.popitem(last=False)
        return list(self._seen_at)

    async def _exchange(self) -> None:
        mine, accounts = frozenset(self._asked), {*self._staying, *self._lingering()}
        looks = self._all_looks()
        here = accounts.union(*(look.subjects for look in looks))
        asked = await self._board.asked(mine, here)
        if asked is None:
            self.counts, self._told = None, frozenset()
            return
        counts = self._of(asked, accounts, looks)
        if counts or self._told:
            taken = await self._board.tell(self._process_id, {**self._cleared(), **counts})
            self._told = frozenset(counts) if taken else self._told
        self.counts = await self._board.read(mine) if mine else None

    def _all_looks(self) -> Mapping[Look, int]:
        looks = Counter(self._looks)
        for look, count in self.shown():
            looks[look] += count
        return looks

    def _cleared(self) -> dict[UUID, dict[str, int]]:
        """What was told before, gone."""
        return {subject: {} for subject in self._told}

    def _of(self, asked: frozenset[UUID], accounts: set[UUID], looks: Mapping[Look, int]) -> dict[UUID, dict[str, int]]:
        """What there is to tell of these."""
        found: dict[UUID, dict[str, int]] = {account_id: {ONLINE: 1} for account_id in accounts & asked}
        for look, count in looks.items():
            for subject in look.subjects & asked:
                texts = found.setdefault(subject, {})
                for text in look.texts():
                    texts[text] = texts.get(text, 0) + count
        return found


def _take_one(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]


def _nothing() -> None:
    """Nobody came, so nobody leaves."""
