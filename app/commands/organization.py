"""Making and changing organizations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.changes import change_row, refused_as, write_created
from app.commands.fields import Form, name, optional, required, whole_number
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import InvalidInput, Unauthenticated
from app.domain.membership import Role
from app.domain.money import is_currency
from app.domain.places import check_country, check_locale
from app.domain.text import check_slug
from app.models import Membership, Organization
from app.queries.rows import lock_row
from app.queries.tenancy import bind

LIMIT_MAXIMUM = 1_000
"""Bookings of one customer a day, or a week, or made in an hour."""
APPROVAL_MAXIMUM_HOURS = 720
AUTO_COMPLETE_MAXIMUM_MINUTES = 7 * 1_440
AUTO_NO_SHOW_MAXIMUM_MINUTES = 1_440


def _currency(value: str) -> str:
    if not is_currency(value):
        raise ValueError("must be a current ISO 4217 currency in capital letters, such as ARS")
    return value


def _template(_value: str) -> None:
    raise ValueError("templates are not available yet")


FORM = Form(
    {
        "name": name(),
        "slug": required(check_slug),
        "currency": required(_currency),
        "locale": lambda value: check_locale("en" if value is None else value),
        "country": optional(check_country),
        "template": optional(_template),
        "customer_daily_limit": whole_number(1, LIMIT_MAXIMUM),
        "customer_weekly_limit": whole_number(1, LIMIT_MAXIMUM),
        "bookings_per_hour_limit": optional(whole_number(0, LIMIT_MAXIMUM)),
        "approval_hours": required(whole_number(1, APPROVAL_MAXIMUM_HOURS, " hours")),
        "auto_complete_after_minutes": whole_number(0, AUTO_COMPLETE_MAXIMUM_MINUTES, " minutes"),
        "auto_no_show_after_minutes": whole_number(1, AUTO_NO_SHOW_MAXIMUM_MINUTES, " minutes"),
        "waitlist_offer_minutes": required(whole_number(5, 1_440, " minutes")),
    }
)
"""The currency is given once: every price of the catalogue is counted in it."""

_TAKEN = {"organization_slug_key": InvalidInput.at("input.slug", "is taken; choose another")}
_NO_ACCOUNT = {"membership_user_id_fkey": Unauthenticated("Your account is gone. Sign up again.")}


async def create_organization(
    tx: Tx, actor: Actor, owner_id: UUID, values: Mapping[str, Any], clock_offset: timedelta = timedelta(0)
) -> Organization:
    """A new organization and its owner. Leaves the transaction bound to it. Raises InvalidInput for a slug in use."""
    organization_id = new_id()
    await bind(tx, organization_id=organization_id, user_id=owner_id, clock_offset=clock_offset)
    facts = {key: value for key, value in values.items() if key != "template"}
    organization = Organization(id=organization_id, **facts)
    tx.add(organization)
    with refused_as(_TAKEN):
        await tx.flush()
    tx.add(Membership(id=new_id(), organization_id=organization_id, user_id=owner_id, role=Role.OWNER.value))
    with refused_as(_NO_ACCOUNT):
        await tx.flush()
    await write_created(
        tx, organization_id, actor, "organization", organization_id, after={**facts, "owner_id": owner_id}
    )
    return organization


async def update_organization(
    tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any], now: datetime
) -> Organization:
    """`values` as FORM cleans them; what is not in it stays. Raises InvalidInput for a slug in use."""
    organization = await lock_row(tx, Organization, organization_id)
    values = {**values, **_switched(organization, values, now)}
    with refused_as(_TAKEN):
        await change_row(
            tx, organization_id, actor, "organization.updated", organization, subject_id=organization_id, values=values
        )
    return organization


_AUTOMATIC = {
    "auto_complete_after_minutes": "auto_complete_since",
    "auto_no_show_after_minutes": "auto_no_show_since",
}


def _switched(organization: Organization, values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """From when the clock acts: what it judges starts after it was switched on, so nobody's past is judged."""
    since: dict[str, Any] = {}
    for minutes, switched_on in _AUTOMATIC.items():
        if minutes in values and (values[minutes] is None) != (getattr(organization, minutes) is None):
            since[switched_on] = None if values[minutes] is None else now
    return since
