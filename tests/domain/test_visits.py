"""Several services in one visit, by examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import islice
from uuid import UUID

import pytest

from app.domain.busy import Busy
from app.domain.errors import BadInput
from app.domain.slots import BookingLimits, Need, ProviderPlan, Slot, SlotRules, UnavailableReason
from app.domain.visit_masks import TooManyCombinations, visit_masks, work_of_masks
from app.domain.visits import (
    Items,
    assignments,
    first_visit,
    visit_claims_window,
    visit_slots,
    why_not_visit,
)
from tests.domain.test_slots import ANYTIME, MONDAY, clocks, days, hours, local, plan_of

ANNA, BEA = UUID(int=1), UUID(int=2)
ROOM = UUID(int=50)


def doing(person: UUID, minutes: int, price: int | None = 100, opened: str = "09:00-12:00") -> ProviderPlan:
    plan = plan_of(hours(0, opened), step=60, duration=minutes, price=price)
    return replace(plan, provider_id=person)


def busy(start: str, end: str) -> Busy:
    return Busy(local(MONDAY, start), local(MONDAY, end))


def found(items: Items, *claims: tuple[UUID, Busy], rules: SlotRules = ANYTIME) -> list[Slot]:
    return visit_slots(items, {who: [claim] for who, claim in claims}, days(MONDAY), rules)


def test_only_the_first_service_starts_on_the_grid() -> None:
    slots = found([[doing(ANNA, 40)], [doing(BEA, 20)]])
    assert clocks([slot.starts_at for slot in slots]) == ["09:00", "10:00", "11:00"]
    assert slots[0] == Slot(local(MONDAY, "09:00"), local(MONDAY, "10:00"), (ANNA, BEA), 1, 200)


def test_services_follow_without_a_pause() -> None:
    slots = found([[doing(ANNA, 40)], [doing(BEA, 20)]], (BEA, busy("09:50", "10:20")))
    assert clocks([slot.starts_at for slot in slots]) == ["10:00", "11:00"]


def test_ones_own_buffers_are_not_in_the_way() -> None:
    wash = replace(doing(ANNA, 30), buffer_before=20, buffer_after=20)
    between = replace(doing(BEA, 10), buffer_after=15)
    slots = found([[wash], [between], [wash]])
    assert clocks([slot.starts_at for slot in slots]) == ["09:00", "10:00"]
    assert clocks([slot.starts_at for slot in found([[wash], [wash]], (ANNA, busy("11:10", "11:15")))]) == ["09:00"]


def test_one_slot_for_each_end_and_price() -> None:
    cheap, dear, slow = doing(ANNA, 30, 100), doing(BEA, 30, 200), doing(UUID(int=3), 60, None)
    slots = found([[cheap, dear, slow], [doing(ANNA, 30)]])
    first = [slot for slot in slots if slot.starts_at == local(MONDAY, "09:00")]
    assert [(clocks([slot.ends_at])[0], slot.price_minor) for slot in first] == [
        ("10:00", 200),
        ("10:00", 300),
        ("10:30", None),
    ]
    assert [slot.provider_ids for slot in first] == [(ANNA,), (ANNA, BEA), (ANNA, UUID(int=3))]


def test_notice_counts_for_the_visit_and_limits_for_each_service() -> None:
    items = [[doing(ANNA, 60)], [doing(BEA, 60)]]
    slots = found(items, rules=SlotRules(local(MONDAY, "08:00"), 120))
    assert clocks([slot.starts_at for slot in slots]) == ["10:00"]
    limited = [[doing(ANNA, 60)], [replace(doing(BEA, 60), limits=BookingLimits(per_day=1))]]
    assert found(limited, (BEA, busy("17:00", "18:00"))) == []
    widened = visit_claims_window(limited, days(MONDAY))
    assert widened.to_utc >= days(MONDAY).to_utc + timedelta(hours=2)


def test_resources_serve_one_service_after_the_other() -> None:
    first = replace(doing(ANNA, 30), needs=(Need(1, (ROOM,)),), buffer_after=10)
    second = replace(doing(BEA, 30), needs=(Need(1, (ROOM,)),))
    assert clocks([slot.starts_at for slot in found([[first], [second]])]) == ["09:00", "10:00", "11:00"]
    slots = found([[first], [second]], (ROOM, busy("09:45", "10:00")))
    assert clocks([slot.starts_at for slot in slots]) == ["10:00", "11:00"]


def test_a_visit_runs_past_the_window_and_over_midnight() -> None:
    plan = plan_of(hours(0, "22:00-24:00"), hours(1, "00:00-03:00"), step=60, duration=60)
    slots = visit_slots([[plan], [plan], [plan]], {}, days(MONDAY), ANYTIME)
    assert clocks([slot.starts_at for slot in slots]) == ["22:00", "23:00"]
    assert slots[-1].ends_at - slots[-1].starts_at == timedelta(hours=3)


def test_the_first_visit_is_found_far_ahead_or_not_at_all() -> None:
    items = [[doing(ANNA, 60)], [doing(BEA, 60)]]
    claims = {ANNA: [Busy(local(MONDAY, "00:00"), local(MONDAY + timedelta(days=50), "00:00"))]}
    slot = first_visit(items, claims, days(MONDAY, 100), ANYTIME)
    assert slot is not None
    assert slot.starts_at == local(MONDAY + timedelta(days=56), "09:00")
    assert first_visit([[doing(ANNA, 60)], []], {}, days(MONDAY, 100), ANYTIME) is None
    assert visit_slots([], {}, days(MONDAY), ANYTIME) == []


def test_few_people_and_little_booked_ones_come_first() -> None:
    items = [[doing(ANNA, 30), doing(BEA, 30)]] * 2
    start = local(MONDAY, "09:00")

    def ways(**bookings: int) -> list[tuple[UUID, ...]]:
        load = {ANNA: bookings["anna"], BEA: bookings["bea"]}
        all_ways = assignments(items, start, ANYTIME, {}, prefer=lambda plan: load[plan.provider_id])
        return [tuple(part.plan.provider_id for part in way) for way in all_ways]

    assert ways(anna=0, bea=0) == [(ANNA, ANNA), (ANNA, BEA), (BEA, BEA), (BEA, ANNA)]
    assert ways(anna=3, bea=1)[0] == (BEA, BEA)
    free = assignments(items, start, ANYTIME, {BEA: [busy("09:30", "10:00")]}, prefer=lambda plan: plan.provider_id.int)
    assert [tuple(part.plan.provider_id for part in way) for way in free] == [(ANNA, ANNA), (BEA, ANNA)]


def test_a_hopeless_visit_is_soon_given_up() -> None:
    """Forty people for each of four services, and nobody for the fifth: no walk through all of 2,560,000 ways."""
    crowd = [doing(UUID(int=n), 10) for n in range(1, 41)]
    never = [doing(ANNA, 10, opened="20:00-21:00")]
    assert list(islice(assignments([crowd] * 4 + [never], local(MONDAY, "09:00"), ANYTIME, {}), 1)) == []


def test_the_refusal_is_of_the_item_in_the_way() -> None:
    items = [[doing(ANNA, 60)], [doing(BEA, 60)]]
    assert why_not_visit(items, local(MONDAY, "09:00"), ANYTIME, {}) is None
    against = why_not_visit(items, local(MONDAY, "09:00"), ANYTIME, {BEA: [busy("10:30", "11:00")]})
    assert against is not None
    assert (against[0], against[1].reason) == (1, UnavailableReason.BOOKED)
    assert why_not_visit(items, local(MONDAY, "09:00"), ANYTIME) is None  # claims are the database's matter
    late = why_not_visit(items, local(MONDAY, "11:00"), ANYTIME, {})
    assert late is not None
    assert (late[0], late[1].reason) == (1, UnavailableReason.CLOSED)
    nobody = why_not_visit([[], [doing(BEA, 60)]], local(MONDAY, "09:00"), ANYTIME, {})
    assert nobody is not None
    assert nobody[1].reason is UnavailableReason.INACTIVE


# ── many people, lengths and prices ───────────────────────────────────────────────────────────────────


def test_prices_beyond_counting_are_refused_as_slots_alone() -> None:
    crowd = [doing(UUID(int=n), 10, price=2**n) for n in range(1, 41)]
    masks = visit_masks([crowd] * 5, {}, days(MONDAY), ANYTIME)
    assert masks.least_slots == 3
    assert [slot.price_minor for slot in masks.nearest(local(MONDAY, "09:00"), 6)] == [10, 10, 10]
    assert first_visit([crowd] * 5, {}, days(MONDAY), ANYTIME) == masks.first_slot(9 * 60)
    with pytest.raises(TooManyCombinations, match="name a provider"):
        masks.slots(masks.free)


def test_lengths_without_end_are_no_more_work_for_it() -> None:
    """200 people with 200 lengths in each of five services: a million and more ways, one shift for each length."""
    crowd = [doing(UUID(int=n), n, price=n) for n in range(1, 201)]
    masks = visit_masks([crowd] * 5, {}, days(MONDAY), ANYTIME)
    assert masks.least_slots == 3
    first = masks.first_slot(9 * 60)
    assert (first.ends_at - first.starts_at, first.price_minor) == (timedelta(minutes=5), 5)


def test_many_lengths_are_chosen_from_and_refused_without_walking_them_all() -> None:
    crowd = [doing(UUID(int=n), n, price=n) for n in range(1, 101)]
    never = [doing(ANNA, 10, opened="20:00-21:00")]
    against = why_not_visit([crowd] * 4 + [never], local(MONDAY, "09:00"), ANYTIME, {})
    assert against is not None
    assert (against[0], against[1].reason) == (4, UnavailableReason.CLOSED)
    [way] = islice(
        assignments([crowd] * 4, local(MONDAY, "09:00"), ANYTIME, {}, prefer=lambda plan: plan.price_minor), 1
    )
    assert [part.plan.duration_minutes for part in way] == [1, 1, 1, 1]


def test_the_work_is_told_before_it_is_done() -> None:
    items = [[doing(UUID(int=100 * place + n), 30, price=100 * n) for n in range(30)] for place in range(1, 6)]
    masks = visit_masks(items, {}, days(MONDAY), ANYTIME)
    with pytest.raises(TooManyCombinations):
        masks.slots(masks.free)
    fewer = visit_masks([plans[:6] for plans in items], {}, days(MONDAY), ANYTIME)

    def refuse(count: int) -> None:
        spent.append(count)
        raise BadInput.at("input.to", "is too much")

    spent: list[int] = []
    with pytest.raises(BadInput, match="is too much"):
        fewer.slots(fewer.free, refuse)
    assert spent[0] > len(fewer.slots(fewer.free)) - fewer.least_slots


def test_the_work_of_the_masks_grows_with_people_services_and_days() -> None:
    crowd = [doing(UUID(int=n), 30) for n in range(1, 101)]
    assert work_of_masks([[doing(ANNA, 30)]] * 3, days(MONDAY, 4)) == 0
    a_week = work_of_masks([crowd] * 2, days(MONDAY, 7))
    assert 0 < a_week < 100
    assert work_of_masks([crowd] * 4, days(MONDAY, 28)) > 7 * a_week
    assert work_of_masks([[doing(UUID(int=n), 30) for n in range(1, 1_001)]] * 5, days(MONDAY, 62)) > 6_000


def test_a_priced_way_goes_before_one_by_quote_only_where_it_is_as_short() -> None:
    quote, cheap, dear = doing(ANNA, 30, None), doing(BEA, 60, 100), doing(UUID(int=3), 30, 900)
    masks = visit_masks([[quote, cheap], [doing(UUID(int=4), 30, 100)]], {}, days(MONDAY), ANYTIME)
    at_nine = 9 * 60
    assert masks.first_slot(at_nine).price_minor is None
    assert masks.first_slot(at_nine, cheapest=True).provider_ids == (BEA, UUID(int=4))
    masks = visit_masks([[quote, cheap, dear], [doing(UUID(int=4), 30, 100)]], {}, days(MONDAY), ANYTIME)
    assert masks.first_slot(at_nine).price_minor == 1_000
    assert masks.first_slot(at_nine, cheapest=True).price_minor == 200
