"""Who is served, and where: frozen with a booking, and within what its provider comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.service_area import Address, address_from_json, address_to_json, area_from_json, why_outside
from app.models import Booking, Provider
from app.queries.tenancy import Tenancy

OUTSIDE_REASON = "outside_area_reason"
"""Why the staff booked outside the provider's area, as kept with the address."""
_STAFF_MAY = "the staff may book it all the same, with a reason"


@dataclass(frozen=True, slots=True)
class Served:
    """As a booking is asked for. `recipient`: name and phone of whoever is served, if not the customer."""

    recipient: Mapping[str, str | None] | None = None
    address: Address | None = None
    outside_area_reason: str | None = None


NOBODY_ELSE = Served()
"""The customer, and not at their place."""


def set_served(booking: Booking, served: Served, areas: Sequence[Mapping[str, Any] | None], tenancy: Tenancy) -> None:
    """Put them into a new booking. `areas`: of each provider who comes to the customer, where to; empty: nobody does.

    Raises InvalidInput, NotAllowed.
    """
    booking.recipient = _kept(served)
    if not areas:
        refuse_address(served)
        return
    address = served.address
    if address is None:
        raise InvalidInput.at("input.address", "is needed: this service comes to the customer")
    reason = served.outside_area_reason
    if reason is not None and not tenancy.is_staff:
        raise NotAllowed("outside_area_by_staff", "Only the staff may book outside a provider's area.")
    fault = _first_fault(areas, address)
    if fault is not None and reason is None:
        raise InvalidInput.at("input.address", f"{fault}; {_STAFF_MAY}" if tenancy.is_staff else fault)
    booking.address = {**address_to_json(address), **({} if fault is None else {OUTSIDE_REASON: reason})}


def set_recipient(booking: Booking, served: Served) -> None:
    """The same for places of a session, which takes place where it does. Raises InvalidInput."""
    refuse_address(served)
    booking.recipient = _kept(served)


def refuse_address(served: Served) -> None:
    """Raises InvalidInput."""
    for path, value in (("address", served.address), ("outsideAreaReason", served.outside_area_reason)):
        if value is not None:
            raise InvalidInput.at(f"input.{path}", "is for services that come to the customer")


async def check_area_of_move(
    tx: Tx, bookings: Sequence[Booking], provider_id: UUID | None, *, reason: str | None, is_staff: bool
) -> None:
    """Does the provider whom bookings are moved to come to their addresses? The staff may move them anyway, with a
    reason.

    One statement where there is an address and another provider. Raises InvalidInput.
    """
    moved = [one for one in bookings if one.address is not None and provider_id not in {None, one.provider_id}]
    if not moved or (is_staff and reason):
        return
    area = await area_of(tx, provider_id)
    fault = next((fault for one in moved if (fault := outside(one, area)) is not None), None)
    if fault is not None:
        message = f"the address of {'this booking' if len(bookings) == 1 else 'these bookings'} {fault}"
        raise InvalidInput.at("input.providerId", f"{message}; {_STAFF_MAY}" if is_staff else message)


async def area_of(tx: Tx, provider_id: UUID | None) -> Mapping[str, Any] | None:
    """Where a provider comes to; none: anywhere. One statement."""
    return (await tx.execute(select(Provider.service_area).where(Provider.id == provider_id))).scalar_one_or_none()


def outside(booking: Booking, area: Mapping[str, Any] | None) -> str | None:
    """What is against a booking's address in this area, if it has one."""
    return None if booking.address is None else _first_fault([area], address_from_json(booking.address))


def noted_reason(booking: Booking) -> dict[str, Any]:
    """For the audit of a new booking."""
    reason = None if booking.address is None else booking.address.get(OUTSIDE_REASON)
    return {} if reason is None else {"outsideAreaReason": reason}


def _first_fault(areas: Sequence[Mapping[str, Any] | None], address: Address) -> str | None:
    faults = (why_outside(area_from_json(area), address) for area in areas if area is not None)
    return next((fault for fault in faults if fault is not None), None)


def _kept(served: Served) -> dict[str, Any] | None:
    if served.recipient is None:
        return None
    return {name: value for name, value in served.recipient.items() if value is not None}
