"""The gravest thing against one start. Agrees with `app.domain.slots`: no refusal means it is offered."""

from __future__ import annotations

from datetime import datetime

from app.domain.busy import BusyBySubject
from app.domain.closed import outside_hours
from app.domain.explain import reasons_of_claims, reasons_of_rules
from app.domain.instants import minute_ceil, minute_floor
from app.domain.plan import ProviderPlan, Refusal, SlotRules, UnavailableReason


def why_not(
    plan: ProviderPlan, starts_at: datetime, rules: SlotRules, busy_by_subject: BusyBySubject | None = None
) -> Refusal | None:
    """The first of the reasons that `explain` gives: hours, breaks, grid, notice, horizon, then claims. None:
    it is free.

    Without `busy_by_subject` claims are not asked about: when a slot is taken, the database decides.
    """
    reason = next(reasons_of_rules(plan, starts_at, rules), None)
    if reason is None and busy_by_subject is not None:
        reason = next(reasons_of_claims(plan, starts_at, rules.now, busy_by_subject), None)
    return None if reason is None else Refusal(reason.reason, reason.message)


def within_hours(plan: ProviderPlan, starts_at: datetime, ends_at: datetime) -> UnavailableReason | None:
    """HOLIDAY, CLOSED or BREAK when a service at this time falls outside the plan's hours, else None.

    No grid is asked for.
    """
    return outside_hours(plan, (minute_floor(starts_at), minute_ceil(ends_at)))
