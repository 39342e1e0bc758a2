"""Who may take a booking from one state to another, and when.

The table of steps is `app.domain.booking.TRANSITIONS`; here each step that it has is granted or refused to one actor at
one instant. A refusal names its rule and says when the step would have been allowed. Whose booking it is (a provider's
own, a customer's own) was settled before: one who may not see a booking never gets here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.booking import CORRECTIONS, TRANSITIONS, BookingStatus
from app.domain.errors import IllegalTransition, NotAllowed
from app.domain.instants import day_bounds, local_date
from app.domain.refund import NOTHING_AFTER_NOTICE, Ending, RefundPolicy, settle


class ActorKind(StrEnum):
    """In what role someone acts on a booking. PROVIDER: on bookings of their own; CUSTOMER: likewise, or by link."""

    CUSTOMER = "customer"
    PROVIDER = "provider"
    STAFF = "staff"
    ADMIN = "admin"
    OWNER = "owner"
    SYSTEM = "system"


STAFF_ROLES = frozenset({ActorKind.STAFF, ActorKind.ADMIN, ActorKind.OWNER})
"""Who work for the organization; a provider acts on bookings of their own alone."""


@dataclass(frozen=True, slots=True)
class BookingFacts:
    """What the rules ask about a booking; `cancellable_until` was fixed with it, `time_zone` is its own.

    `answer_until`: of one that waits for its provider. `reschedules`: how often its customer moved it; of
    `maximum_reschedules` (none: no limit). `reschedule_notice_minutes` none: the same notice as for cancelling.
    `no_show_at`, `completes_at`: from when the organization lets these steps happen by themselves; none: never.
    """

    status: BookingStatus
    starts_at: datetime
    ends_at: datetime
    time_zone: ZoneInfo
    cancellable_until: datetime
    requires_approval: bool = False
    answer_until: datetime | None = None
    reschedules: int = 0
    maximum_reschedules: int | None = None
    reschedule_notice_minutes: int | None = None
    no_show_at: datetime | None = None
    completes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuleBroken:
    """`rule` is stable, for programs; `message` is for a person. The instants: when it would have been allowed."""

    rule: str
    message: str
    allowed_from: datetime | None = None
    allowed_until: datetime | None = None

    def refusal(self) -> NotAllowed:
        return NotAllowed(self.rule, self.message, allowed_from=self.allowed_from, allowed_until=self.allowed_until)


_S = BookingStatus
_ADMINS = frozenset({ActorKind.ADMIN, ActorKind.OWNER})
_ON_THE_DAY = frozenset({_S.CHECKED_IN, _S.IN_PROGRESS})
_AFTER_THE_START = frozenset({_S.COMPLETED, _S.NO_SHOW})
_CUSTOMER_CANCELS = frozenset({_S.PENDING, _S.PAYMENT_FAILED, _S.AWAITING_PROVIDER, _S.CONFIRMED})
_MOVABLE = frozenset({_S.AWAITING_PROVIDER, _S.CONFIRMED})

_STEPS = frozenset((start, to) for start, targets in TRANSITIONS.items() for to in targets)
_APPROVAL = (_S.AWAITING_PROVIDER, _S.CONFIRMED)
_PEOPLE_ONLY = frozenset(step for step in _STEPS if step[1] in _ON_THE_DAY | _AFTER_THE_START)
"""Someone saw that it happened."""
_SYSTEM_ONLY = frozenset(
    step for step in _STEPS if step not in _PEOPLE_ONLY and step != _APPROVAL and step[1] is not _S.CANCELLED
)
"""They follow from money, from time or from another change."""
_AUTOMATIC = frozenset(
    {
        (_S.CONFIRMED, _S.NO_SHOW),
        (_S.CONFIRMED, _S.COMPLETED),
        (_S.CHECKED_IN, _S.COMPLETED),
        (_S.IN_PROGRESS, _S.COMPLETED),
    }
)
"""Of a person's steps, those that an organization may leave to the clock."""


def allowed_transitions(facts: BookingFacts, actor: ActorKind, now: datetime) -> tuple[BookingStatus, ...]:
    """The states that `actor` may bring the booking to at `now`, in the order of the enum."""
    steps = TRANSITIONS[facts.status]
    return tuple(to for to in BookingStatus if to in steps and broken_rule(facts, actor, to, now) is None)


def check_transition(facts: BookingFacts, actor: ActorKind, to: BookingStatus, now: datetime) -> None:
    """Raises IllegalTransition when there is no such step, NotAllowed when this actor may not take it now."""
    if to not in TRANSITIONS[facts.status]:
        raise IllegalTransition(facts.status, to, allowed_transitions(facts, actor, now))
    broken = broken_rule(facts, actor, to, now)
    if broken is not None:
        raise broken.refusal()


def broken_rule(facts: BookingFacts, actor: ActorKind, to: BookingStatus, now: datetime) -> RuleBroken | None:
    """The first rule against a step of the table, or None."""
    step = (facts.status, to)
    if actor is ActorKind.SYSTEM:
        is_persons = step in _PEOPLE_ONLY or step == _APPROVAL
        return _broken_automatic(facts, to, now) if is_persons else None
    return _broken_role(step, actor) or _broken_time(facts, actor, to, now)


def _broken_automatic(facts: BookingFacts, to: BookingStatus, now: datetime) -> RuleBroken | None:
    """Who was not checked in is a no-show where the organization marks those; only elsewhere is it completed."""
    step = (facts.status, to)
    opens = facts.no_show_at if to is _S.NO_SHOW else facts.completes_at
    is_left_out = step == (_S.CONFIRMED, _S.COMPLETED) and facts.no_show_at is not None
    if step not in _AUTOMATIC or opens is None or is_left_out:
        return RuleBroken("staff_only", "Only a person can decide this.")
    if now < opens:
        return RuleBroken("automatic_later", f"This happens by itself from {_when(facts, opens)}.", allowed_from=opens)
    return None


def _broken_role(step: tuple[BookingStatus, BookingStatus], actor: ActorKind) -> RuleBroken | None:
    start, to = step
    if step in _SYSTEM_ONLY:
        return RuleBroken("system_only", f"A booking becomes {to.name} by itself; nobody sets it by hand.")
    if step in CORRECTIONS:
        if actor in _ADMINS:
            return None
        return RuleBroken("admin_only", "Only an admin or an owner can correct a booking that is already closed.")
    if actor is ActorKind.CUSTOMER and not (to is _S.CANCELLED and start in _CUSTOMER_CANCELS):
        return RuleBroken("staff_only", "Only the provider or the staff can do this.")
    return None


def _broken_time(facts: BookingFacts, actor: ActorKind, to: BookingStatus, now: datetime) -> RuleBroken | None:
    if actor is ActorKind.CUSTOMER:
        return _notice_over(facts, facts.cancellable_until, now, "Cancelling")
    over = _service_day_over(facts, actor, now)
    if over is not None:
        return over
    if to in _ON_THE_DAY:
        opens = day_bounds(local_date(facts.starts_at, facts.time_zone), facts.time_zone)[0]
        if now < opens:
            message = f"This is possible on the day of the service, from {_when(facts, opens)}."
            return RuleBroken("service_day", message, allowed_from=opens)
    if to in _AFTER_THE_START and now < facts.starts_at:
        message = f"This is possible after the start, from {_when(facts, facts.starts_at)}."
        return RuleBroken("not_started", message, allowed_from=facts.starts_at)
    until = facts.answer_until
    if (facts.status, to) == _APPROVAL and until is not None and now > until:
        message = f"It could be accepted until {_when(facts, until)}; the request has lapsed."
        return RuleBroken("approval_over", message, allowed_until=until)
    return None


def _notice_over(
    facts: BookingFacts, until: datetime, now: datetime, what: str, rule: str = "cancellation_notice"
) -> RuleBroken | None:
    if now <= until:
        return None
    return RuleBroken(rule, f"{what} was possible until {_when(facts, until)}. Ask the staff.", allowed_until=until)


def _service_day_over(facts: BookingFacts, actor: ActorKind, now: datetime) -> RuleBroken | None:
    closes = day_bounds(local_date(facts.ends_at, facts.time_zone), facts.time_zone)[1]
    if actor in _ADMINS or now < closes:
        return None
    message = (
        f"The day of the service is over: this was possible until {_when(facts, closes)}. An admin can still do it."
    )
    return RuleBroken("service_day_over", message, allowed_until=closes)


def _when(facts: BookingFacts, instant: datetime) -> str:
    return f"{instant.astimezone(facts.time_zone):%Y-%m-%d %H:%M} ({facts.time_zone.key})"


_HERE = frozenset({_S.CHECKED_IN, _S.IN_PROGRESS})


def check_code_check_in(facts: BookingFacts, actor: ActorKind, now: datetime) -> bool:
    """May `actor`, to whom the confirmation code was shown, check this booking in? False: it is in already.

    Not a correction: a no-show who comes after all is put right by hand. Raises IllegalTransition, NotAllowed.
    """
    if facts.status in _HERE and actor is not ActorKind.CUSTOMER:
        return False
    if (facts.status, _S.CHECKED_IN) in CORRECTIONS:
        raise IllegalTransition(facts.status, _S.CHECKED_IN, allowed_transitions(facts, actor, now))
    check_transition(facts, actor, _S.CHECKED_IN, now)
    return True


# ── moving ────────────────────────────────────────────────────────────────────────────────────────────


def broken_reschedule_rule(facts: BookingFacts, actor: ActorKind, now: datetime) -> RuleBroken | None:
    """The first rule against moving the booking to another time, or None."""
    if facts.status not in _MOVABLE:
        names = " or ".join(sorted(status.name for status in _MOVABLE))
        return RuleBroken(
            "not_movable", f"Only a booking that is {names} can be moved; this one is {facts.status.name}."
        )
    if actor is ActorKind.SYSTEM:
        return None
    if facts.answer_until is not None and now > facts.answer_until:
        message = f"It waited for an answer until {_when(facts, facts.answer_until)}; the request has lapsed."
        return RuleBroken("approval_over", message, allowed_until=facts.answer_until)
    if actor is ActorKind.CUSTOMER:
        return _broken_move_terms(facts, now)
    return _service_day_over(facts, actor, now)


def _broken_move_terms(facts: BookingFacts, now: datetime) -> RuleBroken | None:
    """What a customer agreed to about moving."""
    rule = "cancellation_notice" if facts.reschedule_notice_minutes is None else "reschedule_notice"
    over = _notice_over(facts, _move_notice(facts), now, "Moving", rule)
    if over is None and reschedules_left(facts) == 0:
        times = "once" if facts.maximum_reschedules == 1 else f"{facts.maximum_reschedules} times"
        message = (
            f"Its customer may move this booking {times}, and did."
            if facts.maximum_reschedules
            else ("This booking cannot be moved by its customer.")
        )
        return RuleBroken("reschedule_limit", f"{message} Ask the staff.")
    return over


def _move_notice(facts: BookingFacts) -> datetime:
    if facts.reschedule_notice_minutes is None:
        return facts.cancellable_until
    return facts.starts_at - timedelta(minutes=facts.reschedule_notice_minutes)


def reschedules_left(facts: BookingFacts) -> int | None:
    """How often its customer may still move it; none: without limit. Moves by the staff are not counted."""
    if facts.maximum_reschedules is None:
        return None
    return max(0, facts.maximum_reschedules - facts.reschedules)


def reschedulable_until(facts: BookingFacts, now: datetime) -> datetime | None:
    """Until when (inclusive) its customer may move it; none once that is over, for whatever rule."""
    return _move_notice(facts) if broken_reschedule_rule(facts, ActorKind.CUSTOMER, now) is None else None


def check_reschedule(facts: BookingFacts, actor: ActorKind, now: datetime) -> None:
    """Raises NotAllowed when this actor may not move the booking now. (Whether the new time is free is not asked.)"""
    broken = broken_reschedule_rule(facts, actor, now)
    if broken is not None:
        raise broken.refusal()


_GROUP_BEGUN = frozenset({_S.CHECKED_IN, _S.IN_PROGRESS})
_MARKABLE = frozenset({_S.CONFIRMED, _S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED})


def check_group_change(facts: BookingFacts, actor: ActorKind, now: datetime, *, changes_size: bool) -> None:
    """May this actor change who comes? `changes_size`: people are added or removed; otherwise they are only named.

    A customer changes the party until the notice, and names people until the start. Raises NotAllowed.
    """
    is_customer = actor is ActorKind.CUSTOMER
    if facts.status not in (_MOVABLE if is_customer else _MOVABLE | _GROUP_BEGUN):
        raise NotAllowed("not_changeable", f"Nobody joins or leaves a booking that is {facts.status.name}.")
    if not is_customer:
        broken = _service_day_over(facts, actor, now)
    elif changes_size:
        broken = _notice_over(facts, facts.cancellable_until, now, "Changing who comes")
    else:
        begun = now >= facts.starts_at
        broken = (
            RuleBroken("service_begun", "This has begun. Ask the staff.", allowed_until=facts.starts_at)
            if begun
            else None
        )
    if broken is not None:
        raise broken.refusal()


def check_marking(facts: BookingFacts, actor: ActorKind, now: datetime, *, is_no_show: bool) -> None:
    """May this actor write down now whether one person of the booking came? Raises NotAllowed."""
    if actor is ActorKind.CUSTOMER:
        raise NotAllowed("staff_only", "Only the provider or the staff can do this.")
    if facts.status not in _MARKABLE:
        raise NotAllowed("not_markable", f"Nobody comes to a booking that is {facts.status.name}.")
    as_if = _S.NO_SHOW if is_no_show else _S.CHECKED_IN
    broken = None if actor is ActorKind.SYSTEM else _broken_time(facts, actor, as_if, now)
    if broken is not None:
        raise broken.refusal()


def needs_new_approval(facts: BookingFacts, actor: ActorKind) -> bool:
    """Does a move take the booking back to AWAITING_PROVIDER? Not when the staff or the provider moved it."""
    return facts.requires_approval and facts.status is _S.CONFIRMED and actor is ActorKind.CUSTOMER


def cancellable_until(starts_at: datetime, notice_minutes: int) -> datetime:
    """Until when (inclusive) a customer may cancel a new booking."""
    return starts_at - timedelta(minutes=notice_minutes)


def cancellable_until_after_move(
    old_until: datetime, new_start: datetime, notice_minutes: int, now: datetime
) -> datetime:
    """The same after a move. A notice that was lost already stays lost, however far the booking moves away."""
    return old_until if now > old_until else cancellable_until(new_start, notice_minutes)


# ── terms ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CancellationTerms:
    """What cancelling at this instant gives back and costs, in minor units; free of charge until `free_until`.

    `fee_minor` is kept of what was paid, and for the rest charged by the saved method. `free_until` is None once the
    notice is lost, or when there is nothing left to cancel.
    """

    refund_minor: int
    fee_minor: int
    free_until: datetime | None


_NOT_AGREED = frozenset({_S.PENDING, _S.PAYMENT_FAILED, _S.AWAITING_PROVIDER})


def cancellation_ending(facts: BookingFacts, actor: ActorKind, now: datetime) -> Ending:
    """What a cancellation is to the refund policy: nobody loses money on a booking that was not confirmed to them."""
    if actor is not ActorKind.CUSTOMER or facts.status in _NOT_AGREED:
        return Ending.OURS
    return Ending.IN_TIME if now <= facts.cancellable_until else Ending.LATE


def cancellation_terms(
    facts: BookingFacts,
    paid_minor: int,
    now: datetime,
    policy: RefundPolicy = NOTHING_AFTER_NOTICE,
    *,
    price_minor: int = 0,
    can_charge: bool = False,
    minimum_charge_minor: int = 0,
    step: int = 1,
    kept_minor: int = 0,
    held_back_minor: int = 0,
    actor: ActorKind = ActorKind.CUSTOMER,
) -> CancellationTerms:
    """The policy's answer for this instant. The staff who cancel at a customer's wish ask with the customer as actor.

    `paid_minor`: paid and not yet given back; `held_back_minor`: of it, what a bank holds back over a dispute, and what
    cannot go back therefore. The rest is as in `refund.settle`.
    """
    if _S.CANCELLED not in TRANSITIONS[facts.status]:
        return CancellationTerms(0, 0, None)
    settled = settle(
        policy,
        cancellation_ending(facts, actor, now),
        price_minor=price_minor,
        paid_minor=paid_minor,
        can_charge=can_charge,
        minimum_charge_minor=minimum_charge_minor,
        step=step,
        kept_minor=kept_minor,
    )
    free_until = facts.cancellable_until if now <= facts.cancellable_until else None
    refund = min(settled.refund_minor, paid_minor - held_back_minor)
    return CancellationTerms(refund, settled.kept_minor, free_until)
