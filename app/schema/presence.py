"""Who is there: providers that are online, and about how many people look at their days."""

from __future__ import annotations

from collections.abc import AsyncIterable
from datetime import date

import strawberry

from app.core.ids import IdKind
from app.domain.errors import BadInput
from app.domain.presence import ASKED_PROVIDERS, PersonPresence
from app.domain.presence import ViewerRange as Range
from app.resolvers.live_availability import EventKind
from app.resolvers.live_channel import LiveStream
from app.resolvers.live_presence import PresenceUpdate, PresenceWanted, presence_channel
from app.schema.ids import public_id, read_id, read_ids
from app.schema.info import Ctx


@strawberry.input(description="Of some providers (at most 50), or of all at a venue. Days: at most 14.")
class PresenceInput:
    venue_id: strawberry.ID | None = None
    provider_ids: list[strawberry.ID] | None = None
    from_: date = strawberry.field(name="from", description="A day of the providers, not of the customer.")
    to: date = strawberry.field(description="Included.")

    def to_wanted(self) -> PresenceWanted:
        """Raises BadInput."""
        if (self.venue_id is None) is (self.provider_ids is None):
            raise BadInput.at("input.providerIds", "is needed, or a venueId: one of the two")
        if self.venue_id is not None:
            return PresenceWanted(None, read_id(IdKind.VENUE, self.venue_id, "input.venueId"), self.from_, self.to)
        ids = read_ids(IdKind.PROVIDER, self.provider_ids or [], "input.providerIds", most=ASKED_PROVIDERS)
        return PresenceWanted(tuple(sorted(ids)), None, self.from_, self.to)


@strawberry.type(description="1 to 2, 3 to 5, 6 to 10, 11 to 20, 21 or more; or nobody. Never more than there are.")
class ViewerRange:
    at_least: int
    at_most: int | None = strawberry.field(description="Null: or more.")

    @classmethod
    def from_domain(cls, found: Range) -> ViewerRange:
        return cls(at_least=found.at_least, at_most=found.at_most)


@strawberry.type
class DayPresence:
    date: date
    viewers: ViewerRange | None = strawberry.field(
        description="About how many look at free times of this day. Null: not known now."
    )


@strawberry.type
class ProviderPresence:
    provider_id: strawberry.ID
    is_online: bool | None = strawberry.field(
        description="Is their account signed in, or was it a minute ago? Null: not known now, no account, or not shown."
    )
    days: list[DayPresence]

    @classmethod
    def from_domain(cls, found: PersonPresence) -> ProviderPresence:
        return cls(
            provider_id=public_id(IdKind.PROVIDER, found.provider_id),
            is_online=found.is_online,
            days=[
                DayPresence(date=day, viewers=None if viewers is None else ViewerRange.from_domain(viewers))
                for day, viewers in found.days
            ],
        )


@strawberry.type(description="It has no cursor: whoever comes back begins anew.")
class PresenceEvent:
    kind: EventKind
    providers: list[ProviderPresence] = strawberry.field(
        description="SNAPSHOT and RESYNC: all. CHANGE: those of whom something else is told now, each as a whole."
    )
    gone: list[strawberry.ID] = strawberry.field(description="CHANGE: providers that are not there any more.")

    @classmethod
    def from_update(cls, update: PresenceUpdate) -> PresenceEvent:
        return cls(
            kind=update.kind,
            providers=[ProviderPresence.from_domain(person) for person in update.people],
            gone=[public_id(IdKind.PROVIDER, provider_id) for provider_id in update.gone],
        )


@strawberry.type
class PresenceSubscription:
    @strawberry.subscription(
        description="Which providers are online, and about how many people look at each one's days: late by some "
        "seconds, in ranges, never of whom."
    )
    async def presence(self, info: Ctx, input: PresenceInput) -> AsyncIterable[PresenceEvent]:
        channel = await presence_channel(info.context, input.to_wanted())
        return LiveStream(channel, None, PresenceEvent.from_update)
