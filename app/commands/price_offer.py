"""Prices by quote: staff name one, its customer accepts it, a hold has it, a booking uses it up.

Whether a hold or a booking still has one, their own states say: an offer comes back by itself when its hold ends or its
booking expires. Locks: the offer, then time; a booking that is being made has its time before, and asks for no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.commands.actor import Actor
from app.commands.changes import change_row, write_created
from app.commands.fields import Form, as_given, name, optional_text, required, whole_number
from app.commands.hold import HoldRequest
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.errors import FieldErrors, HoldExpired, InvalidInput, NotAllowed, NotFound
from app.domain.price_offer import ANSWERED, AcceptedOffer, OfferStatus, offer_fault
from app.domain.price_quote import LineKind
from app.domain.pricing import MAXIMUM_PRICE, PriceType
from app.models import Booking, Hold, Offer, Organization, PriceOffer, Provider, Service
from app.queries.price_offer import SeenOffer, lock_offer
from app.queries.rows import get_row, list_rows

MESSAGE_MAXIMUM = 2_000
LONGEST = timedelta(days=366)
"""How long a price may be open."""
TOKEN_PATH = "input.priceQuoteToken"  # noqa: S105 (a place in an input)

FORM = Form(
    {
        "customer_name": name(),
        "customer_email": required(normalize_email),
        "amount_minor": required(whole_number(0, MAXIMUM_PRICE)),
        "duration_minutes": whole_number(1, 1_440, " minutes"),
        "message": optional_text(MESSAGE_MAXIMUM),
        "valid_until": required(as_given),
    }
)


# ── by staff ──────────────────────────────────────────────────────────────────────────────────────────


async def create_price_offer(
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    values: Mapping[str, Any],
    *,
    service_id: UUID,
    provider_id: UUID | None,
    now: datetime,
) -> SeenOffer:
    """`values` as FORM cleans them; the amount is in the organization's currency. Raises NotFound, InvalidInput."""
    service = await get_row(tx, Service, service_id)
    organization = await get_row(tx, Organization, organization_id)
    errors = FieldErrors()
    if service.price_type != PriceType.CUSTOM:
        errors.add("input.serviceId", "has a price of its own: only a service that is priced by quote takes one")
    if not now < values["valid_until"] <= now + LONGEST:
        errors.add("input.validUntil", f"must be in the future, at most {LONGEST.days} days ahead")
    _check_length(service, values.get("duration_minutes"), errors)
    if provider_id is not None and not await _offers(tx, provider_id, service_id):
        errors.add("input.providerId", "does not offer this service")
    errors.raise_any()
    facts = {**values, "service_id": service_id, "provider_id": provider_id, "currency": organization.currency}
    row = PriceOffer(
        id=new_id(), organization_id=organization_id, status=OfferStatus.OPEN.value, access_version=1, **facts
    )
    tx.add(row)
    await tx.flush()
    await write_created(tx, organization_id, actor, "price_quote", row.id, after=facts)
    return SeenOffer(row)


def _check_length(service: Service, minutes: int | None, errors: FieldErrors) -> None:
    shortest, longest = service.duration_minutes, service.maximum_duration_minutes or service.duration_minutes
    if minutes is not None and not shortest <= minutes <= longest:
        errors.add("input.durationMinutes", f"must be {shortest} to {longest} minutes for this service")


async def _offers(tx: Tx, provider_id: UUID, service_id: UUID) -> bool:
    """Raises NotFound for a provider who is not there."""
    if not await list_rows(tx, Provider, [provider_id]):
        raise NotFound
    offer = await tx.get(Offer, (provider_id, service_id))
    return offer is not None and offer.is_active


async def withdraw_price_offer(
    tx: Tx, organization_id: UUID, actor: Actor, offer_id: UUID, *, now: datetime
) -> SeenOffer:
    """Staff take it back; twice is as once. What is held or booked at it stands. Raises NotFound, NotAllowed."""
    seen = await lock_offer(tx, offer_id)
    status = seen.status(now)
    if status is OfferStatus.WITHDRAWN:
        return seen
    if status in {OfferStatus.HELD, OfferStatus.BOOKED}:
        raise NotAllowed("price_quote_in_use", "Somebody holds, or has booked, at this price: it is a promise.")
    if status is OfferStatus.DECLINED:
        raise NotAllowed("price_quote_declined", "The customer has declined this price already.")
    await _answer(tx, seen.record, OfferStatus.WITHDRAWN, organization_id, actor, now)
    return SeenOffer(seen.record)


# ── by the customer ───────────────────────────────────────────────────────────────────────────────────


async def answer_price_offer(
    tx: Tx, signer: TokenSigner, offer_id: UUID, token: str, *, accepts: bool, actor: Actor, now: datetime
) -> SeenOffer:
    """Accept it, or decline it, with its secret link; the same answer twice is as once. Raises NotFound, NotAllowed."""
    seen = await lock_offer(tx, offer_id)
    require_link(signer, seen.record, token)
    status = seen.status(now)
    if status is OfferStatus.DECLINED if not accepts else status in ANSWERED:
        return seen
    refusals = {
        OfferStatus.EXPIRED: ("price_quote_expired", "This price is not valid any more: ask for another one."),
        OfferStatus.WITHDRAWN: ("price_quote_withdrawn", "This price was taken back: ask for another one."),
        OfferStatus.DECLINED: ("price_quote_declined", "You have declined this price: ask for another one."),
        OfferStatus.HELD: ("price_quote_in_use", "You hold a time at this price: release it first."),
        OfferStatus.BOOKED: ("price_quote_in_use", "You have booked at this price already."),
    }
    if status in refusals:
        raise NotAllowed(*refusals[status])
    answer = OfferStatus.ACCEPTED if accepts else OfferStatus.DECLINED
    await _answer(tx, seen.record, answer, seen.record.organization_id, actor, now)
    return SeenOffer(seen.record)


def require_link(signer: TokenSigner, record: PriceOffer, token: str) -> None:
    """Raises NotFound for a token that does not open it."""
    if not signer.is_price_offer_token(token, record.id, record.access_version):
        raise NotFound


async def _answer(  # noqa: PLR0917 (as all changes: what, then who and when)
    tx: Tx, record: PriceOffer, answer: OfferStatus, organization_id: UUID, actor: Actor, now: datetime
) -> None:
    values = {"status": answer.value, "answered_at": now, "hold_id": None, "booking_id": None}
    await change_row(
        tx, organization_id, actor, f"price_quote.{answer.value}", record, subject_id=record.id, values=values
    )


# ── its use ───────────────────────────────────────────────────────────────────────────────────────────


async def lock_accepted_offer(
    tx: Tx, signer: TokenSigner, token: str, request: HoldRequest, now: datetime
) -> AcceptedOffer:
    """The price that this hold is to have. Nobody else gets it meanwhile. Two statements. Raises InvalidInput."""
    offer_id = TokenSigner.named_by(token)
    try:
        if offer_id is None:
            raise NotFound
        seen = await lock_offer(tx, offer_id)
        require_link(signer, seen.record, token)
    except NotFound:
        raise InvalidInput.at(TOKEN_PATH, "opens no price that can be used here") from None
    record, errors = seen.record, FieldErrors()
    fault = offer_fault(seen.status(now))
    if fault is not None:
        errors.add(TOKEN_PATH, fault)
    if record.service_id != request.service_id:
        errors.add("input.serviceId", "is not what this price is for")
    if record.provider_id is not None and request.provider_id not in {None, record.provider_id}:
        errors.add("input.providerId", "is not the one whom this price is for")
    if record.duration_minutes is not None and request.duration_minutes not in {None, record.duration_minutes}:
        errors.add("input.durationMinutes", f"must be the {record.duration_minutes} minutes that this price is for")
    errors.raise_any()
    return AcceptedOffer(
        offer_id=record.id,
        service_id=record.service_id,
        provider_id=record.provider_id,
        duration_minutes=record.duration_minutes,
        amount_minor=record.amount_minor,
        currency=record.currency,
    )


_HOLD = text(
    """
    WITH used AS (
        UPDATE price_offer SET hold_id = :hold WHERE id = :offer RETURNING id, organization_id
    )
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT organization_id, 'price_quote.held', id, '{}' FROM used
    """
)
_BOOK = text(
    """
    WITH used AS (
        UPDATE price_offer SET booking_id = :booking WHERE id = :offer AND hold_id = :hold
        RETURNING id, organization_id, booking_id
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT organization_id, 'price_quote.booked', id, jsonb_build_object('bookingId', booking_id) FROM used
    )
    SELECT count(*) FROM used
    """
)


async def use_offer(tx: Tx, offer: AcceptedOffer, hold: Hold) -> None:
    """The hold, which is there, has the price that was locked for it. One statement.

    A booking that expired with it before is still known: a late payment may bring that one back.
    """
    await tx.execute(_HOLD, {"offer": offer.offer_id, "hold": hold.id})


async def book_offer(tx: Tx, booking: Booking, hold: Hold) -> None:
    """The booking uses up the price that its hold has. One statement; none for prices of the catalogue.

    Raises HoldExpired where the hold ran out this very moment, and another one took the price.
    """
    offer_id = _offer_in(hold)
    if offer_id is None:
        return
    found = await tx.execute(_BOOK, {"offer": offer_id, "booking": booking.id, "hold": hold.id})
    if not found.scalar_one():
        raise HoldExpired("This hold ran out, and its price is held again.")


def _offer_in(hold: Hold) -> UUID | None:
    """The accepted offer among the lines of its price."""
    lines = () if hold.quote is None else hold.quote["lines"]
    offers = (line["sourceId"] for line in lines if line["kind"] == LineKind.BASE and line["sourceId"] is not None)
    found = next(offers, None)
    return None if found is None else UUID(found)
