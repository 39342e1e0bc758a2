"""How the views of a live state are computed and kept.

An event touches the plans whose subject it is, and of these only the starts near the claim. A limit adds the claim's
day or week; a resource, the other plans that need it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.busy import Busy
from app.domain.instants import at_minute, day_bounds, local_date, minute_ceil, minute_floor
from app.domain.limits import FullPeriod, day_of, full_spans
from app.domain.live_state import AvailabilityState, BusyMap, PlanView, ViewConfig
from app.domain.masks import Span, ones, span_mask
from app.domain.needs import blocked_span, served
from app.domain.plan import ProviderPlan, SlotRules, Window, axis, bookable_range
from app.domain.schedule import DAY_MINUTES
from app.domain.slots import NeedsKey, blocked_mask, fits_mask, full_mask, needs_key

_WEEK = timedelta(days=7)
_LIMITS_REACH = 9 * DAY_MINUTES
"""No claim further from a start than this is of its week."""


def computed(config: ViewConfig, busy: BusyMap, now: datetime) -> AvailabilityState:
    """The state from nothing."""
    kept = {subject: dict(busy.get(subject, {})) for subject in config.subjects()}
    rules = config.rules(now)
    views: list[PlanView] = []
    alike: dict[int, int] = {}  # hours that many have are kept once
    for place, (plans, window) in enumerate(zip(config.places, config.windows(), strict=True)):
        for plan in plans:
            fits = fits_mask(plan, window, on_grid=place == 0)
            view = _view(plan, place, window, alike.setdefault(fits, fits), rules)
            views.append(_all_retaken(view, kept[plan.provider_id].values(), window, now))
    views = [replace(view, free=view.possible()) for view in _sharing(views, config, live_claims(kept), now)]
    holds = {subject: found for subject, by_id in kept.items() if (found := _holds(by_id.values()))}
    priced = tuple(index for index, view in enumerate(views) if view.plan.tariff is not None)
    return AvailabilityState(config, kept, tuple(views), holds, now, now, priced)


def _view(plan: ProviderPlan, place: int, window: Window, fits: int, rules: SlotRules) -> PlanView:
    first, past = axis(window)
    # What follows another service in one visit needs neither grid nor notice nor horizon.
    low, high = (0, past - first) if place else bookable_range(plan, window, rules)
    return PlanView(plan, place, past - first, fits, fits, low, high, _next_day_at(plan, rules.now))


def _all_retaken(view: PlanView, claims: Collection[Busy], window: Window, now: datetime) -> PlanView:
    taken = blocked_mask(view.plan, claims, window, now) | full_mask(view.plan, claims, window, now)
    return replace(view, untaken=view.fits & ~taken) if taken else view


def _next_day_at(plan: ProviderPlan, now: datetime) -> datetime:
    return day_bounds(local_date(now, plan.time_zone), plan.time_zone)[1]


def _holds(claims: Iterable[Busy]) -> tuple[Busy, ...]:
    return tuple(claim for claim in claims if claim.expires_at is not None)


def live_claims(busy: BusyMap) -> dict[UUID, Collection[Busy]]:
    """The same without ids, as the engine takes it."""
    return {subject: by_id.values() for subject, by_id in busy.items()}


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────


def with_claim(state: AvailabilityState, subject_id: UUID, claim_id: UUID, claim: Busy | None) -> AvailabilityState:
    """With this claim of a subject of the view, or (None) without it. Its state else: views as of the same instant."""
    claims = dict(state.busy[subject_id])
    before = claims.pop(claim_id, None)
    if claim is not None:
        claims[claim_id] = claim
    holds = {subject: found for subject, found in state.holds.items() if subject != subject_id}
    lapsing = tuple(hold for hold in state.holds.get(subject_id, ()) if hold is not before)  # most claims are none
    if lapsing := lapsing + _holds(() if claim is None else (claim,)):
        holds[subject_id] = lapsing
    changed = replace(state, busy={**state.busy, subject_id: claims}, holds=holds)
    return refreshed(changed, subject_id, [one for one in (before, claim) if one is not None], state.now)


def refreshed(state: AvailabilityState, subject_id: UUID, touched: Sequence[Busy], now: datetime) -> AvailabilityState:
    """After these claims of a subject came, went or lapsed by `now`; notice and horizon stay where they are."""
    first, _ = axis(state.config.window)
    views = list(state.views)
    needing: list[int] = []
    for index, view in enumerate(views):
        if view.plan.provider_id == subject_id:
            views[index] = _retaken(view, state.busy[subject_id].values(), first, now, touched)
        elif any(subject_id in need.units for need in view.plan.needs):
            needing.append(index)
    if needing:
        _share_again(state, views, needing, now, touched)
    return replace(state, views=tuple(views))


def _retaken(view: PlanView, claims: Collection[Busy], first: int, now: datetime, touched: Iterable[Busy]) -> PlanView:
    """The same view with what these claims of its provider touch computed anew."""
    untaken = view.untaken
    for claim in touched:
        for low, high in (blocked_span(view.plan, claim), *_limited_spans(view.plan, claim)):
            span = max(low - first, 0), min(high - first, view.width)
            if span[0] < span[1]:
                untaken = _spliced(untaken, _untaken_in(view, claims, first, now, span), span)
    if untaken == view.untaken:
        return view
    later = replace(view, untaken=untaken)
    return replace(later, free=later.possible())


def _limited_spans(plan: ProviderPlan, claim: Busy) -> Iterable[Span]:
    """The day or week of a claim, where it counts towards a limit."""
    if not plan.limits or not claim.is_claim:
        return
    day = day_of(claim.service_range()[0], plan.time_zone)
    if plan.limits.per_week is not None:
        monday = day - timedelta(days=day.weekday())
        yield FullPeriod(monday, monday + _WEEK, 0, 0).span(plan.time_zone)
    else:
        yield FullPeriod(day, day + timedelta(days=1), 0, 0).span(plan.time_zone)


def _untaken_in(view: PlanView, claims: Collection[Busy], first: int, now: datetime, span: Span) -> int:
    """What hours, claims and limits leave of the starts of a span; bit 0 is its first."""
    plan, origin, width = view.plan, first + span[0], span[1] - span[0]
    taken = [blocked_span(plan, claim) for claim in _near(plan, claims, first, span) if claim.is_live(now)]
    if plan.limits:
        low, high = origin - _LIMITS_REACH, origin + width + _LIMITS_REACH
        around = (claim for claim in claims if low <= minute_floor(claim.service_range()[0]) <= high)
        taken += full_spans(plan, around, now)
    blocked = span_mask(((start - origin, end - origin) for start, end in taken), width)
    return view.fits >> span[0] & ones(width) & ~blocked


def _near(plan: ProviderPlan, claims: Iterable[Busy], first: int, span: Span) -> list[Busy]:
    """Claims that may be in the way of these starts, and maybe a few more.

    Instants are compared before minutes are made of them: most claims are far away.
    """
    from_utc = at_minute(first + span[0] - plan.buffer_before)
    to_utc = at_minute(first + span[1] + plan.duration_minutes + plan.buffer_after)
    return [
        claim
        for claim in claims
        if claim.busy_from < to_utc and claim.busy_to > from_utc and claim.busy_from < claim.busy_to
    ]


def _spliced(mask: int, part: int, span: Span) -> int:
    return mask & ~(ones(span[1] - span[0]) << span[0]) | part << span[0]


# ── resources ─────────────────────────────────────────────────────────────────────────────────────────


def _sharing(
    views: Sequence[PlanView], config: ViewConfig, claims: dict[UUID, Collection[Busy]], now: datetime
) -> Iterator[PlanView]:
    """The same views; those with needs know with whom they share them, and when they are met."""
    first, _ = axis(config.window)
    keys = [(view.place, needs_key(view.plan)) if view.plan.needs else None for view in views]
    alike = Counter(keys)
    known: dict[tuple[int, NeedsKey], tuple[int, int, tuple[int, ...]]] = {}
    for view, key in zip(views, keys, strict=True):
        if key is None:
            yield view
            continue
        if key not in known:
            suffices = min(len(need.units) // need.quantity for need in view.plan.needs)
            most = min(suffices, 1 if config.items else alike[key])  # of a visit there is one
            levels = served(view.plan, claims, (first, first + view.width), now, most)
            known[key] = len(known) + 1, most, levels
        sharing, most, levels = known[key]
        yield replace(view, sharing=sharing, most=most, served=levels)


def _share_again(
    state: AvailabilityState, views: list[PlanView], needing: Sequence[int], now: datetime, touched: Iterable[Busy]
) -> None:
    """Put anew what these claims of a resource unit touch, for all who need it; once for those who need the same."""
    first, _ = axis(state.config.window)
    again: dict[int, tuple[int, ...]] = {}
    for index in needing:
        view = views[index]
        if view.sharing not in again:
            again[view.sharing] = _served_again(view, live_claims(state.busy), first, now, touched)
        if again[view.sharing] is not view.served:
            view = replace(view, served=again[view.sharing])
            views[index] = replace(view, free=view.possible())


def _served_again(
    view: PlanView,
    claims: dict[UUID, Collection[Busy]],
    first: int,
    now: datetime,
    touched: Iterable[Busy],
) -> tuple[int, ...]:
    """The very same object where nothing is different."""
    plan, most = view.plan, view.most
    units = [unit for need in plan.needs for unit in need.units]
    levels = [*view.served, *[0] * (most - len(view.served))]
    for claim in touched:
        low, high = blocked_span(plan, claim)
        span = max(low - first, 0), min(high - first, view.width)
        if span[0] >= span[1]:
            continue
        near = {unit: _near(plan, claims[unit], first, span) for unit in units}
        fresh = served(plan, near, (first + span[0], first + span[1]), now, most)
        for k, level in enumerate(levels):
            levels[k] = _spliced(level, fresh[k] if k < len(fresh) else 0, span)
    met = tuple(level for level in levels if level)
    return view.served if met == view.served else met


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────


def lapsed(state: AvailabilityState, now: datetime) -> AvailabilityState:
    """With the holds that ran out between the state's instant and `now` out of the way."""
    for subject, holds in state.holds.items():
        gone = [one for one in holds if one.expires_at is not None and state.now < one.expires_at <= now]
        if gone:
            state = refreshed(replace(state, holds_at=now), subject, gone, now)
    return state


def moved(state: AvailabilityState, now: datetime) -> AvailabilityState:
    """With notice and horizon as they are at `now`."""
    first, past = axis(state.config.window)
    rules = state.config.rules(now)
    soonest = min(minute_ceil(now + timedelta(minutes=rules.notice_minutes)), past) - first
    views: list[PlanView] = []
    for view in state.views:
        low, high, next_day_at = max(view.low, soonest), view.high, view.next_day_at
        if now >= next_day_at:
            high = bookable_range(view.plan, state.config.window, rules)[1]
            next_day_at = _next_day_at(view.plan, now)
        if view.place or (low, high, next_day_at) == (view.low, view.high, view.next_day_at):
            views.append(view)
            continue
        later = replace(view, low=low, high=high, next_day_at=next_day_at)
        views.append(replace(later, free=later.possible()))
    return replace(state, views=tuple(views))
