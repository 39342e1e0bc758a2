"""What those who look at live availability must learn of the catalogue: whom to follow may itself change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.commands.journal import Event


def service_updated(service_id: UUID) -> Event:
    return Event("service.updated", service_id, {"serviceId": service_id})


def provider_updated(provider_id: UUID, audience: Sequence[UUID] | None = None) -> Event:
    return Event("provider.updated", provider_id, {"providerId": provider_id}, audience)


def provider_described(provider_id: UUID, audience: Sequence[UUID] | None = None) -> Event:
    """Who it is, not when they are free: nobody who looks at free times has to read anew."""
    return Event("provider.described", provider_id, {"providerId": provider_id}, audience)


def provider_acts(provider_id: UUID, *user_ids: UUID | None) -> list[UUID]:
    """The audience where another account acts as a provider, or none does any more: what each may see changes."""
    return [provider_id, *(user_id for user_id in user_ids if user_id is not None)]


def offers_updated(pairs: Iterable[tuple[UUID, UUID]]) -> list[Event]:
    """For each (provider, service): one for those who follow the provider, one for those who follow the service."""
    events: list[Event] = []
    for provider_id, service_id in pairs:
        payload = {"providerId": provider_id, "serviceId": service_id}
        events.append(Event("offer.updated", service_id, payload))
        events.append(Event("offer.updated", provider_id, payload))
    return events


def availability_updated(
    pairs: Iterable[tuple[UUID, UUID | None]], audience: Sequence[UUID] | None = None
) -> list[Event]:
    """Providers, with each service they offer, came or went as a whole. `audience`: of what is told of the providers.

    Who looks at "anyone" for a service follows only the providers there were: newcomers are told through the service.
    """
    events: dict[UUID, Event] = {}
    for provider_id, service_id in pairs:
        events.setdefault(provider_id, provider_updated(provider_id, audience))
        if service_id is not None and service_id not in events:
            events[service_id] = Event(
                "offer.updated", service_id, {"providerId": provider_id, "serviceId": service_id}
            )
    return list(events.values())


def venue_updated(venue_id: UUID) -> Event:
    """When the venue is open, or whether it is: for those who come to be there at this very moment, too."""
    return Event("venue.updated", venue_id, {"venueId": venue_id})


def venue_described(venue_id: UUID) -> Event:
    """What it is called, or where it lies."""
    return Event("venue.described", venue_id, {"venueId": venue_id})


def resource_changed(owner_id: UUID) -> Event:
    """What a service or an activity needs, or how much of it there is at its venue (then the owner), changed."""
    return Event("resource.changed", owner_id, {"ownerId": owner_id})


def prices_changed(organization_id: UUID) -> Event:
    """Rules, taxes or bounds of prices: whatever it offers may cost something else now."""
    return Event("prices.changed", organization_id, {"organizationId": organization_id})
