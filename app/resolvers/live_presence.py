"""Presence, live: which providers are online, and about how many people look at their days.

It has no history: whoever comes back takes what is now. What is told is late by some seconds, never exact, and never
more than there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID

from app.core.chance import between
from app.core.tokens import TokenSigner
from app.domain.errors import BadInput, NotFound
from app.domain.presence import (
    ASKED_DAYS,
    ASKED_PROVIDERS,
    ONLINE,
    Person,
    PersonPresence,
    ViewerRange,
    range_of,
    viewers,
)
from app.ports import StreamUnavailable
from app.queries.presence import list_people
from app.queries.tenancy import Door
from app.queries.venue import get_venue
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import EventKind
from app.resolvers.live_channel import Listener
from app.resolvers.presence import Counts

READ_AGAIN_S = 60.0
"""How long whoever is there is taken to be there still, where nothing else changes."""
BLUR_S = 600
"""For so long the same number is blurred the same way."""


@dataclass(frozen=True, slots=True)
class PresenceWanted:
    """Of some providers, or of all of a venue, on these days of theirs, both included."""

    provider_ids: tuple[UUID, ...] | None
    venue_id: UUID | None
    first: date
    last: date

    def check(self) -> None:
        """Raises BadInput."""
        days = (self.last - self.first).days + 1
        if days < 1:
            raise BadInput.at("input.to", "must not be before `from`")
        if days > ASKED_DAYS:
            raise BadInput.at("input.to", f"asks for {days} days; at most {ASKED_DAYS} at once")
        if self.provider_ids is not None and not self.provider_ids:
            raise BadInput.at("input.providerIds", "must name somebody, or give a venueId instead")

    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class PresenceUpdate:
    """CHANGE: only those of whom something else is told now. Nobody of `gone` is there to be asked about any more."""

    kind: EventKind
    people: tuple[PersonPresence, ...]
    gone: tuple[UUID, ...] = ()


async def read_people(context: RequestContext, wanted: PresenceWanted) -> list[Person]:
    """Raises NotFound, also where one of several is not there; BadInput for a venue with too many."""
    if wanted.venue_id is not None:
        async with context.read(Door.VENUE, wanted.venue_id) as (tx, _):
            await get_venue(tx, wanted.venue_id, for_staff=False)
            people = await list_people(tx, venue_id=wanted.venue_id, limit=ASKED_PROVIDERS + 1)
        if len(people) > ASKED_PROVIDERS:
            raise BadInput.at("input.venueId", f"has more than {ASKED_PROVIDERS} providers: name some of them")
        return people
    assert wanted.provider_ids is not None
    async with context.read(Door.PROVIDER, wanted.provider_ids[0]) as (tx, _):
        people = await list_people(tx, provider_ids=wanted.provider_ids, limit=ASKED_PROVIDERS)
    if not people:
        raise NotFound
    return people


async def presence_channel(context: RequestContext, wanted: PresenceWanted) -> PresenceChannel:
    """One for all who ask for the same. Raises BadInput, NotFound."""
    wanted.check()
    people = await read_people(context, wanted)
    if wanted.provider_ids is not None and len(people) < len(wanted.provider_ids):
        raise NotFound
    channels = context.services.presence_channels
    channel = channels.get(wanted)
    if channel is None:
        channel = channels[wanted] = PresenceChannel(context.services.live.reader(context.services), wanted)
    return channel


class PresenceChannel:
    """A Channel of PresenceUpdate. Runs while somebody listens."""

    def __init__(self, context: RequestContext, wanted: PresenceWanted) -> None:
        self._context = context
        self._wanted = wanted
        self._listeners: set[Listener[PresenceUpdate]] = set()
        self._shown: dict[UUID, PersonPresence] | None = None
        self._snapshot: PresenceUpdate | None = None
        self._joining = 0
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None

    @property
    def is_public(self) -> bool:
        """It is read as by a guest."""
        return True

    async def join(self, listener: Listener[PresenceUpdate], after: str | None) -> Sequence[PresenceUpdate]:
        """Raises BadInput for a cursor: there is no history."""
        if after is not None:
            raise BadInput.at("after", "is no cursor of ours: presence has none")
        self._joining += 1
        try:
            if self._task is None:
                self._ready = asyncio.get_running_loop().create_future()
                self._ready.add_done_callback(lambda done: done.cancelled() or done.exception())
                self._task = asyncio.create_task(self._run(self._ready), name="presence channel")
            assert self._ready is not None
            await asyncio.shield(self._ready)
            snapshot = self._whole()
            self._listeners.add(listener)
            return [snapshot]
        finally:
            self._joining -= 1
            self._stop_if_unused()

    def leave(self, listener: Listener[PresenceUpdate]) -> None:
        self._listeners.discard(listener)
        self._stop_if_unused()

    def merge(self, earlier: PresenceUpdate, later: PresenceUpdate) -> PresenceUpdate:
        people = {person.provider_id: person for person in (*earlier.people, *later.people)}
        gone = {*earlier.gone, *later.gone} - {person.provider_id for person in later.people}
        left = tuple(person for id_, person in people.items() if id_ not in gone)
        return PresenceUpdate(earlier.kind, left, tuple(sorted(gone)))

    def resync(self) -> PresenceUpdate:
        return replace(self._whole(), kind=EventKind.RESYNC)

    def _whole(self) -> PresenceUpdate:
        """The same object for all who join until something changes. Raises StreamUnavailable: it ended meanwhile."""
        if self._shown is None:
            raise StreamUnavailable("the channel has ended")
        if self._snapshot is None:
            self._snapshot = PresenceUpdate(EventKind.SNAPSHOT, tuple(self._shown.values()))
        return self._snapshot

    def _stop_if_unused(self) -> None:
        if not self._listeners and not self._joining and self._task is not None:
            self._task.cancel()
            self._forget()

    def _forget(self) -> None:
        self._task = self._ready = self._shown = self._snapshot = None

    # ── running ───────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            people = await read_people(self._context, self._wanted)
            self._shown = self._see(people, None)
            ready.set_result(None)
            while True:
                people = await self._ask_about(people)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self._ready is ready:  # else nobody waits for this one any more
                self._end(ready, error)

    def _end(self, ready: asyncio.Future[None], error: Exception) -> None:
        self._forget()
        if not ready.done():
            ready.set_exception(error)
        listeners, self._listeners = self._listeners, set()
        for listener in listeners:
            listener.ended(error)

    async def _ask_about(self, people: list[Person]) -> list[Person]:
        """Tell what is heard of them, until they are others; who they are then."""
        presence, loop = self._context.services.presence, asyncio.get_running_loop()
        rules, read_at = presence.rules, loop.time()
        with presence.asking({subject for person in people for subject in person.subjects}):
            await presence.turn()  # in the next one, the other processes have heard of the question
            while True:
                await presence.turn()
                is_other = self._see(people, presence.counts) != self._shown
                if is_other or loop.time() - read_at >= READ_AGAIN_S:
                    # Whoever is told of has to be there still, and may have changed their mind.
                    now_there, read_at = await read_people(self._context, self._wanted), loop.time()
                    self._tell(self._see(now_there, presence.counts))
                    if now_there != people:
                        return now_there
                    await asyncio.sleep(rules.tell_s + between(0, rules.jitter_s))

    def _tell(self, seen: dict[UUID, PersonPresence]) -> None:
        before = self._shown or {}
        people = tuple(person for id_, person in seen.items() if before.get(id_) != person)
        gone = tuple(id_ for id_ in before if id_ not in seen)
        self._shown = seen
        if not (people or gone):
            return
        self._snapshot = None
        update = PresenceUpdate(EventKind.CHANGE, people, gone)
        for listener in list(self._listeners):
            listener.told(update)

    def _see(self, people: Sequence[Person], counts: Counts | None) -> dict[UUID, PersonPresence]:
        days = self._wanted.days()
        return {person.provider_id: self._see_one(person, days, counts) for person in people}

    def _see_one(self, person: Person, days: Sequence[date], counts: Counts | None) -> PersonPresence:
        if counts is None:
            return PersonPresence(person.provider_id, None, tuple((day, None) for day in days))
        account_id = person.account_id
        is_online = None if account_id is None else counts.get(account_id, {}).get(ONLINE, 0) > 0
        ranges = tuple((day, self._range(person, day, counts)) for day in days)
        return PersonPresence(person.provider_id, is_online, ranges)

    def _range(self, person: Person, day: date, counts: Counts) -> ViewerRange:
        count = viewers(counts, person.looked_at, day)
        services = self._context.services
        if services.presence.rules.is_blurred and count:
            count -= _blur(services.tokens, person.provider_id, day, self._context.now().timestamp())
        return range_of(count)


def _blur(tokens: TokenSigner, provider_id: UUID, day: date, now: float) -> int:
    """One less, or not: who brings company to the edge of a range does not learn of the next one who comes."""
    return int(tokens.coin(provider_id, day.toordinal(), int(now) // BLUR_S))
