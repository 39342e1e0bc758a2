"""Why a slot is not free: the same facts as a search reads, and for staff whose bookings they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.core.database import Tx
from app.domain.closed import LOOKED_THROUGH, Reason
from app.domain.errors import BadInput, FieldErrors, NotFound
from app.domain.explain import explain
from app.domain.instants import day_bounds, local_date
from app.domain.limits import claims_window
from app.domain.slots import ProviderPlan, UnavailableReason, Window
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.busy import BusyByProvider, list_busy

_OF_OTHERS = frozenset(
    {
        UnavailableReason.BOOKED,
        UnavailableReason.HELD,
        UnavailableReason.BUFFER,
        UnavailableReason.TIME_OFF,
        UnavailableReason.EXTERNAL_BUSY,
        UnavailableReason.RESOURCE,
    }
)


@dataclass(frozen=True, slots=True)
class SlotQuestion:
    """One start of one provider. `duration_minutes` none: the provider's own length."""

    service_id: UUID
    provider_id: UUID
    starts_at: datetime
    duration_minutes: int | None
    party_size: int


async def explain_slot(
    tx: Tx, question: SlotQuestion, now: datetime, *, for_staff: bool, has_details: bool
) -> list[Reason]:
    """Every reason, gravest first; none: the slot is offered. Two statements, four with details.

    Raises NotFound for what the viewer cannot see, BadInput for what the service does not allow. Without details, the
    times of other people's claims are cut to the days that the slot touches, and nothing says whose they are.
    """
    day = question.starts_at.date()
    plan = await get_service_plan(
        tx,
        question.service_id,
        (question.provider_id,),
        day - LOOKED_THROUGH,
        day + LOOKED_THROUGH,
        hidden_is_missing=not for_staff,
    )
    if not plan.is_active and not for_staff:
        raise NotFound
    _check(plan, question)
    if not plan.offers:
        what = "offers this service no more" if plan.is_active else "cannot be booked: the service is switched off"
        return [Reason(UnavailableReason.INACTIVE, None, None, f"The provider {what}.")]
    [own] = plan.plans(question.duration_minutes)
    known = claims_window([own], Window(question.starts_at, question.starts_at))
    busy = await list_busy(tx, own.subjects(), known.from_utc, known.to_utc)
    names: Mapping[UUID, str] = {}
    if has_details:
        busy = await _with_details(tx, busy)
        names = await _unit_names(tx, own)
    claims = {subject: by_id.values() for subject, by_id in busy.items()}
    rules = plan.rules(now, for_staff=for_staff)
    found = explain(own, question.starts_at, rules, claims, resource_names=names)
    return found if has_details else [_for_guests(reason, own, question.starts_at) for reason in found]


def _check(plan: ServicePlan, question: SlotQuestion) -> None:
    errors = FieldErrors()
    for violation in plan.faults(question.duration_minutes, question.party_size).found:
        errors.add(violation.path.removeprefix("input."), violation.message)
    if errors.found:
        raise BadInput(errors.found)


def _for_guests(reason: Reason, plan: ProviderPlan, starts_at: datetime) -> Reason:
    if reason.reason not in _OF_OTHERS or reason.from_utc is None or reason.to_utc is None:
        return replace(reason, detail=None, booking_id=None)
    # The days that the service touches with its buffers: a claim that stands in its way lies in one of them.
    first = starts_at - timedelta(minutes=plan.buffer_before)
    last = starts_at + timedelta(minutes=plan.duration_minutes + plan.buffer_after)
    low, _ = day_bounds(local_date(first, plan.time_zone), plan.time_zone)
    _, high = day_bounds(local_date(last, plan.time_zone), plan.time_zone)
    from_utc, to_utc = max(low, reason.from_utc), min(high, reason.to_utc)
    if from_utc >= to_utc:
        from_utc, to_utc = first, last
    return replace(reason, from_utc=from_utc, to_utc=to_utc, detail=None, booking_id=None)


# ── for staff ─────────────────────────────────────────────────────────────────────────────────────────

_DETAILS = text(
    """
    SELECT a.id, a.booking_id, NULL AS note FROM allocation a WHERE a.id = ANY(:ids)
    UNION ALL
    SELECT b.id, NULL, b.reason FROM blocked_time b WHERE b.id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

_UNIT_NAMES = text(
    "SELECT u.id, r.name FROM resource_unit u JOIN resource r ON r.id = u.resource_id WHERE u.id = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def _with_details(tx: Tx, busy: BusyByProvider) -> BusyByProvider:
    ids = [claim_id for claims in busy.values() for claim_id in claims]
    details = {row.id: row for row in await tx.execute(_DETAILS, {"ids": ids})}
    return {
        subject: {
            claim_id: replace(claim, booking_id=details[claim_id].booking_id, note=details[claim_id].note)
            for claim_id, claim in claims.items()
        }
        for subject, claims in busy.items()
    }


async def _unit_names(tx: Tx, plan: ProviderPlan) -> dict[UUID, str]:
    units = [unit for need in plan.needs for unit in need.units]
    if not units:
        return {}
    return {row.id: row.name for row in await tx.execute(_UNIT_NAMES, {"ids": units})}
