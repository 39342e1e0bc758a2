"""Holding a slot for one holder while they check out, giving it back, and extending it once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, bindparam, text

from app.commands.actor import Actor
from app.commands.claim import claim_hold, claims_around, slot_taken
from app.commands.expiry import expire_bookings
from app.commands.hold_price import HeldPart, price_of_parts
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import HoldStatus
from app.domain.busy import Busy
from app.domain.claims import Part
from app.domain.errors import FieldErrors, HoldExpired, NotAllowed, NotFound, RateLimited, SlotSearch, SlotUnavailable
from app.domain.instants import local_date
from app.domain.plan import ProviderPlan, SlotRules, UnavailableReason
from app.domain.price_offer import AcceptedOffer
from app.domain.price_quote import NO_FEES, FeeRates, Quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.pricing import PriceType
from app.domain.refusals import why_not
from app.domain.search import VisitItem
from app.models import Hold
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.hold import LockedHold, lock_hold
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """Active holds of one signed-in guest and of one network address; 0: no limit."""

    per_user: int
    per_address: int


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """`provider_id` none: the free provider who is least booked that day.

    A visit has `items`; `service_id` is that of the first, and `provider_id` and `duration_minutes` are none.
    """

    service_id: UUID
    provider_id: UUID | None
    starts_at: datetime
    duration_minutes: int | None
    party_size: int
    items: tuple[VisitItem, ...] = ()
    price_quote_token: str | None = None


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
    fees: FeeRates = NO_FEES,
    offer: AcceptedOffer | None = None,
) -> Hold:
    """Two statements with a named provider, three without; one more to say why. Staff need no notice and have no limit.

    The price is locked, and may take statements of its own (`hold_price`). `offer`: what its customer accepted.
    Raises NotFound, InvalidInput, RateLimited, or SlotUnavailable with a search for alternatives.
    """
    day = request.starts_at.date()
    request = request if offer is None else _as_offered(request, offer)
    providers = None if request.provider_id is None else (request.provider_id,)
    plan = await get_service_plan(tx, request.service_id, providers, day, day, hidden_is_missing=not tenancy.is_staff)
    check_request(plan, request, offer)
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
    outcome = ""
    for candidate in candidates:
        part = Part(candidate, request.starts_at)
        held = [HeldPart(part, plan)]
        quote = await price_of_parts(tx, held, now=now, fees=fees, is_member=user_id is not None, offer=offer)
        hold = new_hold(plan.organization_id, quote, held, request.party_size, user_id=user_id)
        outcome = await try_hold(
            tx, tenancy, hold, [part], now=now, ttl=ttl, limits=limits, address=address, search=search
        )
        if outcome == "held":
            return hold
    raise await slot_taken(tx, candidates, request.starts_at, rules, search, outcome=outcome)


async def try_hold(
    tx: Tx,
    tenancy: Tenancy,
    hold: Hold,
    parts: Sequence[Part],
    *,
    now: datetime,
    ttl: timedelta,
    limits: HoldLimits,
    address: str | None,
    search: SlotSearch,
) -> str:
    """held: the hold is there, with its expiry. taken, resource, limit: nothing happened, and others may be tried.

    Raises RateLimited, SlotUnavailable. One statement.
    """
    # The desk and its guests may share an address: what the staff hold is not counted there.
    hold.address = None if tenancy.is_staff else address
    own = HoldLimits(0, 0) if tenancy.is_staff else limits
    row = await claim_hold(tx, hold, parts, ttl=ttl, user_limit=own.per_user, address_limit=own.per_address)
    if row.outcome in {"user_limit", "address_limit"}:
        seconds = round((row.retry_after - now).total_seconds())
        raise RateLimited("You already hold as many slots as one may at a time. Book or release one first.", seconds)
    if row.outcome == "held":
        if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
            raise SlotUnavailable(UnavailableReason.HELD, "Somebody else is just paying for this time.", search)
        hold.expires_at = row.expires_at
    return str(row.outcome)


def _as_offered(request: HoldRequest, offer: AcceptedOffer) -> HoldRequest:
    """With the provider and the length that the price was named for."""
    return replace(
        request,
        provider_id=request.provider_id if offer.provider_id is None else offer.provider_id,
        duration_minutes=request.duration_minutes if offer.duration_minutes is None else offer.duration_minutes,
    )


def check_request(plan: ServicePlan, request: HoldRequest, offer: AcceptedOffer | None = None) -> None:
    """What the service itself allows. Raises NotFound for one that is off, InvalidInput for the rest."""
    if not plan.is_active:
        raise NotFound
    errors = plan.faults(request.duration_minutes, request.party_size)
    plan.refuse_few(request.party_size, errors)
    if offer is None:
        refuse_quotes(plan, "input", errors)
    if request.provider_id is not None and not plan.offers:
        errors.add("input.providerId", "does not offer this service")
    errors.raise_any()


def refuse_quotes(plan: ServicePlan, path: str, errors: FieldErrors) -> None:
    if plan.price_type is PriceType.CUSTOM:
        errors.add(f"{path}.serviceId", "is priced by quote: an accepted quote comes before the hold")


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
    claims = await claims_around(tx, [plans], starts_at)
    free: list[tuple[int, UUID, ProviderPlan]] = []
    refusal = None
    for plan in plans:
        refusal = why_not(plan, starts_at, rules, claims)
        if refusal is None:
            own = claims.get(plan.provider_id, ())
            free.append((claims_that_day(own, plan, starts_at, rules.now), plan.provider_id, plan))
    if not free:
        assert refusal is not None
        raise SlotUnavailable(refusal.reason, refusal.message, search)
    return [plan for _, _, plan in sorted(free, key=lambda item: item[:2])]


def claims_that_day(claims: Iterable[Busy], plan: ProviderPlan, starts_at: datetime, now: datetime) -> int:
    """How many live holds and bookings somebody has on the local day of a start."""
    day = local_date(starts_at, plan.time_zone)
    return sum(
        1
        for claim in claims
        if claim.is_claim and claim.is_live(now) and local_date(claim.service_range()[0], plan.time_zone) == day
    )


def new_hold(
    organization_id: UUID, quote: Quote, held: Sequence[HeldPart], party_size: int, *, user_id: UUID | None
) -> Hold:
    """Of one service, or of the services of a visit in their order. Not written yet, without expiry and address."""
    first, last = held[0], held[-1]
    prices = zip(held, quote.item_totals(), strict=True)
    return Hold(
        id=new_id(),
        organization_id=organization_id,
        status=HoldStatus.ACTIVE,
        service_id=first.service.service_id,
        provider_id=first.part.plan.provider_id,
        starts_at=first.part.starts_at,
        ends_at=last.part.ends_at,
        buffer_before_minutes=first.part.plan.buffer_before,
        buffer_after_minutes=last.part.plan.buffer_after,
        party_size=party_size,
        price_minor=quote.total_minor,
        currency=quote.currency,
        quote=quote_to_json(quote),
        user_id=user_id,
        token_version=1,
        items=[one.as_item(price_minor) for one, price_minor in prices] if len(held) > 1 else None,
    )


async def release_hold(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, now: datetime, *, actor: Actor) -> Hold:
    """Give the slot back. Releasing twice is the same as once. Raises NotFound, HoldExpired."""
    locked = await _own_hold(tx, signer, hold_id, token)
    hold = locked.hold
    if hold.status == HoldStatus.RELEASED:
        return hold
    require_live(locked, now)
    await name_answerer(tx, hold, actor)
    await tx.execute(_RELEASE, {"hold_id": hold_id})
    hold.status = HoldStatus.RELEASED
    return hold


async def extend_hold(tx: Tx, signer: TokenSigner, hold_id: UUID, token: str, *, now: datetime, ttl: timedelta) -> Hold:
    """Once, by another full term from the old expiry. Raises NotFound, HoldExpired, NotAllowed."""
    locked = await _own_hold(tx, signer, hold_id, token)
    require_live(locked, now)
    refuse_offer(locked.hold)
    expires_at = (await tx.execute(_EXTEND, {"hold_id": hold_id, "ttl": ttl})).scalar()
    if expires_at is None:
        raise NotAllowed("hold_extended_once", "A hold can be extended once, and this one was.")
    locked.hold.expires_at = expires_at
    return locked.hold


async def name_answerer(tx: Tx, hold: Hold, actor: Actor) -> None:
    """Before a hold ends: what becomes of its entry of the waitlist is audited as theirs. One statement of an offer."""
    if hold.waitlist_entry_id is not None:
        await tx.execute(_NAME_ANSWERER, {"actor": actor.as_json()})


_NAME_ANSWERER = text("SELECT set_config('app.waitlist_actor', :actor, true)")


def refuse_offer(hold: Hold) -> None:
    """Others wait behind an offer of the waitlist: it is not kept for longer. Raises NotAllowed."""
    if hold.waitlist_entry_id is not None:
        raise NotAllowed("waitlist_offer", "An offer of the waitlist cannot be extended: others are waiting.")


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


def search_of(hold: Hold) -> SlotSearch | None:
    """What the holder wanted, for alternatives. None: places of a session."""
    if hold.service_id is None or hold.provider_id is None:
        return None
    items = items_of_hold(hold)
    return SlotSearch(
        organization_id=hold.organization_id,
        service_id=hold.service_id,
        provider_ids=None if items else (hold.provider_id,),
        around=hold.starts_at,
        duration_minutes=None if items else round((hold.ends_at - hold.starts_at).total_seconds() / 60),
        party_size=hold.party_size,
        items=items,
    )


def items_of_hold(hold: Hold) -> tuple[VisitItem, ...]:
    """The services of a visit, each with who was to give it; empty for a hold of one."""
    return tuple(
        VisitItem(UUID(item["serviceId"]), UUID(item["providerId"]), _minutes_of(item)) for item in hold.items or ()
    )


def _minutes_of(item: dict[str, Any]) -> int:
    length = datetime.fromisoformat(item["endsAt"]) - datetime.fromisoformat(item["startsAt"])
    return round(length.total_seconds() / 60)


_RELEASE = text("SELECT release_held_time(:hold_id)")

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
    SELECT expires_at FROM extended LIMIT 1
    """
).bindparams(bindparam("ttl", type_=Interval))
