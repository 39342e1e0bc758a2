"""Writing a new series: its customer, its claims and its bookings, each in one statement however many dates it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Text, Uuid, bindparam, text

from app.commands.booking_insert import (
    ITEM_COLUMNS,
    OWNER,
    CustomerDetails,
    change_of,
    customer_of,
    put_frozen,
    words_of,
)
from app.commands.claim import REFUSED, claim_facts
from app.commands.expiry import expire_bookings
from app.commands.journal import Audit
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.claims import Part, together
from app.domain.errors import Unauthenticated
from app.domain.plan import Refusal, UnavailableReason
from app.models import Booking, BookingItem, BookingSeries, Customer

# ── the customer ──────────────────────────────────────────────────────────────────────────────────────

_OWNER_COLUMNS = (
    "SELECT id AS customer_id, name, email, phone, locale, created_at AS customer_created_at, was_there, old_name,"
    " old_email, old_phone, old_locale FROM owner"
)
_OWNER = text("WITH owner AS (" + OWNER + ") " + _OWNER_COLUMNS).bindparams(
    bindparam("customer_id", type_=Uuid),
    bindparam("user_id", type_=Uuid),
    *(bindparam(name, type_=Text) for name in ("name", "email", "phone", "locale")),
)


async def put_customer(
    tx: Tx, organization_id: UUID, customer: CustomerDetails | None, account: UUID | None
) -> tuple[Customer, Audit | None]:
    """As a booking's. One statement. Raises Unauthenticated."""
    values = {
        "customer_id": new_id(),
        "organization_id": organization_id,
        "user_id": account,
        "name": customer.name if customer else None,
        "email": customer.email if customer else None,
        "phone": customer.phone if customer else None,
        "locale": customer.locale if customer else None,
    }
    row = (await tx.execute(_OWNER, values)).first()
    if row is None:
        raise Unauthenticated("Your account is gone. Sign up again.")
    return customer_of(row, organization_id, account), change_of(row)


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────


def time_entry(index: int, booking_id: UUID, part: Part, until: datetime | None = None) -> dict[str, Any]:
    """As the SQL functions read the time of one date. `until`: it is held so long, for its payment."""
    facts = msgspec.Raw(claim_facts(together([part])).encode())
    return {"index": index, "booking": booking_id, "together": facts, "until": until}


def places_entry(
    index: int, booking_id: UUID, session_id: UUID, places: int, until: datetime | None = None
) -> dict[str, Any]:
    """The same of places."""
    return {"index": index, "booking": booking_id, "session": session_id, "places": places, "until": until}


_CLAIM = text("SELECT * FROM claim_series(:organization, CAST(:dates AS jsonb), 'BOOKED')")
_CLAIM_PLACES = text("SELECT * FROM claim_series_places(:organization, CAST(:dates AS jsonb), 'BOOKED')")
_MOVE = text("SELECT * FROM move_series(:organization, CAST(:dates AS jsonb))")
_MOVE_PLACES = text("SELECT * FROM move_series_places(:organization, CAST(:dates AS jsonb))")

_FULL = Refusal(UnavailableReason.CAPACITY, "Somebody else was faster: there are not so many places left.")


async def claim_dates(
    tx: Tx, organization_id: UUID, entries: Sequence[dict[str, Any]], *, of_sessions: bool
) -> dict[int, Refusal]:
    """Those that were refused, by index: none, or the caller must raise. One statement; more to end unpaid bookings."""
    return await _claimed(tx, _CLAIM_PLACES if of_sessions else _CLAIM, organization_id, entries)


async def move_dates(
    tx: Tx, organization_id: UUID, entries: Sequence[dict[str, Any]], *, of_sessions: bool
) -> dict[int, Refusal]:
    """The same for bookings that give back what they have first. The caller has their rows."""
    return await _claimed(tx, _MOVE_PLACES if of_sessions else _MOVE, organization_id, entries)


async def _claimed(
    tx: Tx, statement: Any, organization_id: UUID, entries: Sequence[dict[str, Any]]
) -> dict[int, Refusal]:
    values = {"organization": organization_id, "dates": msgspec.json.encode(entries).decode()}
    rows = (await tx.execute(statement, values)).all()
    refused = {
        row.place: _FULL if statement in {_CLAIM_PLACES, _MOVE_PLACES} else Refusal(*REFUSED[row.outcome])
        for row in rows
        if row.outcome != "claimed"
    }
    lapsed: dict[UUID, int] = {booking_id: row.place for row in rows for booking_id in row.lapsed_bookings or ()}
    if lapsed and not refused:
        paying = Refusal(UnavailableReason.HELD, "Somebody else is just paying for this.")
        refused = {lapsed[booking_id]: paying for booking_id in await expire_bookings(tx, sorted(lapsed))}
    return refused


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────

_INSERT = text(
    """
    WITH series AS (
        INSERT INTO booking_series (id, organization_id, service_id, activity_id, provider_id, customer_id, rule,
                                    except_dates, starts_at, time_zone, duration_minutes, party_size,
                                    guest_session_id)
        SELECT s.* FROM jsonb_to_record(CAST(:series AS jsonb)) AS s (
            id uuid, organization_id uuid, service_id uuid, activity_id uuid, provider_id uuid, customer_id uuid,
            rule text, except_dates date[], starts_at timestamptz, time_zone text, duration_minutes integer,
            party_size integer, guest_session_id uuid)
        RETURNING id, created_at
    ), booked AS (
        INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,
                             party_size, provider_id, service_id, session_id, customer_id, series_id, series_index,
                             price_minor, currency, payment_status, payment_method, cancellable_until,
                             cancellation_notice_minutes, requires_approval, notes, expires_at, quote, policy,
                             approval_hours, terms, maximum_reschedules, reschedule_notice_minutes, recipient,
                             address)
        SELECT b.id, b.organization_id, next_booking_number(), b.confirmation_code, b.status, b.starts_at, b.ends_at,
               b.time_zone, b.party_size, b.provider_id, b.service_id, b.session_id, b.customer_id, series.id,
               b.series_index, b.price_minor, b.currency, b.payment_status, b.payment_method, b.cancellable_until,
               b.cancellation_notice_minutes, b.requires_approval, b.notes, b.expires_at, b.quote, b.policy,
               b.approval_hours, frozen.terms || b.terms, frozen.maximum_reschedules, frozen.reschedule_notice_minutes,
               b.recipient, b.address
        FROM series, (SELECT * FROM jsonb_to_recordset(CAST(:bookings AS jsonb)) AS r (
            id uuid, organization_id uuid, confirmation_code text, status text, starts_at timestamptz,
            ends_at timestamptz, time_zone text, party_size integer, provider_id uuid, service_id uuid,
            session_id uuid, customer_id uuid, series_index integer, price_minor bigint, currency text,
            payment_status text, payment_method text, cancellable_until timestamptz,
            cancellation_notice_minutes integer, requires_approval boolean, notes text, expires_at timestamptz,
            quote jsonb, policy jsonb, approval_hours integer, terms jsonb, recipient jsonb, address jsonb)
            ORDER BY r.series_index) AS b,
            LATERAL frozen_terms((
                SELECT COALESCE(jsonb_agg(e.item), '[]') FROM jsonb_array_elements(CAST(:items AS jsonb)) AS e (item)
                WHERE (e.item ->> 'booking_id')::uuid = b.id), b.session_id) AS frozen
        RETURNING id, number, created_at, terms, maximum_reschedules, reschedule_notice_minutes
    ), item AS (
        INSERT INTO booking_item (id, organization_id, booking_id, position, service_id, provider_id, starts_at,
                                  ends_at, buffer_before_minutes, buffer_after_minutes, price_minor)
        SELECT i.id, i.organization_id, booked.id, i.position, i.service_id, i.provider_id, i.starts_at, i.ends_at,
               i.buffer_before_minutes, i.buffer_after_minutes, i.price_minor
        FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS i (
            id uuid, organization_id uuid, booking_id uuid, position integer, service_id uuid, provider_id uuid,
            starts_at timestamptz, ends_at timestamptz, buffer_before_minutes integer, buffer_after_minutes integer,
            price_minor bigint)
        JOIN booked ON booked.id = i.booking_id
    )
    SELECT booked.*, series.created_at AS series_created_at FROM booked, series
    """
)

_SERIES_COLUMNS = (
    "id",
    "organization_id",
    "service_id",
    "activity_id",
    "provider_id",
    "customer_id",
    "rule",
    "except_dates",
    "starts_at",
    "time_zone",
    "duration_minutes",
    "party_size",
    "guest_session_id",
)
_BOOKING_COLUMNS = (
    "id",
    "organization_id",
    "confirmation_code",
    "status",
    "starts_at",
    "ends_at",
    "time_zone",
    "party_size",
    "provider_id",
    "service_id",
    "session_id",
    "customer_id",
    "series_index",
    "price_minor",
    "currency",
    "payment_status",
    "payment_method",
    "cancellable_until",
    "cancellation_notice_minutes",
    "requires_approval",
    "notes",
    "expires_at",
    "quote",
    "policy",
    "approval_hours",
    "recipient",
    "address",
)
_OWN_ITEM_COLUMNS = ("organization_id", "booking_id", *ITEM_COLUMNS)


async def insert_series(
    tx: Tx, series: BookingSeries, bookings: Sequence[Booking], items: Mapping[UUID, Sequence[BookingItem]]
) -> None:
    """The rows get what the database gives them. One statement."""
    values = {
        "series": _json(_facts(series, _SERIES_COLUMNS)),
        "bookings": _json([{**_facts(one, _BOOKING_COLUMNS), "terms": words_of(one)} for one in bookings]),
        "items": _json([_facts(item, _OWN_ITEM_COLUMNS) for of_one in items.values() for item in of_one]),
    }
    rows = {row.id: row for row in await tx.execute(_INSERT, values)}
    for booking in bookings:
        row = rows[booking.id]
        booking.number, booking.created_at = row.number, row.created_at
        put_frozen(booking, row)
        series.created_at = series.updated_at = row.series_created_at


def _facts(record: Any, columns: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in columns}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
