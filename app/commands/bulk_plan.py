"""Planning a bulk change: what would become of each booking, by the rules and the engine that decide it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.commands.actor import Actor
from app.commands.booking_change import minutes_of
from app.commands.journal import Audit, write_journal
from app.commands.served import area_of, outside
from app.commands.settlement import terms_of_cancellation
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import TRANSITIONS, BookingStatus
from app.domain.bulk import BOOKINGS_MAXIMUM, PLAN_LIFE, BulkAction, BulkRequest, BulkScope, Totals, Verdict
from app.domain.busy import Busy
from app.domain.errors import InvalidInput, NotFound
from app.domain.plan import ProviderPlan, Window
from app.domain.policy import ActorKind, RuleBroken, broken_reschedule_rule, broken_rule
from app.domain.visits import visit_claims_window, why_not_visit
from app.models import Activity, Booking, BookingItem, BulkChange, BulkChangeItem, Organization, Provider, Venue
from app.queries.availability import ServicePlan, get_service_plans
from app.queries.booking import facts_of, items_of_bookings
from app.queries.bulk import count_sessions, list_bookings_in, may_see
from app.queries.busy import list_busy
from app.queries.payment import MAY_BE_DISPUTED, Disputed, disputed_below
from app.queries.rows import get_row
from app.queries.tenancy import Tenancy


def role_in(tenancy: Tenancy, action: BulkAction, provider_id: UUID | None) -> ActorKind:
    """In what role somebody changes these bookings: staff any, a provider cancels their own. Raises NotFound."""
    if tenancy.role is not None:
        return ActorKind(tenancy.role)
    if action is BulkAction.CANCEL and may_see(tenancy, provider_id):
        return ActorKind.PROVIDER
    raise NotFound


async def plan_bulk_change(
    tx: Tx, tenancy: Tenancy, request: BulkRequest, *, actor: Actor, now: datetime
) -> BulkChange:
    """What would become of each booking now. Nothing changes; the plan is kept for an hour.

    Eight statements; five more for a move. Raises NotFound, InvalidInput.
    """
    role = role_in(tenancy, request.action, request.scope.provider_id)
    organization = await get_row(tx, Organization, tenancy.organization_id)
    await _require_scope(tx, request.scope, request.target_provider_id)
    found = await list_bookings_in(
        tx, organization.id, request.scope, limit=BOOKINGS_MAXIMUM + 1, is_own=role is ActorKind.PROVIDER
    )
    if len(found) > BOOKINGS_MAXIMUM:
        raise InvalidInput.at(
            "input.startsBefore", f"has more than {BOOKINGS_MAXIMUM} bookings before it: take less time"
        )
    verdicts = await judge(tx, request.action, request.target_provider_id, found, role, now)
    totals = Totals.of(verdicts)
    change = BulkChange(
        id=new_id(),
        organization_id=organization.id,
        action=request.action.value,
        provider_id=request.scope.provider_id,
        venue_id=request.scope.venue_id,
        activity_id=request.scope.activity_id,
        target_provider_id=request.target_provider_id,
        starts_from=request.scope.starts_from,
        starts_before=request.scope.starts_before,
        reason=request.reason,
        currency=organization.currency,
        refund_minor=totals.refund_minor,
        fee_minor=totals.fee_minor,
        session_count=await count_sessions(tx, request.scope),
        item_count=totals.count,
        possible_count=totals.possible,
        expires_at=now + PLAN_LIFE,
    )
    tx.add(change)
    await tx.flush()
    await put_items(tx, change, verdicts)
    after = {"action": change.action, "bookings": totals.count, "possible": totals.possible}
    audit = Audit("bulk.planned", change.id, None, after, request.reason)
    await write_journal(tx, organization.id, replace(actor, name=role.value), audit=[audit])
    await tx.refresh(change)
    return change


async def _require_scope(tx: Tx, scope: BulkScope, target_id: UUID | None) -> None:
    """Is all that it names of this organization? Raises NotFound, InvalidInput."""
    if scope.provider_id is not None:
        await get_row(tx, Provider, scope.provider_id)
    if scope.venue_id is not None:
        await get_row(tx, Venue, scope.venue_id)
    if scope.activity_id is not None:
        await get_row(tx, Activity, scope.activity_id)
    if target_id is not None and not (await get_row(tx, Provider, target_id)).is_active:
        raise InvalidInput.at("input.targetProviderId", "does not work now")


async def put_items(tx: Tx, change: BulkChange, verdicts: Sequence[Verdict]) -> None:
    """At most one statement."""
    if not verdicts:
        return
    rows = [
        {
            "bulk_change_id": change.id,
            "booking_id": one.booking_id,
            "booking_version": one.version,
            "refused_by": one.rule,
            "refused_because": one.message,
            "refund_minor": one.refund_minor,
            "fee_minor": one.fee_minor,
            "organization_id": change.organization_id,
        }
        for one in verdicts
    ]
    await tx.execute(insert(BulkChangeItem).values(rows))


async def judge(  # noqa: PLR0917 (all that the answer depends on)
    tx: Tx,
    action: BulkAction,
    target_id: UUID | None,
    bookings: Sequence[Booking],
    role: ActorKind,
    now: datetime,
) -> list[Verdict]:
    """One for each booking, in their order. At most one statement for cancellations, and five for moves."""
    if action is BulkAction.CANCEL:
        asked = [booking.id for booking in bookings if booking.payment_status in MAY_BE_DISPUTED]
        disputed = await disputed_below(tx, asked) if asked else {}
        return [_of_cancellation(booking, disputed.get(booking.id, Disputed()), role, now) for booking in bookings]
    assert target_id is not None
    return await _of_moves(tx, target_id, bookings, role, now)


def _refused(booking: Booking, broken: RuleBroken) -> Verdict:
    return Verdict(booking.id, booking.version, broken.rule, broken.message)


def _of_cancellation(booking: Booking, disputed: Disputed, role: ActorKind, now: datetime) -> Verdict:
    facts = facts_of(booking)
    if BookingStatus.CANCELLED not in TRANSITIONS[facts.status]:
        message = f"A booking that is {facts.status.name} cannot be cancelled."
        return _refused(booking, RuleBroken("illegal_transition", message))
    broken = broken_rule(facts, role, BookingStatus.CANCELLED, now)
    if broken is not None:
        return _refused(booking, broken)
    terms = terms_of_cancellation(booking, disputed, role, now)
    return Verdict(booking.id, booking.version, refund_minor=terms.refund_minor, fee_minor=terms.fee_minor)


# ── moves ─────────────────────────────────────────────────────────────────────────────────────────────

_VISIT = RuleBroken("visit", "A visit of several services moves with all its providers: move it by itself.")
_NOT_OFFERED = RuleBroken("not_offered", "The other provider does not offer this service now.")
_HAS_IT = RuleBroken("same_provider", "This booking is the other provider's already.")


async def _of_moves(
    tx: Tx, target_id: UUID, bookings: Sequence[Booking], role: ActorKind, now: datetime
) -> list[Verdict]:
    """To the same time of another provider; each that can be moved takes its time there from those that follow."""
    items: dict[UUID, list[BookingItem]] = {}
    for item in await items_of_bookings(tx, [booking.id for booking in bookings]) if bookings else ():
        items.setdefault(item.booking_id, []).append(item)
    is_area_asked = any(booking.address is not None for booking in bookings)
    area = await area_of(tx, target_id) if is_area_asked else None
    broken = {
        booking.id: _broken_move(booking, items[booking.id], target_id, role, now) or _broken_area(booking, area)
        for booking in bookings
    }
    free = [booking for booking in bookings if broken[booking.id] is None]
    if free:
        singles = {booking.id: items[booking.id][0] for booking in free}
        broken |= await _against_moves(tx, target_id, free, singles, now)
    verdicts = []
    for booking in bookings:
        rule = broken[booking.id]
        verdicts.append(Verdict(booking.id, booking.version) if rule is None else _refused(booking, rule))
    return verdicts


def _broken_move(
    booking: Booking, items: Sequence[BookingItem], target_id: UUID, role: ActorKind, now: datetime
) -> RuleBroken | None:
    if len(items) > 1:
        return _VISIT
    if booking.provider_id == target_id:
        return _HAS_IT
    return broken_reschedule_rule(facts_of(booking), role, now)


def _broken_area(booking: Booking, area: Mapping[str, Any] | None) -> RuleBroken | None:
    """The reason of a bulk change is for all of them, and none to go beyond the area with one."""
    fault = outside(booking, area)
    if fault is None:
        return None
    return RuleBroken("outside_area", f"The address of this booking {fault}: move it by itself, with a reason.")


async def _against_moves(
    tx: Tx, target_id: UUID, bookings: Sequence[Booking], items: Mapping[UUID, BookingItem], now: datetime
) -> dict[UUID, RuleBroken | None]:
    service_ids = sorted({item.service_id for item in items.values()})
    first, last = bookings[0].starts_at, bookings[-1].starts_at
    people = [(service_id, (target_id,)) for service_id in service_ids]
    found = await get_service_plans(tx, people, first.date(), last.date())
    services = dict(zip(service_ids, found, strict=True))
    plans = {
        booking_id: _as_booked(services[item.service_id], item)
        for booking_id, item in items.items()
        if services[item.service_id].offers
    }
    claims = await _claims(tx, list(plans.values()), Window(first, last))
    answers: dict[UUID, RuleBroken | None] = {}
    for booking in bookings:
        plan, item = plans.get(booking.id), items[booking.id]
        if plan is None:
            answers[booking.id] = _NOT_OFFERED
            continue
        rules = services[item.service_id].rules(now, for_staff=True)
        refused = why_not_visit([[plan]], booking.starts_at, rules, _without(claims, target_id, item))
        answers[booking.id] = None if refused is None else RuleBroken(refused[1].reason.value, refused[1].message)
        if refused is None:
            claims.setdefault(target_id, []).append(_taken(plan, item))
    return answers


def _as_booked(service: ServicePlan, item: BookingItem) -> ProviderPlan:
    """The other provider's hours with what was booked."""
    plan = service.plan_of(service.offers[0], minutes_of(item))
    return replace(plan, buffer_before=item.buffer_before_minutes, buffer_after=item.buffer_after_minutes)


async def _claims(tx: Tx, plans: Sequence[ProviderPlan], window: Window) -> dict[UUID, list[Busy]]:
    if not plans:
        return {}
    around = visit_claims_window([plans], window)
    subjects = dict.fromkeys(subject for plan in plans for subject in plan.subjects())
    busy = await list_busy(tx, subjects, around.from_utc, around.to_utc)
    return {subject: list(by_id.values()) for subject, by_id in busy.items()}


def _without(claims: Mapping[UUID, list[Busy]], target_id: UUID, item: BookingItem) -> Mapping[UUID, list[Busy]]:
    """A move gives back first what the booking has: no two claims of one thing have the same times."""
    own = (item.starts_at, item.ends_at)
    return {
        subject: busy
        if subject == target_id
        else [one for one in busy if not (one.is_claim and one.service_range() == own)]
        for subject, busy in claims.items()
    }


def _taken(plan: ProviderPlan, item: BookingItem) -> Busy:
    before, after = timedelta(minutes=plan.buffer_before), timedelta(minutes=plan.buffer_after)
    return Busy(item.starts_at - before, item.ends_at + after, starts_at=item.starts_at, ends_at=item.ends_at)
