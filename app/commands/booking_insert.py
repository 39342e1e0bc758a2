"""Writing a new booking: its customer, its items, and the time that its hold has, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from string import Template
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Integer, Row, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.booking_payment import CLAIM_GRACE
from app.commands.journal import Audit
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import HELD
from app.domain.booking_terms import terms_in_words
from app.domain.errors import Unauthenticated
from app.domain.refund import NOTHING_AFTER_NOTICE, policy_from_json
from app.models import Booking, BookingItem, Customer


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """As checked at the edge: a clean name, a normalized e-mail, an E.164 phone."""

    name: str
    email: str
    phone: str | None
    locale: str | None


_INSTANT = TIMESTAMP(timezone=True)

OWNER = """
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
"""
"""The customer's record: a guest's is new, an account's own is brought up to what was given."""

# One statement: the customer (a signed-in one who gave nothing: as the account has it), the confirmed time (the held
# row in place, so that no gap opens; held for longer where the booking waits for its payment), the consumed hold, the
# booking with its item, and the event. ON CONFLICT an account's own record takes what was given and keeps the rest; it
# never happens to a guest: null is no conflict.
_INSERT = text(
    Template(
        """
    WITH owner AS (
        $owner
    ), taken AS (
        UPDATE allocation SET status = :claim_status, booking_id = :booking_id, expires_at = :claim_until
        WHERE hold_id = :hold_id AND status = 'held'
        RETURNING *, old.expires_at AS held_until
    ), consumed AS (
        UPDATE hold SET status = 'consumed' WHERE id = :hold_id
    ), frozen AS (
        SELECT * FROM frozen_terms(CAST(:items AS jsonb), :session_id)
    ), booked AS (
        INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,
                             is_private,
                             party_size, provider_id, service_id, session_id, customer_id, hold_id, price_minor,
                             currency, payment_status, payment_method, cancellable_until, cancellation_notice_minutes,
                             requires_approval, notes, expires_at, quote, policy, promo_code_id, approval_hours,
                             terms, maximum_reschedules, reschedule_notice_minutes, recipient, address)
        SELECT :booking_id, :organization_id, next_booking_number(), :confirmation_code, :status, :starts_at, :ends_at,
               :time_zone, :is_private,
               :party_size, :provider_id, :service_id, :session_id, owner.id, :hold_id, :price_minor,
               :currency, :payment_status, :payment_method, :cancellable_until, :cancellation_notice_minutes,
               :requires_approval, :notes, :expires_at, CAST(:quote AS jsonb), CAST(:policy AS jsonb), :promo_code_id,
               :approval_hours, frozen.terms || CAST(:terms AS jsonb), frozen.maximum_reschedules,
               frozen.reschedule_notice_minutes, CAST(:recipient AS jsonb), CAST(:address AS jsonb)
        FROM owner, frozen
        RETURNING id, number, created_at, terms, maximum_reschedules, reschedule_notice_minutes
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
        FROM taken WHERE status = 'booked'
        UNION ALL
        SELECT organization_id, 'allocation.claimed', subject_id,
               allocation_payload(id, starts_at, ends_at, busy, expires_at, 'HELD')
                   || jsonb_build_object('previousExpiresAt', held_until)
        FROM taken WHERE status = 'held'
    )
    SELECT booked.number, booked.created_at, booked.terms, booked.maximum_reschedules,
           booked.reschedule_notice_minutes, owner.id AS customer_id, owner.name, owner.email, owner.phone,
           owner.locale, owner.created_at AS customer_created_at, owner.was_there, owner.old_name, owner.old_email,
           owner.old_phone, owner.old_locale
    FROM booked, owner
    """
    ).substitute(owner=OWNER)
).bindparams(
    *(
        bindparam(name, type_=Uuid)
        for name in ("customer_id", "user_id", "provider_id", "service_id", "session_id", "promo_code_id")
    ),
    *(
        bindparam(name, type_=Text)
        for name in (
            *("name", "email", "phone", "locale", "notes", "items", "quote", "policy", "terms"),
            *("recipient", "address"),
        )
    ),
    bindparam("approval_hours", type_=Integer),
    bindparam("expires_at", type_=_INSTANT),
    bindparam("claim_until", type_=_INSTANT),
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
                "is_private": booking.is_private,
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
                "expires_at": booking.expires_at,
                "approval_hours": booking.approval_hours,
                "terms": _optional_json(words_of(booking)),
                "claim_status": "held" if booking.status in HELD else "booked",
                "claim_until": claim_until(booking),
                "quote": _optional_json(booking.quote),
                "policy": _optional_json(booking.policy),
                "promo_code_id": booking.promo_code_id,
                "recipient": _optional_json(booking.recipient),
                "address": _optional_json(booking.address),
            },
        )
    ).first()
    if row is None:
        raise Unauthenticated("Your account is gone. Sign up again.")
    booking.number, booking.created_at, booking.customer_id = row.number, row.created_at, row.customer_id
    put_frozen(booking, row)
    return customer_of(row, booking.organization_id, account), change_of(row)


def put_frozen(booking: Booking, row: Row[Any]) -> None:
    """What the database froze with it."""
    booking.terms, booking.reschedules = row.terms, 0
    booking.maximum_reschedules = row.maximum_reschedules
    booking.reschedule_notice_minutes = row.reschedule_notice_minutes


def customer_of(row: Row[Any], organization_id: UUID, account: UUID | None) -> Customer:
    """The record as OWNER gave it."""
    return Customer(
        id=row.customer_id,
        organization_id=organization_id,
        user_id=account,
        name=row.name,
        email=row.email,
        phone=row.phone,
        locale=row.locale,
        created_at=row.customer_created_at,
    )


def claim_until(booking: Booking) -> datetime | None:
    """How long its time is kept while it is not paid; None: for good."""
    if booking.status not in HELD or booking.expires_at is None:
        return None
    return booking.expires_at + CLAIM_GRACE


def words_of(booking: Booking) -> dict[str, Any]:
    """Its cancellation policy, for the texts that are frozen with it."""
    policy = NOTHING_AFTER_NOTICE if booking.policy is None else policy_from_json(booking.policy)
    return terms_in_words(policy, booking.cancellation_notice_minutes)


def _optional_json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


ITEM_COLUMNS = (
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
    return msgspec.json.encode([{name: getattr(item, name) for name in ITEM_COLUMNS} for item in items]).decode()


def change_of(row: Row[Any]) -> Audit | None:
    """For the audit: what the details given at checkout changed in a record that was there."""
    if not row.was_there:
        return None
    facts = row._mapping
    changed = [name for name in ("name", "email", "phone", "locale") if facts[name] != facts[f"old_{name}"]]
    before, after = {name: facts[f"old_{name}"] for name in changed}, {name: facts[name] for name in changed}
    return Audit("customer.updated", row.customer_id, before, after) if changed else None
