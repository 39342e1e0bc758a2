"""Claims of time, as the SQL functions of `migrations/sql/0002_claims.sql` take them, and why one was refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Interval, Row, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

from app.commands.expiry import expire_bookings
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.busy import Busy
from app.domain.claims import Part, TimeClaim, Together, together
from app.domain.errors import SlotSearch, SlotUnavailable
from app.domain.plan import ProviderPlan, SlotRules, UnavailableReason, Window
from app.domain.refusals import why_not
from app.domain.visits import Items, visit_claims_window, why_not_visit
from app.models import Hold
from app.queries.busy import list_busy

CLAIMED = "claimed"

_INSTANT = TIMESTAMP(timezone=True)

_HOLD = text(
    "SELECT * FROM hold_slot(:hold, :allocation, :organization, :service, :provider, :starts_at, :ends_at,"
    " :buffer_before, :buffer_after, :ttl, :party_size, :price, :currency, :user_id, :address,"
    " :user_limit, :address_limit, CAST(:together AS jsonb), :items, :quote, :promo)"
).bindparams(
    bindparam("starts_at", type_=_INSTANT),
    bindparam("ends_at", type_=_INSTANT),
    bindparam("ttl", type_=Interval),
    bindparam("user_id", type_=Uuid),
    bindparam("address", type_=Text),
    bindparam("together", type_=Text),
    bindparam("items", type_=JSONB(none_as_null=True)),
    bindparam("quote", type_=JSONB(none_as_null=True)),
    bindparam("promo", type_=Uuid),
)

_MOVE = text("SELECT * FROM move_booking_time(:organization, :booking, CAST(:together AS jsonb))").bindparams(
    bindparam("together", type_=Text)
)

# The same locks that moving them one by one would take, but all at once and in their one order.
_LOCK_MOVES = text(
    """
    SELECT lock_subjects(taken.ids || :owner, jsonb_build_array(jsonb_build_object('units', taken.ids || needed.ids)))
    FROM (SELECT COALESCE(array_agg(a.subject_id), '{}') AS ids FROM allocation a
          WHERE a.booking_id = ANY (:bookings) AND a.status IN ('held', 'booked')) AS taken,
         (SELECT COALESCE(array_agg(u.id), '{}') AS ids FROM resource_unit u WHERE u.resource_id IN (
              SELECT unnest(n.resource_ids) FROM resource_need n JOIN booking_item i ON i.service_id = n.owner_id
              WHERE i.booking_id = ANY (:bookings))) AS needed
    """
).bindparams(bindparam("owner", type_=Uuid), bindparam("bookings", type_=ARRAY(Uuid)))

_CLAIM_AGAIN = text(
    "SELECT * FROM claim_together(:organization, CAST(:together AS jsonb), 'booked', NULL, :booking, NULL, 'BOOKED',"
    " :despite_blocks)"
).bindparams(bindparam("together", type_=Text))


async def claim_hold(
    tx: Tx, hold: Hold, parts: Sequence[Part], *, ttl: timedelta, user_limit: int, address_limit: int
) -> Row[Any]:
    """What the SQL function says: its outcome, and with it the hold's expiry or when a limit ends. One statement."""
    needed = together(parts)
    return (
        await tx.execute(
            _HOLD,
            {
                "hold": hold.id,
                "allocation": new_id(),
                "organization": hold.organization_id,
                "service": hold.service_id,
                "provider": hold.provider_id,
                "starts_at": hold.starts_at,
                "ends_at": hold.ends_at,
                "buffer_before": hold.buffer_before_minutes,
                "buffer_after": hold.buffer_after_minutes,
                "ttl": ttl,
                "party_size": hold.party_size,
                "price": hold.price_minor,
                "currency": hold.currency,
                "user_id": hold.user_id,
                "address": hold.address,
                "user_limit": user_limit,
                "address_limit": address_limit,
                "together": None if needed.is_simple else claim_facts(needed),
                "items": hold.items,
                "quote": hold.quote,
                "promo": hold.promo_code_id,
            },
        )
    ).one()


async def move_claims(tx: Tx, organization_id: UUID, booking_id: UUID, parts: Sequence[Part]) -> str:
    """Give a booking's time back and claim it elsewhere. The outcome; unless CLAIMED the caller must raise."""
    values = {"organization": organization_id, "booking": booking_id, "together": claim_facts(together(parts))}
    return await _outcome(tx, (await tx.execute(_MOVE, values)).one())


async def lock_moves(tx: Tx, provider_id: UUID, booking_ids: Sequence[UUID]) -> None:
    """Before several bookings are moved in one transaction: whatever they take, or may need, and this provider.

    Each move would lock its own subjects in order, but together they would not. One statement.
    """
    await tx.execute(_LOCK_MOVES, {"owner": provider_id, "bookings": list(booking_ids)})


async def claim_again(
    tx: Tx, organization_id: UUID, booking_id: UUID, parts: Sequence[Part], *, despite_blocks: bool
) -> str:
    """A booking that gave its time back gets it again. As `move_claims`.

    `despite_blocks`: whatever time off came since.
    """
    values = {
        "organization": organization_id,
        "booking": booking_id,
        "together": claim_facts(together(parts)),
        "despite_blocks": despite_blocks,
    }
    return await _outcome(tx, (await tx.execute(_CLAIM_AGAIN, values)).one())


async def _outcome(tx: Tx, row: Row[Any]) -> str:
    """An unpaid booking in the way is ended, unless somebody is just paying for it."""
    if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
        return "taken"
    return str(row.outcome)


def claim_facts(needed: Together) -> str:
    """As `claim_together` reads it."""
    facts = {
        "claims": [{"subject": claim.subject_id, **_times(claim)} for claim in needed.claims],
        "needs": [{"quantity": need.quantity, "units": need.units, **_times(need.time)} for need in needed.needs],
        "limits": [
            {"subject": limit.subject_id, "from": limit.from_at, "to": limit.to_at, "most": limit.most}
            for limit in needed.limits
        ],
    }
    return msgspec.json.encode(facts).decode()


def _times(claim: TimeClaim) -> dict[str, Any]:
    return {
        "startsAt": claim.starts_at,
        "endsAt": claim.ends_at,
        "busyFrom": claim.busy_from,
        "busyTo": claim.busy_to,
    }


# ── why not ───────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "taken": (UnavailableReason.HELD, "Somebody else was faster, and may give this time back."),
    "limit": (UnavailableReason.LIMIT, "No more bookings are taken for this time."),
    "resource": (UnavailableReason.RESOURCE, "Not everything that this needs is free at this time."),
}


async def slot_taken(
    tx: Tx,
    candidates: Sequence[ProviderPlan],
    starts_at: datetime,
    rules: SlotRules,
    search: SlotSearch,
    *,
    outcome: str = "taken",
) -> SlotUnavailable:
    """Why the database refused: what is against the first of the candidates. One statement."""
    claims = await claims_around(tx, [candidates], starts_at)
    for plan in candidates:
        refusal = why_not(plan, starts_at, rules, claims)
        if refusal is not None:
            return SlotUnavailable(refusal.reason, refusal.message, search)
    return SlotUnavailable(*REFUSED[outcome], search)


async def visit_taken(
    tx: Tx, items: Items, starts_at: datetime, rules: SlotRules, search: SlotSearch, *, outcome: str = "taken"
) -> SlotUnavailable:
    """Why the database refused a visit: what is against the first service that cannot be had. One statement."""
    refused = why_not_visit(items, starts_at, rules, await claims_around(tx, items, starts_at))
    if refused is None:
        return SlotUnavailable(*REFUSED[outcome], search)
    return SlotUnavailable(refused[1].reason, refused[1].message, search)


async def claims_around(tx: Tx, items: Items, starts_at: datetime) -> dict[UUID, list[Busy]]:
    """All that may be in the way of these services from a start on: people's time and units'. One statement."""
    window = visit_claims_window(items, Window(starts_at, starts_at))
    subjects = dict.fromkeys(subject for plans in items for plan in plans for subject in plan.subjects())
    busy = await list_busy(tx, subjects, window.from_utc, window.to_utc)
    return {subject: list(by_id.values()) for subject, by_id in busy.items()}
