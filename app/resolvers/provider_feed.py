"""A provider's own calendar, opened by a secret address that can be revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.domain.errors import NotFound
from app.models import Provider
from app.queries.provider_calendar import CalendarEvent, list_calendar_events
from app.queries.rows import get_row
from app.queries.tenancy import Door, enter
from app.resolvers.context import RequestContext, Services

PAST = timedelta(days=30)
AHEAD = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class ProviderFeed:
    """What takes a provider's time."""

    provider: Provider
    events: list[CalendarEvent]


async def calendar_feed_url(context: RequestContext, provider: Provider) -> str | None:
    """For the provider's own account, admins and owners. None for anybody else."""
    tenancy = await context.loaders.tenancy_by_organization_id.load(provider.organization_id)
    if not tenancy.is_admin and tenancy.provider_id != provider.id:
        return None
    services = context.services
    token = services.tokens.provider_calendar_token(provider.id, provider.calendar_version)
    return f"{services.policy.public_url}/calendar/providers/{token}.ics"


async def find_provider_feed(services: Services, token: str) -> ProviderFeed | None:
    """None for a token that is none of ours or was revoked, and for a provider that is none: all look the same."""
    provider_id = services.tokens.named_by(token)
    if provider_id is None:
        return None
    now = services.clock.now()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    async with services.database.snapshot() as tx:
        try:
            await enter(tx, Door.PROVIDER, provider_id, user_id=None, clock_offset=services.clock.offset)
        except NotFound:
            return None
        provider = await get_row(tx, Provider, provider_id)
        if not services.tokens.is_provider_calendar_token(token, provider_id, provider.calendar_version):
            return None
        return ProviderFeed(provider, await list_calendar_events(tx, provider_id, day - PAST, day + AHEAD, now))
