"""Changing many bookings by one decision: what can be asked for, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from app.domain.booking import FREE, BookingStatus
from app.domain.errors import (
    DomainError,
    FieldErrors,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    SlotUnavailable,
    StaleVersion,
)

BOOKINGS_MAXIMUM = 1_000
"""Of one change."""
LONGEST = timedelta(days=31)
PLAN_LIFE = timedelta(hours=1)
"""What was looked at longer ago has changed too much: it is planned anew."""

OPEN_STATUSES = frozenset(BookingStatus) - FREE - {BookingStatus.COMPLETED}
"""Bookings that are not over."""


class BulkAction(StrEnum):
    """What is done to each booking."""

    CANCEL = "cancel"
    MOVE = "move"


class BulkStatus(StrEnum):
    PLANNED = "planned"
    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"


class BulkResult(StrEnum):
    """What became of one booking."""

    DONE = "done"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BulkScope:
    """Bookings that start in `starts_from` <= t < `starts_before`: of exactly one provider, venue or activity."""

    starts_from: datetime
    starts_before: datetime
    provider_id: UUID | None = None
    venue_id: UUID | None = None
    activity_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """`target_provider_id`: of a move, who has the bookings afterwards."""

    action: BulkAction
    scope: BulkScope
    target_provider_id: UUID | None
    reason: str


def check_request(request: BulkRequest) -> None:
    """Raises InvalidInput with everything that is wrong, whatever the bookings are."""
    errors, scope = FieldErrors(), request.scope
    named = [one for one in (scope.provider_id, scope.venue_id, scope.activity_id) if one is not None]
    if len(named) != 1:
        errors.add("input.providerId", "name exactly one of providerId, venueId and activityId")
    if scope.starts_from >= scope.starts_before:
        errors.add("input.startsBefore", "must be after startsFrom")
    elif scope.starts_before - scope.starts_from > LONGEST:
        errors.add("input.startsBefore", f"must be at most {LONGEST.days} days after startsFrom")
    if not request.reason:
        errors.add("input.reason", "is needed: customers are told")
    target = request.target_provider_id
    if request.action is BulkAction.CANCEL and target is not None:
        errors.add("input.targetProviderId", "goes with MOVE alone")
    if request.action is BulkAction.MOVE:
        if target is None:
            errors.add("input.targetProviderId", "is needed to move bookings")
        if named and scope.provider_id is None:
            errors.add("input.action", "MOVE is for the bookings of one provider")
        if target is not None and target == scope.provider_id:
            errors.add("input.targetProviderId", "must be another provider")
    errors.raise_any()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one booking, before anything is done. `rule`: stable, for programs; none: it can be done.

    Amounts in minor units: what goes back, and what is kept or charged.
    """

    booking_id: UUID
    version: int
    rule: str | None = None
    message: str | None = None
    refund_minor: int = 0
    fee_minor: int = 0

    @property
    def is_possible(self) -> bool:
        return self.rule is None


@dataclass(frozen=True, slots=True)
class Totals:
    """Of many verdicts; the sums are those of what can be done."""

    count: int
    possible: int
    refund_minor: int
    fee_minor: int

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Totals:
        known = list(verdicts)
        possible = [one for one in known if one.is_possible]
        return cls(
            len(known),
            len(possible),
            sum(one.refund_minor for one in possible),
            sum(one.fee_minor for one in possible),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one booking, and why where it was not done."""

    result: BulkResult
    rule: str | None = None
    message: str | None = None


DONE = Outcome(BulkResult.DONE)
CHANGED = Outcome(
    BulkResult.SKIPPED, "changed", "This booking changed after it was planned. Look at it, and plan it anew."
)


def outcome_of(refusal: DomainError) -> Outcome:
    """What a refused change of one booking is to the whole."""
    match refusal:
        case StaleVersion():
            return CHANGED
        case NotAllowed():
            rule = refusal.rule
        case SlotUnavailable():
            rule = refusal.reason.value
        case IllegalTransition():
            rule = "illegal_transition"
        case NotFound():
            rule = "not_found"
        case InvalidInput():
            return Outcome(BulkResult.REFUSED, "not_possible", "; ".join(one.message for one in refusal.violations))
        case _:
            rule = "unavailable"
    return Outcome(BulkResult.REFUSED, rule, refusal.message)
