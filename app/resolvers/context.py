"""What a resolver may use: who asks, the database, the ports and the loaders of this one operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID
from weakref import WeakValueDictionary

from app.checkout.scope import Checkout
from app.commands.actor import Actor
from app.core.database import Database, Tx
from app.core.tokens import TokenSigner
from app.domain.errors import BadInput, Unauthenticated
from app.domain.price_quote import NO_FEES, FeeRates
from app.ports import EventStream, RateLimiter, ShiftedClock
from app.queries.facts_cache import FactsReader
from app.queries.tenancy import Door, Tenancy, bind, enter

if TYPE_CHECKING:
    from app.resolvers.event_feed import EventFeed
    from app.resolvers.live_hub import LiveHub
    from app.resolvers.live_presence import PresenceChannel, PresenceWanted
    from app.resolvers.loaders import Loaders
    from app.resolvers.presence import Presence
    from app.resolvers.slot_channel import SlotChannel
    from app.resolvers.slot_watch import Wanted

SLOTS_AT_ONCE = 6_000
"""Most slots in one answer: 62 days of every quarter of an hour. More would hold up everybody else's requests."""
OFFERS_AT_ONCE = 5_000
"""Most offers whose first free slot one operation asks for: a second of work, beside everybody else's."""
READS_AT_ONCE = 4
"""Sibling fields run at once; one request may not take the whole pool."""


@dataclass(frozen=True, slots=True)
class BookingPolicy:
    """Settings that decide. Limits of 0 mean none."""

    hold_ttl: timedelta
    hold_limit_per_user: int
    hold_limit_per_address: int
    sign_in_limit: int
    sign_in_limit_per_address: int
    sign_up_limit: int
    promo_guess_limit_per_address: int
    booking_lookup_limit: int
    booking_lookup_limit_per_address: int
    guest_session_limit: int
    guest_session_ttl: timedelta
    guest_session_longest: timedelta
    public_url: str
    platform_fees: FeeRates = NO_FEES
    waitlist_limit_per_address: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """Made once for each process by the composition root."""

    database: Database
    facts: FactsReader
    clock: ShiftedClock
    tokens: TokenSigner
    stream: EventStream
    limiter: RateLimiter
    feed: EventFeed
    policy: BookingPolicy
    checkout: Checkout
    live: LiveHub
    presence: Presence
    slot_channels: WeakValueDictionary[tuple[Wanted, frozenset[UUID]], SlotChannel] = field(
        default_factory=WeakValueDictionary
    )
    """Those that somebody listens to, by what is looked at."""
    presence_channels: WeakValueDictionary[PresenceWanted, PresenceChannel] = field(default_factory=WeakValueDictionary)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in person."""

    user_id: UUID
    expires_at: datetime


@dataclass(slots=True)
class RequestContext:
    """One operation. Over a socket each operation gets its own, and each event of a subscription another."""

    services: Services
    request_id: str
    viewer: Viewer | None = None
    address: str | None = None
    limit_key: str | None = None
    """What limits of one network address count by: `address`, or the IPv6 network that one household has."""
    user_agent: str | None = None
    channel: str = "api"
    idempotency_key: str | None = None
    slots_left: int = SLOTS_AT_ONCE
    offers_left: int = field(default_factory=lambda: OFFERS_AT_ONCE)
    searches_made: int = 0
    _loaders: Loaders | None = None
    _reads: asyncio.Semaphore | None = None

    @property
    def loaders(self) -> Loaders:
        """Made when they are first asked for: many operations need none."""
        if self._loaders is None:
            from app.resolvers.loaders import Loaders  # noqa: PLC0415 (loaders read through this context)

            self._loaders = Loaders(self)
        return self._loaders

    def for_event(self) -> RequestContext:
        """A fresh one for one event of a subscription, so that no loader serves old values."""
        return RequestContext(
            services=self.services,
            request_id=self.request_id,
            viewer=self.viewer,
            address=self.address,
            limit_key=self.limit_key,
            user_agent=self.user_agent,
            channel=self.channel,
        )

    def stay(self) -> Callable[[], None] | None:
        """Somebody's socket is open: call what comes back when it ends."""
        return None if self.viewer is None else self.services.presence.stay(self.viewer.user_id)

    @property
    def expires_at(self) -> datetime | None:
        """When a socket that carries this sign-in must end."""
        return self.viewer.expires_at if self.viewer else None

    @property
    def user_id(self) -> UUID | None:
        return self.viewer.user_id if self.viewer else None

    @property
    def rights(self) -> UUID | None:
        """With equal ones the same is seen, access tokens apart: those are among an operation's variables."""
        return self.user_id

    def spend_slots(self, count: int) -> None:
        """Count the slots of this operation's answer. Raises BadInput when they become too many."""
        self.slots_left -= count
        if self.slots_left < 0:
            raise BadInput.at(
                "input.to", f"asks for more than {SLOTS_AT_ONCE} slots in one request: take fewer days or providers"
            )

    def spend_offers(self, count: int) -> None:
        """Count the offers whose first free slot this operation asks for. Raises BadInput when they become too many."""
        self.offers_left -= count
        if self.offers_left < 0:
            raise BadInput.at(
                "filter.availability",
                f"asks for the free times of more than {OFFERS_AT_ONCE} services in one request: narrow the search, or "
                "ask for days within the next nine weeks, which are kept ready",
            )

    def take_searches(self, wanted: int, most: int) -> int:
        """How many of these searches for alternatives this operation may make, of `most` in all: they count as made."""
        taken = max(0, min(wanted, most - self.searches_made))
        self.searches_made += taken
        return taken

    def now(self) -> datetime:
        return self.services.clock.now()

    def require_viewer(self) -> Viewer:
        """Raises Unauthenticated."""
        if self.viewer is None:
            raise Unauthenticated
        return self.viewer

    def actor(self, name: str) -> Actor:
        return Actor(name, self.user_id, self.channel, self.address, self.user_agent, self.request_id)

    def reading(self) -> asyncio.Semaphore:
        """Enter it around a read of one's own: one request may not take the whole pool."""
        if self._reads is None:
            self._reads = asyncio.Semaphore(READS_AT_ONCE)
        return self._reads

    @asynccontextmanager
    async def read(self, door: Door, name: UUID | str) -> AsyncIterator[tuple[Tx, Tenancy]]:
        """A read-only snapshot inside the organization that `name` belongs to. Raises NotFound."""
        async with self.reading(), self.services.database.snapshot() as tx:
            yield tx, await enter(tx, door, name, user_id=self.user_id, clock_offset=self.services.clock.offset)

    @asynccontextmanager
    async def read_bound(self, organization_id: UUID | None) -> AsyncIterator[Tx]:
        """A read-only snapshot inside a known organization, or in the viewer's own rows alone."""
        async with self.reading(), self.services.database.snapshot() as tx:
            await bind(
                tx,
                organization_id=organization_id,
                user_id=self.user_id,
                clock_offset=self.services.clock.offset,
            )
            yield tx
