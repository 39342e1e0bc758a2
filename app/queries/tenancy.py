"""The door to an organization's rows: which organization an id belongs to, and what the viewer is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Interval, Text, Uuid, bindparam, text

from app.core.database import Tx
from app.domain.errors import NotFound

NO_ORGANIZATION = UUID(int=0)
"""Stands where a row must name an organization and there is none yet."""


class Door(StrEnum):
    """What can name an organization. The values are those of the SQL function `enter_organization`; those of
    `_OWN_DOORS` have functions of their own."""

    ORGANIZATION = "organization"
    SLUG = "slug"
    EMBED_KEY = "embed_key"
    VENUE = "venue"
    PROVIDER = "provider"
    SERVICE = "service"
    HOLD = "hold"
    BOOKING = "booking"
    CUSTOMER = "customer"
    SCHEDULE = "schedule"
    MEMBERSHIP = "membership"
    RESOURCE = "resource"
    ACTIVITY = "activity"
    SESSION = "session"
    EXCEPTION = "exception"
    TIME_OFF = "time_off"
    CALENDAR_SOURCE = "calendar_source"
    PRICE_RULE = "price_rule"
    PROMO_CODE = "promo_code"
    PRICE_OFFER = "price_offer"
    PAYOUT = "payout"
    BULK_CHANGE = "bulk_change"
    GUEST_SESSION = "guest_session"
    WAITLIST = "waitlist"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """The organization this transaction is bound to, and the viewer's part in it (none for a guest)."""

    organization_id: UUID
    role: str | None = None
    provider_id: UUID | None = None

    @property
    def is_staff(self) -> bool:
        return self.role is not None

    @property
    def is_admin(self) -> bool:
        return self.role in {"owner", "admin"}


_ENTER = text("SELECT * FROM enter_organization(:kind, :id, :key, :user_id, :clock_offset)").bindparams(
    bindparam("kind", type_=Text),
    bindparam("id", type_=Uuid),
    bindparam("key", type_=Text),
    bindparam("user_id", type_=Uuid),
    bindparam("clock_offset", type_=Interval),
)
_ENTER_BY = {
    door: text(statement).bindparams(
        bindparam("id", type_=Uuid), bindparam("user_id", type_=Uuid), bindparam("clock_offset", type_=Interval)
    )
    for door, statement in (
        (Door.PAYOUT, "SELECT * FROM enter_payout(:id, :user_id, :clock_offset)"),
        (Door.BULK_CHANGE, "SELECT * FROM enter_bulk_change(:id, :user_id, :clock_offset)"),
        (Door.GUEST_SESSION, "SELECT * FROM enter_guest_session(:id, :user_id, :clock_offset)"),
        (Door.WAITLIST, "SELECT * FROM enter_waitlist(:id, :user_id, :clock_offset)"),
        (Door.SERIES, "SELECT * FROM enter_series(:id, :user_id, :clock_offset)"),
    )
}

_BIND = text(
    "SELECT set_config('app.organization_id', :organization_id, true), set_config('app.user_id', :user_id, true),"
    " set_config('app.clock_offset', :clock_offset, true)"
)


async def enter(
    tx: Tx, door: Door, name: UUID | str, *, user_id: UUID | None, clock_offset: timedelta = timedelta(0)
) -> Tenancy:
    """Bind `tx` to the organization of what `name` names. One statement. Raises NotFound."""
    values: dict[str, object] = {
        "id": name if isinstance(name, UUID) else None,
        "user_id": user_id,
        "clock_offset": clock_offset or None,
    }
    if door in _ENTER_BY:
        row = (await tx.execute(_ENTER_BY[door], values)).first()
    else:
        values |= {"kind": door.value, "key": None if isinstance(name, UUID) else name}
        row = (await tx.execute(_ENTER, values)).first()
    if row is None:
        raise NotFound
    return Tenancy(row.organization_id, row.role, row.provider_id)


async def bind(
    tx: Tx, *, organization_id: UUID | None = None, user_id: UUID | None = None, clock_offset: timedelta = timedelta(0)
) -> None:
    """Bind `tx` to a known organization (one being made, or none) and person. One statement."""
    await tx.execute(
        _BIND,
        {
            "organization_id": "" if organization_id is None else str(organization_id),
            "user_id": "" if user_id is None else str(user_id),
            "clock_offset": f"{clock_offset.total_seconds()} seconds" if clock_offset else "",
        },
    )
