"""Making and changing providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import (
    availability_updated,
    offers_updated,
    provider_acts,
    provider_described,
    provider_updated,
)
from app.commands.changes import change_row, refused_as, write_created
from app.commands.fields import Faults, Form, as_given, name, optional, optional_text, required, time_zone, whole_number
from app.commands.journal import Event
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import InvalidInput
from app.domain.provider_search import LANGUAGES_MAXIMUM, language_tag
from app.models import Offer, Provider, Service, Venue
from app.queries.account import find_login
from app.queries.provider import list_offered_services
from app.queries.rows import get_row, lock_row, require_rows

LIMIT_MAXIMUM = 1_000
"""Bookings a day, or a week."""


def _language_tags(values: Sequence[str]) -> list[str]:
    """Each once, in the order given."""
    if len(values) > LANGUAGES_MAXIMUM:
        raise ValueError(f"must have at most {LANGUAGES_MAXIMUM} items")
    found: list[str] = []
    faults: list[tuple[int, str]] = []
    for index, value in enumerate(values):
        try:
            found.append(language_tag(value))
        except ValueError as fault:
            faults.append((index, str(fault)))
    if faults:
        raise Faults(faults)
    return list(dict.fromkeys(found))


FORM = Form(
    {
        "name": name(),
        "bio": optional_text(),
        "time_zone": optional(time_zone),
        "user_email": optional(normalize_email),
        "works_on_holidays": required(as_given),
        "shows_presence": required(as_given),
        "daily_booking_limit": whole_number(1, LIMIT_MAXIMUM),
        "weekly_booking_limit": whole_number(1, LIMIT_MAXIMUM),
        "languages": required(_language_tags),
        "service_area": as_given,
    }
)
"""`user_email`: of the account that shall act as this provider."""

_AVAILABILITY = ("time_zone", "works_on_holidays", "daily_booking_limit", "weekly_booking_limit")
"""Facts that change which times are free."""

_LINKED = {"provider_organization_user_key": InvalidInput.at("input.userEmail", "acts as another provider already")}


async def create_provider(  # noqa: PLR0917 (as all creations: who and where, then the facts)
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    venue_id: UUID,
    values: Mapping[str, Any],
    service_ids: Sequence[UUID] = (),
) -> Provider:
    """`values` as FORM cleans them. Offers each service as it is. Raises NotFound, InvalidInput."""
    await get_row(tx, Venue, venue_id)
    await require_rows(tx, Service, service_ids)
    facts = await _with_account(tx, values)
    provider = Provider(id=new_id(), organization_id=organization_id, venue_id=venue_id, is_active=True, **facts)
    tx.add(provider)
    with refused_as(_LINKED):
        await tx.flush()
    pairs = [(provider.id, service_id) for service_id in service_ids]
    await add_offers(tx, organization_id, pairs)
    after = {**facts, "venue_id": venue_id, "service_ids": list(service_ids)}
    events = offers_updated(pairs)
    if provider.user_id is not None:
        events.append(Event("provider.created", provider.id, {}, provider_acts(provider.id, provider.user_id)))
    await write_created(tx, organization_id, actor, "provider", provider.id, after=after, events=events)
    return provider


async def add_offers(tx: Tx, organization_id: UUID, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """(provider, service) new to each other, at the service's own price and duration. One statement, or none."""
    tx.add_all(
        Offer(organization_id=organization_id, provider_id=provider_id, service_id=service_id, is_active=True)
        for provider_id, service_id in pairs
    )
    await tx.flush()


async def update_provider(
    tx: Tx, organization_id: UUID, actor: Actor, provider_id: UUID, values: Mapping[str, Any]
) -> Provider:
    """What is not in `values` stays. Raises NotFound, InvalidInput."""
    provider = await lock_row(tx, Provider, provider_id)
    facts = await _with_account(tx, values)
    moved = any(facts.get(fact, getattr(provider, fact)) != getattr(provider, fact) for fact in _AVAILABILITY)
    was, account = provider.user_id, facts.get("user_id", provider.user_id)
    audience = None if account == was else provider_acts(provider_id, was, account)
    events = [(provider_updated if moved else provider_described)(provider_id, audience)]
    with refused_as(_LINKED):
        await change_row(
            tx,
            organization_id,
            actor,
            "provider.updated",
            provider,
            subject_id=provider_id,
            values=facts,
            events=events,
        )
    return provider


async def set_provider_active(
    tx: Tx, organization_id: UUID, actor: Actor, provider_id: UUID, is_active: bool
) -> Provider:
    """Bookings stand; new ones follow. Raises NotFound."""
    provider = await lock_row(tx, Provider, provider_id)
    if provider.is_active != is_active:
        services = await list_offered_services(tx, provider_id)
        events = availability_updated(
            [(provider_id, None), *((provider_id, service_id) for service_id in services)],
            provider_acts(provider_id, provider.user_id),
        )
        action = "provider.reactivated" if is_active else "provider.deactivated"
        await change_row(
            tx,
            organization_id,
            actor,
            action,
            provider,
            subject_id=provider_id,
            values={"is_active": is_active},
            events=events,
        )
    return provider


async def _with_account(tx: Tx, values: Mapping[str, Any]) -> dict[str, Any]:
    """`user_email`, if it is there, as `user_id`."""
    facts = dict(values)
    if "user_email" in facts:
        facts["user_id"] = await _account_of(tx, facts.pop("user_email"))
    return facts


async def _account_of(tx: Tx, email: str | None) -> UUID | None:
    if email is None:
        return None
    user = await find_login(tx, email)
    if user is None:
        raise InvalidInput.at("input.userEmail", "belongs to no account; the person signs up first")
    return user.id
