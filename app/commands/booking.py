"""From a hold to a booking."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import Actor
from app.commands.booking_change import acting
from app.commands.customer_limit import check_customer_limits
from app.commands.hold import require_live
from app.commands.journal import Audit, Event, Transition, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus, PaymentMethod, PaymentStatus, confirmation_code
from app.domain.errors import InvalidInput, NotAllowed, NotFound, Unauthenticated
from app.domain.policy import ActorKind, cancellable_until
from app.models import Booking, BookingItem, Customer, Hold, Provider, Service
from app.queries.booking import role_towards
from app.queries.hold import LockedHold, lock_hold
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """As checked at the edge: a clean name, a normalized e-mail, an E.164 phone."""

    name: str
    email: str
    phone: str | None
    locale: str | None


@dataclass(frozen=True, slots=True)
class BookingRequest:
    hold_id: UUID
    hold_token: str
    payment_method: PaymentMethod
    notes: str | None
    promo_code: str | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """The booking and what it hangs on, so that nothing is read twice. Of a session: no items, provider and service."""

    booking: Booking
    items: tuple[BookingItem, ...]
    customer: Customer
    provider: Provider | None
    service: Service | None
    viewer: ActorKind


async def create_booking(
    tx: Tx,
    signer: TokenSigner,
    request: BookingRequest,
    customer: CustomerDetails | None,
    *,
    tenancy: Tenancy,
    actor: Actor,
    now: datetime,
) -> Booked:
    """Turn a live hold of time into a booking. Three statements; one more where customers have limits.

    Raises InvalidInput, NotAllowed, NotFound, HoldExpired; Unauthenticated for an account that is gone.
    """
    refuse_what_is_not_offered(request)
    account = account_of(customer, tenancy, actor.user_id)
    locked = await lock_hold(tx, request.hold_id)
    if not signer.is_hold_token(request.hold_token, request.hold_id, locked.hold.token_version):
        raise NotFound
    require_live(locked, now)
    if not works_here(tenancy):
        await check_customer_limits(
            tx,
            locked.hold.organization_id,
            locked.customer_limits,
            account=account,
            email=None if customer is None else customer.email,
            starts_at=locked.hold.starts_at,
            time_zone=locked.time_zone,
        )
    booking = _new_booking(locked, request, now)
    items = tuple(_new_items(locked.hold, booking.id))
    owner, change = await insert_booking(tx, booking, items, customer, account)
    role = role_towards(tenancy, booking, account, user_id=actor.user_id, has_link=True)
    await tell_booked(tx, booking, change, actor if actor.user_id is None else acting(actor, role))
    return Booked(booking, items, owner, locked.provider, locked.service, role)


def works_here(tenancy: Tenancy) -> bool:
    """Staff and providers book for others; no limit of customers binds them."""
    return tenancy.is_staff or tenancy.provider_id is not None


def account_of(customer: CustomerDetails | None, tenancy: Tenancy, user_id: UUID | None) -> UUID | None:
    """The account whose own customer record is used: made when there is none, else brought up to what was given.

    None: a new record, so that a guest neither reads nor changes anybody's. So for whom staff or a provider books,
    too: a walk-in is not the one at the desk. Raises InvalidInput.
    """
    if customer is None and user_id is None:
        raise InvalidInput.at("input.customer", "is needed unless you are signed in")
    return None if customer is not None and works_here(tenancy) else user_id


def refuse_what_is_not_offered(request: BookingRequest) -> None:
    if request.payment_method is PaymentMethod.PAY_NOW:
        raise NotAllowed("pay_now_unavailable", "Online payment is not available yet: choose PAY_ON_ARRIVAL.")
    if request.promo_code is not None:
        raise NotAllowed("promo_codes_unavailable", "Promo codes are not available yet.")


def _new_booking(locked: LockedHold, request: BookingRequest, now: datetime) -> Booking:
    hold = locked.hold
    notice, requires_approval = _terms(locked)
    status = BookingStatus.AWAITING_PROVIDER if requires_approval else BookingStatus.CONFIRMED
    return Booking(
        id=new_id(),
        organization_id=hold.organization_id,
        confirmation_code=confirmation_code(secrets.token_bytes(8)),
        status=status,
        version=1,
        starts_at=hold.starts_at,
        ends_at=hold.ends_at,
        time_zone=locked.time_zone,
        party_size=hold.party_size,
        provider_id=hold.provider_id,
        service_id=hold.service_id,
        hold_id=hold.id,
        price_minor=hold.price_minor,
        currency=hold.currency,
        payment_status=PaymentStatus.UNPAID,
        payment_method=request.payment_method,
        expires_at=None,
        cancellable_until=cancellable_until(hold.starts_at, notice),
        cancellation_notice_minutes=notice,
        requires_approval=requires_approval,
        notes=request.notes,
        access_version=1,
        created_at=now,
        updated_at=now,
    )


def _terms(locked: LockedHold) -> tuple[int, bool]:
    """Minutes of notice to cancel, and whether somebody has to approve: of a visit the strictest of its services."""
    service, items = locked.service, locked.hold.items
    if not items:
        return service.cancellation_notice_minutes, service.requires_approval
    notice = max(item["cancellationNoticeMinutes"] for item in items)
    return notice, any(item["requiresApproval"] for item in items)


def _new_items(hold: Hold, booking_id: UUID) -> Iterator[BookingItem]:
    """One for each service of the hold."""
    of_one: dict[str, Any] = {
        "serviceId": str(hold.service_id),
        "providerId": str(hold.provider_id),
        "startsAt": hold.starts_at.isoformat(),
        "endsAt": hold.ends_at.isoformat(),
        "bufferBefore": hold.buffer_before_minutes,
        "bufferAfter": hold.buffer_after_minutes,
        "priceMinor": hold.price_minor,
    }
    for position, item in enumerate(hold.items or (of_one,), 1):
        yield BookingItem(
            id=new_id(),
            organization_id=hold.organization_id,
            booking_id=booking_id,
            position=position,
            service_id=UUID(item["serviceId"]),
            provider_id=UUID(item["providerId"]),
            starts_at=datetime.fromisoformat(item["startsAt"]),
            ends_at=datetime.fromisoformat(item["endsAt"]),
            buffer_before_minutes=item["bufferBefore"],
            buffer_after_minutes=item["bufferAfter"],
            price_minor=item["priceMinor"],
        )


_INSTANT = TIMESTAMP(timezone=True)

# One statement: the customer (a signed-in one who gave nothing: as the account has it), the confirmed time (the held
# row in place, so that no gap opens), the consumed hold, the booking with its item, and the event. ON CONFLICT an
# account's own record takes what was given and keeps the rest; it never happens to a guest: null is no conflict.
_INSERT = text(
    """
    WITH owner AS (
        INSERT INTO customer (id, organization_id, user_id, name, email, phone, locale)
        SELECT :customer_id, :organization_id, :user_id, COALESCE(:name, u.name), COALESCE(:email, u.email), :phone,
               COALESCE(:locale, u.locale)
        FROM (VALUES (true)) AS one (row) LEFT JOIN user_account u ON u.id = :user_id
        WHERE :user_id IS NULL OR u.id IS NOT NULL
        ON CONFLICT (organization_id, user_id) DO UPDATE
        SET name = COALESCE(:name, customer.name), email = COALESCE(:email, customer.email),
            phone = COALESCE(:phone, customer.phone), locale = COALESCE(:locale, customer.locale)
        RETURNING id, name, email, phone, locale, created_at, old.id IS NOT NULL AS was_there, old.name AS old_name,
                  old.email AS old_email, old.phone AS old_phone, old.locale AS old_locale
    ), taken AS (
        UPDATE allocation SET status = 'booked', booking_id = :booking_id, expires_at = NULL
        WHERE hold_id = :hold_id AND status = 'held'
        RETURNING *, old.expires_at AS held_until
    ), consumed AS (
        UPDATE hold SET status = 'consumed' WHERE id = :hold_id
    ), booked AS (
        INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,
                             party_size, provider_id, service_id, session_id, customer_id, hold_id, price_minor,
                             currency, payment_status, payment_method, cancellable_until, cancellation_notice_minutes,
                             requires_approval, notes)
        SELECT :booking_id, :organization_id, next_booking_number(), :confirmation_code, :status, :starts_at, :ends_at,
               :time_zone, :party_size, :provider_id, :service_id, :session_id, owner.id, :hold_id, :price_minor,
               :currency, :payment_status, :payment_method, :cancellable_until, :cancellation_notice_minutes,
               :requires_approval, :notes
        FROM owner
        RETURNING id, number, created_at
    ), item AS (
        INSERT INTO booking_item (id, organization_id, booking_id, position, service_id, provider_id, starts_at,
                                  ends_at, buffer_before_minutes, buffer_after_minutes, price_minor)
        SELECT i.id, :organization_id, booked.id, i.position, i.service_id, i.provider_id, i.starts_at, i.ends_at,
               i.buffer_before_minutes, i.buffer_after_minutes, i.price_minor
        FROM booked, jsonb_to_recordset(CAST(:items AS jsonb)) AS i (
            id uuid, position integer, service_id uuid, provider_id uuid, starts_at timestamptz, ends_at timestamptz,
            buffer_before_minutes integer, buffer_after_minutes integer, price_minor bigint)
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT organization_id, 'allocation.confirmed', subject_id,
               allocation_payload(id, starts_at, ends_at, busy, held_until, 'BOOKED')
        FROM taken
    )
    SELECT booked.number, booked.created_at, owner.id AS customer_id, owner.name, owner.email, owner.phone,
           owner.locale, owner.created_at AS customer_created_at, owner.was_there, owner.old_name, owner.old_email,
           owner.old_phone, owner.old_locale
    FROM booked, owner
    """
).bindparams(
    *(bindparam(name, type_=Uuid) for name in ("customer_id", "user_id", "provider_id", "service_id", "session_id")),
    *(bindparam(name, type_=Text) for name in ("name", "email", "phone", "locale", "notes", "items")),
    bindparam("starts_at", type_=_INSTANT),
    bindparam("ends_at", type_=_INSTANT),
    bindparam("cancellable_until", type_=_INSTANT),
)


async def insert_booking(
    tx: Tx,
    booking: Booking,
    items: Sequence[BookingItem],
    customer: CustomerDetails | None,
    account: UUID | None,
) -> tuple[Customer, Audit | None]:
    """The customer's record as it is now, and what changed in it; the booking gets what the database gave it.

    One statement, which confirms the time that its hold has. Places are confirmed before.
    """
    row = (
        await tx.execute(
            _INSERT,
            {
                "customer_id": new_id(),
                "organization_id": booking.organization_id,
                "user_id": account,
                "name": customer.name if customer else None,
                "email": customer.email if customer else None,
                "phone": customer.phone if customer else None,
                "locale": customer.locale if customer else None,
                "booking_id": booking.id,
                "hold_id": booking.hold_id,
                "confirmation_code": booking.confirmation_code,
                "status": booking.status,
                "starts_at": booking.starts_at,
                "ends_at": booking.ends_at,
                "time_zone": booking.time_zone,
                "party_size": booking.party_size,
                "provider_id": booking.provider_id,
                "service_id": booking.service_id,
                "session_id": booking.session_id,
                "price_minor": booking.price_minor,
                "currency": booking.currency,
                "payment_status": booking.payment_status,
                "payment_method": booking.payment_method,
                "cancellable_until": booking.cancellable_until,
                "cancellation_notice_minutes": booking.cancellation_notice_minutes,
                "requires_approval": booking.requires_approval,
                "notes": booking.notes,
                "items": _json(items),
            },
        )
    ).first()
    if row is None:
        raise Unauthenticated("Your account is gone. Sign up again.")
    booking.number, booking.created_at, booking.customer_id = row.number, row.created_at, row.customer_id
    owner = Customer(
        id=row.customer_id,
        organization_id=booking.organization_id,
        user_id=account,
        name=row.name,
        email=row.email,
        phone=row.phone,
        locale=row.locale,
        created_at=row.customer_created_at,
    )
    return owner, _change_of(row)


_ITEM_COLUMNS = (
    "id",
    "position",
    "service_id",
    "provider_id",
    "starts_at",
    "ends_at",
    "buffer_before_minutes",
    "buffer_after_minutes",
    "price_minor",
)


def _json(items: Sequence[BookingItem]) -> str:
    return msgspec.json.encode([{name: getattr(item, name) for name in _ITEM_COLUMNS} for item in items]).decode()


def _change_of(row: Row[Any]) -> Audit | None:
    """For the audit: what the details given at checkout changed in a record that was there."""
    if not row.was_there:
        return None
    facts = row._mapping
    changed = [name for name in ("name", "email", "phone", "locale") if facts[name] != facts[f"old_{name}"]]
    before, after = {name: facts[f"old_{name}"] for name in changed}, {name: facts[name] for name in changed}
    return Audit("customer.updated", row.customer_id, before, after) if changed else None


async def tell_booked(tx: Tx, booking: Booking, change: Audit | None, actor: Actor) -> None:
    """PENDING waits for nothing here, so it passes straight on; both steps are recorded."""
    after = {
        "status": booking.status,
        "number": booking.number,
        "startsAt": booking.starts_at,
        "endsAt": booking.ends_at,
        "providerId": booking.provider_id,
        "serviceId": booking.service_id,
        "sessionId": booking.session_id,
        "customerId": booking.customer_id,
        "priceMinor": booking.price_minor,
        "currency": booking.currency,
    }
    payload = {"version": 1, "status": booking.status}
    await write_journal(
        tx,
        booking.organization_id,
        actor,
        transitions=[
            Transition(booking.id, None, BookingStatus.PENDING),
            Transition(booking.id, BookingStatus.PENDING, booking.status),
        ],
        audit=[*([] if change is None else [change]), Audit("booking.created", booking.id, None, after)],
        events=[
            Event("booking.created", booking.id, {"version": 1, "status": BookingStatus.PENDING}),
            Event(f"booking.{booking.status}", booking.id, payload),
        ],
    )
