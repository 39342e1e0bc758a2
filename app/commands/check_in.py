"""Checking in whoever shows the confirmation code of a booking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.commands.booking_change import Requester, acting, apply_transition, check_balance, lock_for_change
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import CODE_ALPHABET, CODE_LENGTH, BookingStatus
from app.domain.errors import AlreadyCheckedIn, InvalidInput, NotFound
from app.domain.policy import ActorKind, check_code_check_in
from app.domain.service_times import service_times
from app.models import Booking
from app.queries.booking import SeenBooking, facts_of, id_by_code, transitions_of_bookings

_SEPARATORS = str.maketrans("", "", " -")
CODE_INPUT_MAXIMUM = 40


@dataclass(frozen=True, slots=True)
class CodeCheckIn:
    """`code` as `read_code` gives it."""

    code: str
    expected_version: int | None


def read_code(value: str) -> str:
    """As people type it and scanners read it: case, spaces and hyphens do not matter. Raises InvalidInput."""
    code = value[:CODE_INPUT_MAXIMUM].translate(_SEPARATORS).upper()
    if len(code) != CODE_LENGTH or not set(code) <= set(CODE_ALPHABET):
        message = f"is no confirmation code: {CODE_LENGTH} letters and digits, without 0, 1, I and O"
        raise InvalidInput.at("input.code", message)
    return code


async def check_in_by_code(
    tx: Tx, signer: TokenSigner, request: CodeCheckIn, requester: Requester, now: datetime
) -> SeenBooking:
    """For those who work there. Who may not see the booking learns no more than from a code that does not exist.

    Raises NotFound, StaleVersion, AlreadyCheckedIn, IllegalTransition, NotAllowed: on another day, or unpaid where that
    is asked for.
    """
    tenancy = requester.tenancy
    if not tenancy.is_staff and tenancy.provider_id is None:
        raise NotFound
    booking_id = await id_by_code(tx, tenancy.organization_id, request.code)
    if booking_id is None:
        raise NotFound
    seen = await lock_for_change(tx, signer, booking_id, requester, request.expected_version)
    booking = seen.booking
    if seen.viewer is ActorKind.CUSTOMER:  # a provider who booked somebody else
        raise NotFound
    if not check_code_check_in(facts_of(booking), seen.viewer, now):
        raise AlreadyCheckedIn(booking.id, await _since(tx, booking))
    to = BookingStatus.CHECKED_IN
    await check_balance(tx, booking, to)
    await apply_transition(tx, booking, to, None, acting(requester.actor, seen.viewer))
    return seen


async def _since(tx: Tx, booking: Booking) -> datetime | None:
    """When it was checked in; none where it was started without."""
    steps = await transitions_of_bookings(tx, [booking.id])
    return service_times(
        (None, BookingStatus(one.to_status), one.at) for one in steps if one.to_status == BookingStatus.CHECKED_IN
    ).checked_in_at
