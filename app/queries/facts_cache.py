"""Two layers of remembered facts, each believed only as far as PostgreSQL says in the same round trip.

In the process: the facts, and the masks that were computed from them. Below: bytes that all processes share.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from time import monotonic
from uuid import UUID

from app.core.database import Database
from app.core.metrics import FACTS_BYTES, FACTS_LOOKUPS
from app.domain.instants import EPOCH
from app.domain.plan import Window
from app.domain.slots import PlanMask
from app.ports import FactsCache
from app.queries.availability_facts import Facts, FactsAnswer, FactsQuestion, Told, ask_facts
from app.queries.facts_codec import ENCODING, decode_facts, encode_facts

RANGES_EACH = 4
"""Windows kept of one service and its people."""
MASKS_EACH = 8
COMING_WEEKS = 5
"""What is computed beforehand: this week and the four after it."""
LARGEST_SHARED_BYTES = 512_000
SHARED_PAST, SHARED_AHEAD = timedelta(days=14), timedelta(days=400)
"""Windows elsewhere are kept in the process alone: whoever asks for every week of history fills no shared memory."""
SHARE_AGAIN_S = 10.0
PUTS_AT_ONCE = 8

_WEEK = timedelta(days=7)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

Key = tuple[UUID, tuple[UUID, ...] | None]


def whole_weeks(starts: Window) -> Window:
    """The UTC weeks that a window touches, so that neighbouring windows and other zones ask for the same."""
    first = (starts.from_utc - _MONDAY) // _WEEK
    past = -((_MONDAY - starts.to_utc) // _WEEK)
    return Window(max(_MONDAY + first * _WEEK, EPOCH), _MONDAY + past * _WEEK)


def coming_weeks(now: datetime) -> Window:
    """The weeks that are computed beforehand."""
    first = _MONDAY + (now - _MONDAY) // _WEEK * _WEEK
    return Window(first, first + COMING_WEEKS * _WEEK)


def shared_key(installation_id: UUID, key: Key, starts: Window | None) -> str:
    """`starts` none: the coming weeks. Of several named people nothing is shared."""
    service_id, people = key
    who = "any" if people is None else people[0].hex
    when = "coming" if starts is None else f"{starts.from_utc:%Y%m%d}-{starts.to_utc:%Y%m%d}"
    return f"{ENCODING}:{installation_id.hex}:{service_id.hex}:{who}:{when}"


@dataclass(frozen=True, slots=True)
class KeptMasks:
    """What the engine made of facts: good from `since` until `until` (None: for good)."""

    facts: Facts
    masks: Sequence[PlanMask]
    since: datetime
    until: datetime | None

    def holds_at(self, now: datetime) -> bool:
        return self.since <= now and (self.until is None or now < self.until)

    def outdated(self, facts: Facts) -> frozenset[UUID]:
        """Whose time may be another in those facts."""
        if facts is self.facts:
            return frozenset()
        then = self.facts.versions if facts.epoch == self.facts.epoch else {}
        return frozenset(subject for subject in facts.busy if then.get(subject) != facts.versions.get(subject, -1))


MaskKey = tuple[int | None, Window, int, int]
"""Duration, the window of starts, and the service's notice in minutes and horizon in days."""


@dataclass(slots=True)
class Entry:
    """Facts of some weeks. `shared`: those that the layer below has from us, or gave us, since when."""

    facts: Facts
    bytes: int = 0
    uses: int = 0
    shared: Facts | None = None
    shared_at: float = 0.0
    masks: dict[MaskKey, KeptMasks] = field(default_factory=dict)

    def covers(self, starts: Window) -> bool:
        return self.facts.starts.from_utc <= starts.from_utc and starts.to_utc <= self.facts.starts.to_utc

    def keep_masks(self, key: MaskKey, kept: KeptMasks) -> None:
        self.masks.pop(key, None)
        while len(self.masks) >= MASKS_EACH:
            self.masks.pop(next(iter(self.masks)))
        self.masks[key] = kept


def _size(facts: Facts) -> int:
    """About how many bytes, with the masks that come later."""
    claims = sum(80 * len(one.lows) + 500 * len(one.details) + 200 for one in facts.busy.values())
    minutes = (facts.starts.to_utc - facts.starts.from_utc) // timedelta(minutes=1)
    masks = MASKS_EACH * len(facts.service.plan.offers) * minutes // 8
    return 2_000 + 5 * len(facts.text) + 150 * len(facts.versions) + claims + masks


class LocalFacts:
    """At most `limit` bytes, about; what was not asked for longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, list[Entry]] = OrderedDict()
        self.bytes = 0

    def find(self, key: Key, starts: Window) -> Entry | None:
        """One that covers the starts."""
        for entry in self._entries.get(key, ()):
            if entry.covers(starts):
                self._entries.move_to_end(key)
                return entry
        return None

    def keep(self, key: Key, entry: Entry) -> None:
        """A new one, or one that has other facts now."""
        known = self._entries.pop(key, [])
        others = [one for one in known if one is not entry and not entry.covers(one.facts.starts)]
        kept = [*others[1 - RANGES_EACH :], entry]
        self.bytes -= sum(one.bytes for one in known)
        entry.bytes = _size(entry.facts)
        self.bytes += sum(one.bytes for one in kept)
        self._entries[key] = kept
        while self.bytes > self._limit:
            _, dropped = self._entries.popitem(last=False)
            self.bytes -= sum(one.bytes for one in dropped)
        FACTS_BYTES.set(self.bytes)


class FactsReader:
    """`local_bytes` 0: nothing is kept in the process. `shared` none: nor below it."""

    def __init__(
        self, database: Database, *, local_bytes: int = 0, shared: FactsCache | None = None, shared_ttl_s: int = 900
    ) -> None:
        self._database = database
        self._local = LocalFacts(local_bytes) if local_bytes else None
        self._shared = shared
        self._shared_ttl_s = shared_ttl_s
        self._installation_id: UUID | None = None
        self._puts: set[asyncio.Task[None]] = set()

    async def read(
        self, question: FactsQuestion, now: datetime, user_id: UUID | None = None
    ) -> tuple[FactsAnswer, Entry | None]:
        """One statement: facts as they are now in PostgreSQL, and where masks made of them are kept, if they are.

        Raises NotFound, OSError and the driver's errors. A cache that fails costs time alone.
        """
        if self._local is None and self._shared is None:
            answer = await ask_facts(self._database, question, now.date(), user_id=user_id)
            return answer, None
        key: Key = (question.service_id, question.provider_ids)
        weeks = whole_weeks(question.starts)
        layer, entry = await self._find(key, question.starts, weeks, now)
        known = None if entry is None or not entry.facts.versions else entry.facts
        asked = FactsQuestion(question.service_id, question.provider_ids, weeks)
        answer = await ask_facts(self._database, asked, now.date(), user_id=user_id, known=known)
        self._installation_id = answer.installation_id
        if entry is None or answer.told is Told.WHOLE:
            entry = Entry(answer.facts)
        if layer is not None:
            FACTS_LOOKUPS.labels(layer, "hit" if answer.told is Told.UNCHANGED else "stale").inc()
        is_new = entry.uses == 0 or entry.facts is not answer.facts
        entry.facts = answer.facts
        entry.uses += 1
        if is_new and self._local is not None:
            self._local.keep(key, entry)
        self._share(key, entry, now)
        return answer, entry

    async def _find(self, key: Key, starts: Window, weeks: Window, now: datetime) -> tuple[str | None, Entry | None]:
        """From the first layer that has them, and its name."""
        if self._local is not None:
            entry = self._local.find(key, starts)
            if entry is not None:
                return "process", entry
            FACTS_LOOKUPS.labels("process", "miss").inc()
        entry = await self._find_shared(key, weeks, now)
        return (None, None) if entry is None else ("shared", entry)

    async def _find_shared(self, key: Key, weeks: Window, now: datetime) -> Entry | None:
        if self._shared is None or self._installation_id is None or not is_shared(key, weeks, now):
            return None
        names = [shared_key(self._installation_id, key, starts) for starts in (weeks, None)]
        values = await self._shared.get(names)
        outcome = "miss" if values is not None else "error"
        for name, value in zip(names, values or (), strict=False):
            if value is None:
                continue
            facts = decode_facts(name, value, now.date())
            if facts is None:
                outcome = "error"
                continue
            entry = Entry(facts, shared=facts, shared_at=monotonic())
            if entry.covers(weeks):
                return entry
        FACTS_LOOKUPS.labels("shared", outcome).inc()
        return None

    def _share(self, key: Key, entry: Entry, now: datetime) -> None:
        """Below go facts that were asked for more than once, and not with every change."""
        if self._shared is None or entry.uses < 2 or not entry.facts.versions or len(self._puts) >= PUTS_AT_ONCE:
            return
        age_s = monotonic() - entry.shared_at
        is_due = age_s > self._shared_ttl_s / 2 if entry.shared is entry.facts else age_s > SHARE_AGAIN_S
        starts = entry.facts.starts
        if (entry.shared is not None and not is_due) or not is_shared(key, starts, now):
            return
        assert self._installation_id is not None
        entry.shared, entry.shared_at = entry.facts, monotonic()
        name = shared_key(self._installation_id, key, None if starts == coming_weeks(now) else starts)
        task = asyncio.create_task(self._put(self._shared, name, entry.facts))
        self._puts.add(task)
        task.add_done_callback(self._puts.discard)

    async def _put(self, shared: FactsCache, name: str, facts: Facts) -> None:
        value = encode_facts(name, facts)
        if len(value) <= LARGEST_SHARED_BYTES:
            await shared.put(name, value, self._shared_ttl_s)

    async def close(self) -> None:
        """Lets what is on its way arrive."""
        if self._puts:
            await asyncio.wait(self._puts)


def is_shared(key: Key, starts: Window, now: datetime) -> bool:
    """Anyone's and one person's facts, of weeks that people look at."""
    people = key[1]
    is_near = now - SHARED_PAST <= starts.from_utc and starts.to_utc <= now + SHARED_AHEAD
    return is_near and (people is None or len(people) == 1)


class Precomputed(StrEnum):
    """The values are labels of metrics."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    TOO_LARGE = "too_large"
    FAILED = "failed"


async def precompute(
    database: Database, shared: FactsCache, ttl_s: int, *, installation_id: UUID, key: Key, now: datetime
) -> Precomputed:
    """Puts the facts of the coming weeks where every process finds them, unless they are there as they are now.

    One statement. FAILED: the cache does not answer. Raises NotFound, OSError and the driver's errors.
    """
    weeks = coming_weeks(now)
    name = shared_key(installation_id, key, None)
    values = await shared.get([name])
    if values is None:
        return Precomputed.FAILED
    known = None if values[0] is None else decode_facts(name, values[0], now.date())
    if known is not None and known.starts != weeks:
        known = None
    answer = await ask_facts(database, FactsQuestion(*key, weeks), now.date(), known=known)
    if answer.told is Told.UNCHANGED and await shared.keep(name, ttl_s):
        return Precomputed.UNCHANGED
    value = encode_facts(name, answer.facts)
    if len(value) > LARGEST_SHARED_BYTES:
        return Precomputed.TOO_LARGE
    return Precomputed.WRITTEN if await shared.put(name, value, ttl_s) else Precomputed.FAILED
