"""Holding a slot for one holder while they check out, giving it back, and extending it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Row, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.expiry import expire_bookings
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import HoldStatus
from app.domain.busy import Busy
from app.domain.errors import HoldExpired, NotAllowed, NotFound, RateLimited, SlotSearch, SlotUnavailable
from app.domain.instants import local_date
from app.domain.pricing import PriceType
from app.domain.refusals import why_not
from app.domain.slots import ProviderPlan, SlotRules, UnavailableReason
from app.models import Hold
from app.queries.availability import ServicePlan, get_service_plan, list_busy
from app.queries.hold import LockedHold, lock_hold
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Active holds of one signed-in guest and of one network address; 0: no limit."""

    per_user: int
    per_address: int


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """`provider_id` none: the free provider who is least booked that day."""

    service_id: UUID
    provider_id: UUID | None
    starts_at: datetime
    duration_minutes: int | None
    party_size: int


async def hold_slot(
    tx: Tx,
    tenancy: Tenancy,
    request: HoldRequest,
    *,
    now: datetime,
    ttl: timedelta,
    limits: HoldLimits,
    user_id: UUID | None,
    address: str | None,
) -> Hold:
    """Two statements with a named provider, three without; one more to say why. Staff need no notice and have no limit.

    Raises NotFound, InvalidInput, RateLimited, or SlotUnavailable with a search for alternatives.
    """
    day = request.starts_at.date()
    providers = None if request.provider_id is None else (request.provider_id,)
    plan = await get_service_plan(tx, request.service_id, providers, day, day, hidden_is_missing=not tenancy.is_staff)
    check_request(plan, request)
    search = SlotSearch(
        organization_id=plan.organization_id,
        service_id=plan.service_id,
        provider_ids=providers,
        around=request.starts_at,
        duration_minutes=request.duration_minutes,
        party_size=request.party_size,
        for_staff=tenancy.is_staff,
    )
    rules = plan.rules(now, for_staff=tenancy.is_staff)
    candidates = bookable_plans(plan.plans(request.duration_minutes), request.starts_at, rules, search)
    if len(candidates) > 1:
        candidates = await _least_booked_first(tx, candidates, request.starts_at, rules, search)
    for candidate in candidates:
        # The desk and its guests may share an address: what the staff hold is not counted there.
        hold = _new_hold(plan, candidate, request, user_id, None if tenancy.is_staff else address)
        row = await _claim(tx, hold, ttl, HoldLimits(0, 0) if tenancy.is_staff else limits)
        if row.outcome in {"user_limit", "address_limit"}:
            seconds = round((row.retry_after - now).total_seconds())
            raise RateLimited(
                "You already hold as many slots as one may at a time. Book or release one first.", seconds
            )
        if row.outcome == "held":
            if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
                raise SlotUnavailable(UnavailableReason.HELD, "Somebody else is just paying for this time.", search)
            hold.expires_at = row.expires_at
            return hold
    raise await slot_taken(tx, candidates, request.starts_at, rules, search)


async def slot_taken(
    tx: Tx, candidates: Sequence[ProviderPlan], starts_at: datetime, rules: SlotRules, search: SlotSearch
) -> SlotUnavailable:
    """Why the database refused: booked, held, or too close to another. One statement."""
    busy = await list_busy(tx, [plan.provider_id for plan in candidates], starts_at, starts_at)
    for plan in candidates:
        refusal = why_not(plan, starts_at, rules, busy.get(plan.provider_id, {}).values())
        if refusal is not None:
            return SlotUnavailable(refusal.reason, refusal.message, search)
    return SlotUnavailable(UnavailableReason.HELD, "Somebody else was faster, and may give this time back.", search)


def check_request(plan: ServicePlan, request: HoldRequest) -> None:
    """What the service itself allows. Raises NotFound for one that is off, InvalidInput for the rest."""
    if not plan.is_active:
        raise NotFound
    errors = plan.faults(request.duration_minutes, request.party_size)
    if plan.price_type is PriceType.CUSTOM:
        errors.add("input.serviceId", "is priced by quote: an accepted quote comes before the hold")
    if request.provider_id is not None and not plan.offers:
        errors.add("input.providerId", "does not offer this service")
    errors.raise_any()


def bookable_plans(
    plans: Sequence[ProviderPlan], starts_at: datetime, rules: SlotRules, search: SlotSearch
) -> list[ProviderPlan]:
    """Those whose hours and rules allow the start; claims are the database's to decide. Raises SlotUnavailable."""
    refusals = [(plan, why_not(plan, starts_at, rules)) for plan in plans]
    allowed = [plan for plan, refusal in refusals if refusal is None]
    if not allowed:
        first = next((refusal for _, refusal in refusals if refusal is not None), None)
        if first is None:
            raise SlotUnavailable(UnavailableReason.INACTIVE, "Nobody offers this service now.", search)
        raise SlotUnavailable(first.reason, first.message, search)
    return allowed


async def _least_booked_first(
    tx: Tx, plans: Sequence[ProviderPlan], starts_at: datetime, rules: SlotRules, search: SlotSearch
) -> list[ProviderPlan]:
    """The free ones, by how many claims they have that day, then by id. Raises SlotUnavailable."""
    busy = await list_busy(tx, [plan.provider_id for plan in plans], starts_at, starts_at)
    free: list[tuple[int, UUID, ProviderPlan]] = []
    refusal = None
    for plan in plans:
        claims = list(busy.get(plan.provider_id, {}).values())
        refusal = why_not(plan, starts_at, rules, claims)
        if refusal is None:
            free.append((_claims_that_day(claims, plan, starts_at, rules.now), plan.provider_id, plan))
    if not free:
        assert refusal is not None
        raise SlotUnavailable(refusal.reason, refusal.message, search)
    return [plan for _, _, plan in sorted(free, key=lambda item: item[:2])]


def _claims_that_day(claims: Sequence[Busy], plan: ProviderPlan, starts_at: datetime, now: datetime) -> int:
    day = local_date(starts_at, plan.time_zone)
    return sum(
        1 for claim in claims if claim.is_live(now) and local_date(claim.service_range()[0], plan.time_zone) == day
    )


def _new_hold(
    plan: ServicePlan, candidate: ProviderPlan, request: HoldRequest, user_id: UUID | None, address: str | None
) -> Hold:
    assert candidate.price_minor is not None  # CUSTOM was refused
    return Hold(
        id=new_id(),
        organization_id=plan.organization_id,
        status=HoldStatus.ACTIVE,
        service_id=plan.service_id,
        provider_id=candidate.provider_id,
        starts_at=request.starts_at,
        ends_at=request.starts_at + timedelta(minutes=candidate.duration_minutes),
        buffer_before_minutes=candidate.buffer_before,
        buffer_after_minutes=candidate.buffer_after,
        party_size=request.party_size,
        price_minor=candidate.price_minor,
        currency=plan.currency,
        user_id=user_id,
        address=address,
        token_version=1,
    )


_HOLD_SLOT = text(
    "SELECT * FROM hold_slot(:hold, :allocation, :organization, :service, :provider, :starts_at, :ends_at,"
    " :buffer_before, :buffer_after, :ttl, :party_size, :price, :currency, :user_id, :address,"
    " :user_limit, :address_limit)"
).bindparams(
    bindparam("starts_at", type_=TIMESTAMP(timezone=True)),
    bindparam("ends_at", type_=TIMESTAMP(timezone=True)),
    bindparam("ttl", type_=Interval),
    bindparam("user_id", type_=Uuid),
    bindparam("address", type_=Text),
)


async def _claim(tx: Tx, hold: Hold, ttl: timedelta, limits: HoldLimits) -> Row[Any]:
    """What the SQL function says: its outcome, and with it the hold's expiry or when a limit ends. One statement."""
    return (
        await tx.execute(
            _HOLD_SLOT,
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
                "user_limit": limits.per_user,
                "address_limit": limits.per_address,
            },
        )
    ).one()


async def release_hold(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, now: datetime) -> Hold:
    """Give the slot back. Releasing twice is the same as once. Raises NotFound, HoldExpired."""
    locked = await _own_hold(tx, signer, hold_id, token)
    hold = locked.hold
    if hold.status == HoldStatus.RELEASED:
        return hold
    require_live(locked, now)
    await tx.execute(_RELEASE, {"hold_id": hold_id})
    hold.status = HoldStatus.RELEASED
    return hold


async def extend_hold(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, *, now: datetime, ttl: timedelta) -> Hold:
    """Once, by another full term from the old expiry. Raises NotFound, HoldExpired, NotAllowed."""
    locked = await _own_hold(tx, signer, hold_id, token)
    require_live(locked, now)
    expires_at = (await tx.execute(_EXTEND, {"hold_id": hold_id, "ttl": ttl})).scalar()
    if expires_at is None:
        raise NotAllowed("hold_extended_once", "A hold can be extended once, and this one was.")
    locked.hold.expires_at = expires_at
    return locked.hold


async def _own_hold(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str) -> LockedHold:
    locked = await lock_hold(tx, hold_id)
    if not signer.is_hold_token(token, hold_id, locked.hold.token_version):
        raise NotFound
    return locked


_ENDED = {
    HoldStatus.CONSUMED: "This hold has already become a booking.",
    HoldStatus.RELEASED: "This hold was released.",
}


def require_live(locked: LockedHold, now: datetime) -> None:
    """Raises HoldExpired, with a search for alternatives."""
    if not locked.is_live(now):
        message = _ENDED.get(HoldStatus(locked.hold.status), "This hold ran out.")
        raise HoldExpired(message, search_of(locked.hold))


def search_of(hold: Hold) -> SlotSearch:
    """What the holder wanted, for alternatives."""
    return SlotSearch(
        organization_id=hold.organization_id,
        service_id=hold.service_id,
        provider_ids=(hold.provider_id,),
        around=hold.starts_at,
        duration_minutes=round((hold.ends_at - hold.starts_at).total_seconds() / 60),
        party_size=hold.party_size,
    )


_RELEASE = text(
    """
    WITH freed AS (
        UPDATE allocation SET status = 'released', released_at = turnero_now()
        WHERE hold_id = :hold_id AND status = 'held'
        RETURNING *
    ), released AS (
        UPDATE hold SET status = 'released' WHERE id = :hold_id
    )
    INSERT INTO outbox_event (organization_id, type, subject_id, payload)
    SELECT organization_id, 'allocation.released', subject_id,
           allocation_payload(id, starts_at, ends_at, busy, expires_at, 'RELEASED')
    FROM freed
    """
)

# `extended_at IS NULL` decides, not what was read before: two extensions at once are one. Told as a claim again, so
# that a subscriber learns the new expiry.
_EXTEND = text(
    """
    WITH held AS (
        UPDATE hold SET expires_at = expires_at + :ttl, extended_at = turnero_now()
        WHERE id = :hold_id AND extended_at IS NULL
        RETURNING id, expires_at
    ), extended AS (
        UPDATE allocation a SET expires_at = held.expires_at FROM held
        WHERE a.hold_id = held.id AND a.status = 'held'
        RETURNING a.*, old.expires_at AS held_until
    ), told AS (
        INSERT INTO outbox_event (organization_id, type, subject_id, payload)
        SELECT organization_id, 'allocation.claimed', subject_id,
               allocation_payload(id, starts_at, ends_at, busy, expires_at, 'HELD')
                   || jsonb_build_object('previousExpiresAt', held_until)
        FROM extended
    )
    SELECT expires_at FROM extended
    """
).bindparams(bindparam("ttl", type_=Interval))
