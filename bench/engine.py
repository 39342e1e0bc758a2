"""The slot engine alone: CPU of a month of free slots, against the brute force of tests/domain in the same run.

Plans and claims in, slots out. Claims are as the hot read path has them, in whole minutes; brute force has them as
plain objects. Both start from nothing each time: what either remembers is thrown away first. A line more tells ours as
a server has it, where hours of the window were computed before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from uuid import UUID

from app.domain.busy import Busy
from app.domain.instants import day_bounds, minute_ceil, minute_floor, zone
from app.domain.packed_busy import PackedBusy
from app.domain.plan import ProviderPlan, SlotRules, Window
from app.domain.schedule import ScheduleVersion, weekly_hours
from app.domain.slots import free_masks, slots
from bench.report import Line
from tests.domain.reference_slots import reached_by, reference_slots, walls_of_day
from tests.domain.tariffs import BookOfPrices

ZONE = zone("America/Argentina/Buenos_Aires")
FIRST_DAY = date(2026, 5, 4)
RULES = SlotRules(datetime(2026, 5, 1, tzinfo=UTC), 0, 400)
PEOPLE = 50
TIMES, BRUTE_TIMES = 60, 7
Claims = dict[UUID, list[Busy]]


async def measure() -> list[Line]:
    """Some seconds. Raises RuntimeError where the two engines disagree."""
    lines: list[Line] = []
    window = _days(30)
    for name, wanted, (plans, claims) in (
        ("a month of one provider, 40 bookings", 30, _single(40)),
        ("a month of one provider, 240 bookings", 60, _single(240)),
        (f"a month of {PEOPLE} providers as anyone", 30, _team()),
    ):
        ours = partial(slots, plans, _packed(claims), window, RULES)
        reference = partial(reference_slots, plans, claims, window, RULES, BookOfPrices())
        if ours() != reference():
            raise RuntimeError(f"the engine and the reference disagree about {name}")
        once = _cpu_ms(ours)
        cold, brute = _cpu_ms(ours, _forget), _cpu_ms(reference, _forget_reference, BRUTE_TIMES)
        lines += [
            Line(f"engine: {name}", "/CPU s", 1000 / cold, "brute force", 1000 / brute, at_least=wanted),
            Line("the same, CPU", "ms", cold, "with hours remembered", once),
        ]
    return [*lines, *_growth()]


def _growth() -> list[Line]:
    """Linear in the window, near flat in the number of bookings."""
    few, many = _single(40), _single(240)
    month, year = _ours(few, 30), _ours(few, 360)
    masks = [
        _cpu_ms(partial(free_masks, plans, _packed(claims), _days(30), RULES), _forget) for plans, claims in (few, many)
    ]
    return [
        Line("engine: twelve months at once, CPU", "ms", year, "twelve times a month", 12 * month, at_most=1.25),
        Line("engine: a month with 240 bookings, CPU", "ms", _ours(many, 30), "with 40", month, at_most=1.5),
        Line("when one is free, without making slots, 240 bookings", "ms", masks[1], "with 40", masks[0]),
    ]


def _plan(number: int) -> ProviderPlan:
    """Six days a week, nine hours with a break, starts every quarter of an hour, half an hour with buffers."""
    week = tuple(weekly_hours(day, [(540, 1_080)], [(780, 840)]) for day in range(6))
    version = ScheduleVersion(UUID(int=number), date(2020, 1, 1), None, 15, week)
    return ProviderPlan(UUID(int=number), ZONE, (version,), 30, 5, 5, 1_000)


def _days(count: int) -> Window:
    return Window(day_bounds(FIRST_DAY, ZONE)[0], day_bounds(FIRST_DAY + timedelta(days=count - 1), ZONE)[1])


def _bookings(count: int) -> list[Busy]:
    """Spread evenly over thirty days, hour by hour from the opening on."""
    buffer, length = timedelta(minutes=5), timedelta(minutes=30)
    found: list[Busy] = []
    for number in range(count):
        day, place = number % 30, number // 30
        start = day_bounds(FIRST_DAY + timedelta(days=day), ZONE)[0] + timedelta(minutes=540 + 60 * place)
        found.append(Busy(start - buffer, start + length + buffer, starts_at=start, ends_at=start + length))
    return found


def _single(bookings: int) -> tuple[list[ProviderPlan], Claims]:
    plan = _plan(1)
    return [plan], {plan.provider_id: _bookings(bookings)}


def _team() -> tuple[list[ProviderPlan], Claims]:
    """Each with 40 to 120 bookings of their own."""
    rng = Random(1)
    plans = [_plan(number) for number in range(1, PEOPLE + 1)]
    return plans, {plan.provider_id: rng.sample(_bookings(240), rng.randint(40, 120)) for plan in plans}


def _packed(claims: Claims) -> dict[UUID, PackedBusy]:
    """As `app.queries` reads them; none of them lapses."""
    return {
        subject: PackedBusy(
            [minute_floor(claim.busy_from) for claim in those], [minute_ceil(claim.busy_to) for claim in those]
        )
        for subject, those in claims.items()
    }


def _ours(case: tuple[list[ProviderPlan], Claims], days: int) -> float:
    """From nothing."""
    plans, claims = case
    return _cpu_ms(partial(slots, plans, _packed(claims), _days(days), RULES), _forget)


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("app.domain."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def _forget_reference() -> None:
    walls_of_day.cache_clear()
    reached_by.cache_clear()


def _cpu_ms(once: Callable[[], object], before: Callable[[], None] = lambda: None, times: int = TIMES) -> float:
    """Of the quickest run: whatever else the machine does can only make it slower."""
    quickest = float("inf")
    for _ in range(times):
        before()
        began = time.process_time_ns()
        once()
        quickest = min(quickest, (time.process_time_ns() - began) / 1_000_000)
    return quickest
