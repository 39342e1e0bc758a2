"""Changing a booking: one step of the state machine, with its time, its record and its version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import text, update

from app.commands.actor import Actor
from app.commands.claim import CLAIMED, claim_again
from app.commands.fee import undo_ending
from app.commands.journal import Audit, Event, Transition, write_journal
from app.commands.payment_capture import ask_capture
from app.commands.session_places import take_places_again
from app.commands.settlement import has_money, settle_ending
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, BookingStatus, PaymentMethod, occupies
from app.domain.claims import Part
from app.domain.errors import InvalidInput, NotAllowed, NotFound, SlotSearch, SlotUnavailable, StaleVersion
from app.domain.instants import zone
from app.domain.money import format_amount
from app.domain.plan import ProviderPlan, UnavailableReason
from app.domain.policy import ActorKind, cancellation_ending, check_transition
from app.domain.refund import Ending
from app.domain.search import VisitItem
from app.models import Booking, BookingItem
from app.queries.availability import ServicePlan, get_service_plans
from app.queries.booking import SeenBooking, due_of, facts_of, items_of_bookings, lock_booking, role_towards
from app.queries.payment_terms import get_terms
from app.queries.series import has_booking_link
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class Requester:
    """Who wants the change: as the request tells, before it is known what they are to this booking."""

    tenancy: Tenancy
    user_id: UUID | None
    link_token: str | None
    actor: Actor


@dataclass(frozen=True, slots=True)
class TransitionRequest:
    """`at_customers_request`: of a cancellation by staff or a provider, the customer's terms count."""

    booking_id: UUID
    to: BookingStatus
    reason: str | None
    expected_version: int | None
    at_customers_request: bool = False


async def lock_for_change(
    tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester, expected_version: int | None
) -> SeenBooking:
    """The booking, locked, and the requester's role towards it. One statement, one more for the link of a series.

    Raises NotFound, StaleVersion.
    """
    booking, customer_user_id = await lock_booking(tx, booking_id)
    token = requester.link_token
    has_link = await has_booking_link(tx, signer, booking, token)
    if token is not None and not has_link and not requester.tenancy.is_staff:
        raise NotFound
    role = role_towards(requester.tenancy, booking, customer_user_id, user_id=requester.user_id, has_link=has_link)
    if expected_version is not None and expected_version != booking.version:
        raise StaleVersion(booking.version)
    return SeenBooking(booking, role)


class StillPayable(Exception):
    """Somebody may pay for this booking at this moment: its payment is ended first. Nothing was changed."""

    def __init__(self, booking: Booking) -> None:
        super().__init__(f"{booking.id} can still be paid")
        self.booking = booking


async def transition_booking(
    tx: Tx,
    signer: TokenSigner,
    request: TransitionRequest,
    requester: Requester,
    now: datetime,
    *,
    despite_payment: bool = True,
) -> SeenBooking:
    """Take one step of the state machine for a person.

    Accepting one whose payment is authorized only asks for the capture, which confirms it: its state is as before then.

    Raises NotFound, StaleVersion, IllegalTransition, NotAllowed, InvalidInput (a cancellation needs a reason),
    SlotUnavailable when a correction would take time that somebody else has by now, and StillPayable unless told
    otherwise.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    check_transition(facts_of(seen.booking), seen.viewer, request.to, now)
    await check_balance(tx, seen.booking, request.to)
    if request.to is BookingStatus.CANCELLED and not request.reason:
        raise InvalidInput.at("input.reason", "is needed to cancel a booking")
    if BookingStatus(seen.booking.status) in HELD and not despite_payment:
        tx.expunge(seen.booking)  # it outlives the transaction, which is rolled back
        raise StillPayable(seen.booking)
    actor = acting(requester.actor, seen.viewer)
    if _accepts(seen.booking, request.to) and await ask_capture(tx, seen.booking, actor, now) is not None:
        return seen
    ending, noted = Ending.OURS, {}
    if request.to is BookingStatus.CANCELLED:
        canceller = ActorKind.CUSTOMER if request.at_customers_request else seen.viewer
        ending = cancellation_ending(facts_of(seen.booking), canceller, now)
        noted = {"at_customers_request": True} if canceller is not seen.viewer else {}
    await apply_transition(tx, seen.booking, request.to, request.reason, actor, ending=ending, noted=noted)
    return seen


def _accepts(booking: Booking, to: BookingStatus) -> bool:
    """Is it the answer to one that was paid online and waits for approval?"""
    is_answer = (booking.status, to) == (BookingStatus.AWAITING_PROVIDER, BookingStatus.CONFIRMED)
    return is_answer and booking.payment_method == PaymentMethod.PAY_NOW


_BEGINS = frozenset({BookingStatus.CHECKED_IN, BookingStatus.IN_PROGRESS, BookingStatus.COMPLETED})


async def check_balance(tx: Tx, booking: Booking, to: BookingStatus) -> None:
    """Where the organization serves nobody who still owes something. Raises NotAllowed."""
    if booking.status != BookingStatus.CONFIRMED or to not in _BEGINS:
        return
    due = due_of(booking)
    if due and (await get_terms(tx, booking.organization_id)).balance_required_at_check_in:
        left = f"{format_amount(due, booking.currency)} {booking.currency}"
        raise NotAllowed("balance_due", f"{left} is still to be paid before this.")


def acting(actor: Actor, role: ActorKind) -> Actor:
    """The same person and channel, in the role they have towards this booking."""
    return Actor(role.value, actor.user_id, actor.channel, actor.address, actor.user_agent, actor.request_id)


_ENDS = frozenset({BookingStatus.CANCELLED, BookingStatus.NO_SHOW, BookingStatus.COMPLETED, BookingStatus.EXPIRED})


@dataclass(frozen=True, slots=True)
class Moved:
    """Items of a booking before and after a move, as the audit keeps them."""

    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


NOTHING_NOTED: Mapping[str, Any] = MappingProxyType({})


async def apply_transition(
    tx: Tx,
    booking: Booking,
    to: BookingStatus,
    reason: str | None,
    actor: Actor,
    *,
    ending: Ending = Ending.OURS,
    noted: Mapping[str, Any] = NOTHING_NOTED,
) -> None:
    """Write a step that was already granted: state, time, money, history, event. `booking` is brought up to date.

    `ending`: of a cancellation, what it is to the refund policy. `noted`: what else the audit says of it.
    """
    before = BookingStatus(booking.status)
    values: dict[str, Any] = {"status": to.value}
    if (before, to) == (BookingStatus.AWAITING_PROVIDER, BookingStatus.CONFIRMED):
        values["expires_at"] = None
    is_all_returned = False
    if to in _ENDS and has_money(booking):
        ending = Ending.NO_SHOW if to is BookingStatus.NO_SHOW else ending
        async with _written_later(tx, booking, values):
            is_all_returned = await settle_ending(tx, booking, to, ending=ending, reason=reason, actor=actor)
    elif before is BookingStatus.NO_SHOW and has_money(booking):
        async with _written_later(tx, booking, values):
            await undo_ending(tx, booking, actor=actor)
    if occupies(before) and not occupies(to):
        await release_time(tx, booking.id, "CANCELLED" if to is BookingStatus.CANCELLED else "RELEASED")
    elif not occupies(before) and occupies(to):
        await take_time_again(tx, booking)
    await write_change(
        tx,
        booking,
        values,
        actor,
        action=f"booking.{to.value}",
        reason=reason,
        step=(before, to),
        noted=noted,
    )
    if is_all_returned:
        await _end_as_returned(tx, booking, to, actor)


@asynccontextmanager
async def _written_later(tx: Tx, booking: Booking, values: dict[str, Any]) -> AsyncIterator[None]:
    """What becomes of its money inside is added to what is to be written in the booking's row."""
    tx.expunge(booking)
    before = {name: getattr(booking, name) for name in ("refunded_minor", "uncounted_minor")}
    yield
    for name, was in before.items():
        if getattr(booking, name) != was:
            values[name] = getattr(booking, name)
            setattr(booking, name, was)


async def _end_as_returned(tx: Tx, booking: Booking, ended: BookingStatus, actor: Actor) -> None:
    """All that was paid had gone back before it ended: it is REFUNDED at once."""
    if occupies(ended):
        await release_time(tx, booking.id, "RELEASED")
    to = BookingStatus.REFUNDED
    values = {"status": to.value}
    await write_change(tx, booking, values, actor, action=f"booking.{to.value}", reason=None, step=(ended, to))


async def write_change(
    tx: Tx,
    booking: Booking,
    values: dict[str, Any],
    actor: Actor,
    *,
    action: str,
    reason: str | None,
    step: tuple[BookingStatus, BookingStatus] | None,
    noted: Mapping[str, Any] = NOTHING_NOTED,
    items: Moved | None = None,
) -> None:
    """Update the row, whose trigger raises the version, and write transition, audit and event. Two statements.

    `items`: what became of the booking's items beside it. The audit says what changed, and of which version.
    """
    before = {name: getattr(booking, name) for name in values if getattr(booking, name) != values[name]}
    after = {name: values[name] for name in before}
    before["version"] = booking.version
    row = (
        await tx.execute(
            update(Booking)
            .where(Booking.id == booking.id)
            .values(**values)
            .returning(Booking.version, Booking.updated_at)
            .execution_options(synchronize_session=False)
        )
    ).one()
    if booking in tx:
        tx.expunge(booking)  # what follows mirrors the row; the session must not write it a second time
    for name, value in values.items():
        setattr(booking, name, value)
    booking.version, booking.updated_at = row.version, row.updated_at
    if items is not None:
        before["items"], after["items"] = items.before, items.after
    transitions = [] if step is None else [Transition(booking.id, step[0].value, step[1].value, reason)]
    payload = {"version": booking.version, "status": booking.status}
    await write_journal(
        tx,
        booking.organization_id,
        actor,
        transitions=transitions,
        audit=[Audit(action, booking.id, before, {**after, "version": booking.version, **noted}, reason)],
        events=[Event(action, booking.id, payload, former=_former(before, items))],
    )


def _former(before: Mapping[str, Any], items: Moved | None) -> list[UUID]:
    """Providers and the session that had it, where somebody else has it now."""
    found = [before[name] for name in ("provider_id", "session_id") if before.get(name) is not None]
    if items is not None:
        have = {item["provider_id"] for item in items.after}
        found += [item["provider_id"] for item in items.before if item["provider_id"] not in have]
    return list(dict.fromkeys(found))


def moves_counted(booking: Booking, mover: ActorKind) -> int:
    """How often its customer moved it, this move included: the staff's are not counted."""
    return booking.reschedules + (mover is ActorKind.CUSTOMER)


_RELEASE_TIME = text("SELECT release_booking_time(:booking_id, :cause)")


async def release_time(tx: Tx, booking_id: UUID, cause: str) -> None:
    await tx.execute(_RELEASE_TIME, {"booking_id": booking_id, "cause": cause})


async def take_time_again(tx: Tx, booking: Booking) -> None:
    """A correction brings a booking back, whatever was closed since: its time, or its places, must still be free.

    Raises SlotUnavailable.
    """
    if booking.session_id is not None:
        await take_places_again(tx, booking)
        return
    items = await items_of_bookings(tx, [booking.id])
    day = booking.starts_at.date()
    services = await get_service_plans(tx, [(item.service_id, (item.provider_id,)) for item in items], day, day)
    parts = [
        Part(_as_booked(item, service, booking), item.starts_at) for item, service in zip(items, services, strict=True)
    ]
    if await claim_again(tx, booking.organization_id, booking.id, parts, despite_blocks=True) != CLAIMED:
        search = search_of_booking(booking, items)
        raise SlotUnavailable(UnavailableReason.BOOKED, "Somebody else has this time by now.", search)


def _as_booked(item: BookingItem, service: ServicePlan, booking: Booking) -> ProviderPlan:
    """What it took, with what its service needs now. No hours and no limits: it was granted once."""
    return ProviderPlan(
        provider_id=item.provider_id,
        time_zone=zone(booking.time_zone),
        versions=(),
        duration_minutes=minutes_of(item),
        buffer_before=item.buffer_before_minutes,
        buffer_after=item.buffer_after_minutes,
        needs=service.offers[0].needs if service.offers else (),
    )


def minutes_of(booked: Booking | BookingItem) -> int:
    return round((booked.ends_at - booked.starts_at).total_seconds() / 60)


def search_of_booking(
    booking: Booking,
    items: Sequence[BookingItem] = (),
    *,
    around: datetime | None = None,
    provider_id: UUID | None = None,
    for_staff: bool = True,
) -> SlotSearch:
    """Where else an appointment, or the visit of these items, could be: with the same people, or with another one."""
    assert booking.service_id is not None
    assert booking.provider_id is not None
    return SlotSearch(
        organization_id=booking.organization_id,
        service_id=booking.service_id,
        provider_ids=(provider_id or booking.provider_id,) if len(items) <= 1 else None,
        around=around or booking.starts_at,
        duration_minutes=minutes_of(booking) if len(items) <= 1 else None,
        party_size=booking.party_size,
        for_staff=for_staff,
        items=tuple(VisitItem(item.service_id, item.provider_id, minutes_of(item)) for item in items)
        if len(items) > 1
        else (),
    )
