"""Every reason why one start cannot be had, each with its interval. No reason means that it is offered.

What a guest may read stands in `message`. Whose booking it is, why somebody is away, how many of a resource are needed:
that stands in `detail` and `booking_id`, which are for staff.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from app.domain.busy import Busy, BusyBySubject, BusyKind
from app.domain.closed import Reason, clock, closed_reasons, day_clock, service_span
from app.domain.instants import at_minute, minute_ceil, minute_floor
from app.domain.limits import day_of, full_periods
from app.domain.masks import Span, at_least, counted, ones, span_mask
from app.domain.needs import short_needs
from app.domain.plan import Need, ProviderPlan, SlotRules, UnavailableReason, horizon_end
from app.domain.schedule import DAY_MINUTES

_NO_NAMES: Mapping[UUID, str] = MappingProxyType({})


def explain(
    plan: ProviderPlan,
    starts_at: datetime,
    rules: SlotRules,
    busy_by_subject: BusyBySubject,
    *,
    resource_names: Mapping[UUID, str] = _NO_NAMES,
) -> list[Reason]:
    """All of them, gravest first. `resource_names`: of units, by their id.

    With limits in the plan, the claims of the whole week must be in the map (`limits.claims_window`).
    """
    claims = reasons_of_claims(plan, starts_at, rules.now, busy_by_subject, resource_names)
    return [*reasons_of_rules(plan, starts_at, rules), *claims]


def reasons_of_rules(plan: ProviderPlan, starts_at: datetime, rules: SlotRules) -> Iterator[Reason]:
    """Hours, breaks, grid, notice and horizon: all that stands without looking at anybody's bookings."""
    yield from closed_reasons(plan, starts_at)
    yield from _reasons_of_time(plan, starts_at, rules)


def reasons_of_claims(
    plan: ProviderPlan,
    starts_at: datetime,
    now: datetime,
    busy_by_subject: BusyBySubject,
    resource_names: Mapping[UUID, str] = _NO_NAMES,
) -> Iterator[Reason]:
    """What others have taken: the provider's time (gravest first, then by time), limits, resources."""
    own = busy_by_subject.get(plan.provider_id, ())
    yield from _reasons_of_busy(plan, starts_at, now, own)
    yield from _reasons_of_limits(plan, starts_at, now, own)
    yield from _reasons_of_needs(plan, starts_at, now, busy_by_subject, resource_names)


def _reasons_of_time(plan: ProviderPlan, starts_at: datetime, rules: SlotRules) -> Iterator[Reason]:
    earliest = rules.now + timedelta(minutes=rules.notice_minutes)
    if starts_at < rules.now:
        yield Reason(UnavailableReason.NOTICE, None, earliest, "This time has passed.")
    elif starts_at < earliest:
        notice = _amount_of_time(rules.notice_minutes)
        message = f"This has to be booked {notice} before; the earliest start now is {day_clock(plan, earliest)}."
        yield Reason(UnavailableReason.NOTICE, rules.now, earliest, message)
    end = horizon_end(rules, plan.time_zone)
    if starts_at >= end:
        last = (end - timedelta(microseconds=1)).astimezone(plan.time_zone).date()
        message = (
            f"This can be booked at most {rules.maximum_advance_days} days ahead, that is until {last.isoformat()}."
        )
        yield Reason(UnavailableReason.HORIZON, end, None, message)


# ── busy times ────────────────────────────────────────────────────────────────────────────────────────

_REASON_OF_KIND = {
    BusyKind.TIME_OFF: UnavailableReason.TIME_OFF,
    BusyKind.EXTERNAL: UnavailableReason.EXTERNAL_BUSY,
    BusyKind.BOOKED: UnavailableReason.BOOKED,
    BusyKind.HELD: UnavailableReason.HELD,
}
_MESSAGES = {
    UnavailableReason.TIME_OFF: "The provider is away at this time.",
    UnavailableReason.EXTERNAL_BUSY: "The provider is busy at this time.",
    UnavailableReason.BOOKED: "This time is booked.",
    UnavailableReason.HELD: "Someone else is booking this time at the moment.",
    UnavailableReason.BUFFER: "There would not be enough time between this and the booking beside it.",
}
_GRAVITY = {reason: place for place, reason in enumerate(_MESSAGES)}


def _reasons_of_busy(plan: ProviderPlan, starts_at: datetime, now: datetime, busy: Iterable[Busy]) -> Iterator[Reason]:
    service = service_span(plan, starts_at)
    low, high = service[0] - plan.buffer_before, service[1] + plan.buffer_after
    found: list[Reason] = []
    for claim in busy:
        taken = (minute_floor(claim.busy_from), minute_ceil(claim.busy_to))
        if not (claim.busy_from < claim.busy_to and claim.is_live(now) and taken[0] < high and low < taken[1]):
            continue
        own = claim.service_range()
        if minute_floor(own[0]) < service[1] and service[0] < minute_ceil(own[1]):
            reason, (from_utc, to_utc) = _REASON_OF_KIND[claim.kind], own
        else:
            reason, from_utc, to_utc = UnavailableReason.BUFFER, claim.busy_from, claim.busy_to
        found.append(Reason(reason, from_utc, to_utc, _MESSAGES[reason], _detail(plan, claim), claim.booking_id))
    yield from sorted(found, key=lambda one: (_GRAVITY[one.reason], one.from_utc, one.to_utc))


def _detail(plan: ProviderPlan, claim: Busy) -> str:
    """For staff: what kind of claim it is, with its buffers, and the note that came with it."""
    low, high = clock(plan, minute_floor(claim.busy_from)), clock(plan, minute_ceil(claim.busy_to))
    match claim.kind:
        case BusyKind.TIME_OFF:
            what = "Time off"
        case BusyKind.EXTERNAL:
            what = "An entry of another calendar"
        case BusyKind.BOOKED:
            what = "A booking with its buffers"
        case BusyKind.HELD:
            what = "A hold with its buffers"
    until = "" if claim.expires_at is None else f"; it lapses at {day_clock(plan, claim.expires_at)}"
    note = "" if claim.note is None else f": {claim.note}"
    return f"{what}, {low} to {high}{until}{note}"


# ── limits and resources ──────────────────────────────────────────────────────────────────────────────


def _reasons_of_limits(
    plan: ProviderPlan, starts_at: datetime, now: datetime, claims: Iterable[Busy]
) -> Iterator[Reason]:
    if not plan.limits:
        return
    day = day_of(starts_at, plan.time_zone)
    for period in full_periods(plan.limits, plan.time_zone, claims, now):
        if period.from_date <= day < period.to_date:
            name = "day" if (period.to_date - period.from_date).days == 1 else "week"
            low, high = period.span(plan.time_zone)
            message = f"No more bookings are taken on this {name}."
            detail = f"{period.taken} bookings and holds; at most {period.limit} a {name}"
            yield Reason(UnavailableReason.LIMIT, at_minute(low), at_minute(high), message, detail)


def _reasons_of_needs(
    plan: ProviderPlan,
    starts_at: datetime,
    now: datetime,
    busy_by_subject: BusyBySubject,
    resource_names: Mapping[UUID, str],
) -> Iterator[Reason]:
    start = minute_floor(starts_at)
    for need, _ in short_needs(plan, busy_by_subject, (start, start + 1), now):
        low, high = _when_short(plan, need, start, busy_by_subject, now)
        names = ", ".join(sorted({resource_names[unit] for unit in need.units if unit in resource_names}))
        what = names or "What this service needs"
        detail = f"{need.quantity} of {len(need.units)} needed"
        yield Reason(
            UnavailableReason.RESOURCE, at_minute(low), at_minute(high), f"{what}: not free at this time.", detail
        )


def _when_short(plan: ProviderPlan, need: Need, start: int, busy_by_subject: BusyBySubject, now: datetime) -> Span:
    """The stretch, in minutes since 1970, in which too few units are free, looked for a day to each side.

    Where there is no such minute (one unit is taken early in the service, the other late): the time that was asked for.
    """
    low, high = start - plan.buffer_before, start + plan.duration_minutes + plan.buffer_after
    first, length = low - DAY_MINUTES, high - low + 2 * DAY_MINUTES
    taken = [
        span_mask(
            (
                (minute_floor(claim.busy_from) - first, minute_ceil(claim.busy_to) - first)
                for claim in busy_by_subject.get(unit, ())
                if claim.is_live(now)
            ),
            length,
        )
        for unit in need.units
    ]
    too_many = len(need.units) - need.quantity + 1
    short = ones(length) if too_many < 1 else at_least(counted(taken), too_many)
    inside = short & ones(high - low) << (low - first)
    if not inside:
        return low, high
    middle = (inside & -inside).bit_length() - 1
    begins = (~short & ones(middle)).bit_length()
    after = ~short >> middle
    ends = middle + (after & -after).bit_length() - 1
    return first + begins, min(first + ends, first + length)


def _amount_of_time(minutes: int) -> str:
    """`1440` → `24 hours`; `90` → `90 minutes`."""
    if minutes % 60:
        return f"{minutes} minutes"
    return "1 hour" if minutes == 60 else f"{minutes // 60} hours"
