"""What a stream of availability knows and tells: plain values, without the steps between them (`app.domain.live`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from app.domain.busy import Busy
from app.domain.free_times import FreeSlots, GroupedSlots, Spend, for_nothing
from app.domain.instants import at_minute
from app.domain.masks import bits, ones
from app.domain.occupancy import NO_LOADS, Loads, day_loads
from app.domain.plan import ProviderPlan, Slot, SlotRules, Window, axis
from app.domain.slots import PlanMask
from app.domain.start_prices import StartPrices
from app.domain.visit_doer import Doer
from app.domain.visit_masks import VisitMasks, item_windows, work_of_masks


class AvailabilityCause(StrEnum):
    """Why free slots changed. Names as in the contract."""

    HELD = "held"
    RELEASED = "released"
    BOOKED = "booked"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"
    SCHEDULE = "schedule"
    CAPACITY = "capacity"
    RESOURCE = "resource"
    PRICE = "price"
    EXTERNAL_BUSY = "external_busy"
    TIME = "time"


BusyMap = Mapping[UUID, Mapping[UUID, Busy]]
"""Provider or resource unit → id of the claim or blocked time → it. Lapsed holds may stay in it; they take no time."""


@dataclass(frozen=True, slots=True)
class AllocationEvent:
    """One allocation of a provider or a resource unit went from `before` to `after` (None: it is not there).

    Claimed: None → claim. Extended or confirmed: claim → claim. Released: claim → None.
    """

    subject_id: UUID
    allocation_id: UUID
    before: Busy | None
    after: Busy | None
    cause: AvailabilityCause


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """What a client looks at, apart from claims and time: one plan for each provider, or the `items` of a visit."""

    plans: tuple[ProviderPlan, ...]
    window: Window
    notice_minutes: int = 0
    maximum_advance_days: int = 365
    items: tuple[tuple[ProviderPlan, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.plans and self.items:
            raise ValueError("a view is of one service or of a visit")

    def rules(self, now: datetime) -> SlotRules:
        return SlotRules(now, self.notice_minutes, self.maximum_advance_days)

    @property
    def places(self) -> tuple[tuple[ProviderPlan, ...], ...]:
        """The plans of each item of the visit; of a service, those of its only one."""
        return self.items or (self.plans,)

    def windows(self) -> Sequence[Window]:
        """For each place, the starts that matter there."""
        return item_windows(self.places, self.window)

    def work(self) -> int:
        """What it costs to compute the view from nothing, in slots; the views of one service cost nothing."""
        return work_of_masks(self.items, self.window) if self.items else 0

    def all_plans(self) -> Iterator[ProviderPlan]:
        """Of the service, or of every item of the visit."""
        for plans in self.places:
            yield from plans

    def subjects(self) -> frozenset[UUID]:
        """Whose claims matter."""
        return frozenset(subject for plan in self.all_plans() for subject in plan.subjects())


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan's masks over the starts that matter at its place, `width` bits.

    `untaken` is what hours, the provider's claims and limits leave of all of them; `free` besides has bits in `low` …
    `high` - 1 only (notice and horizon), and where the resources suffice.
    """

    plan: ProviderPlan
    place: int
    width: int
    fits: int
    untaken: int
    low: int
    high: int
    next_day_at: datetime
    """The provider's next midnight, when the horizon moves on."""
    sharing: int = 0
    """The same number for views that need the same units at the same times (0: none)."""
    most: int = 1
    """How many of them could be served at once, as far as anybody asks."""
    served: tuple[int, ...] = ()
    """As in `PlanMask`, one for all of them."""
    free: int = 0

    def possible(self) -> int:
        """What `free` has to be."""
        free = self.untaken >> self.low << self.low & ones(self.high)
        if self.plan.needs:
            return free & self.served[0] if self.served else 0
        return self.untaken if free == self.untaken else free  # one number in memory, where there may be thousands


@dataclass(frozen=True)
class AvailabilityState:
    """All that is known at `now`. `views` are those of the plans, place by place."""

    config: ViewConfig
    busy: BusyMap
    views: tuple[PlanView, ...]
    holds: Mapping[UUID, tuple[Busy, ...]]
    """By subject, those of its claims that lapse by themselves; no entry is empty."""
    now: datetime
    holds_at: datetime
    """Holds that lapsed by then count no more: `now`, or ahead of it in the midst of a step."""
    priced: tuple[int, ...] = ()
    """The places of those views whose starts do not all cost the same."""

    @cached_property
    def visit(self) -> VisitMasks:
        """Of a visit: its free starts."""
        first, past = axis(self.config.window)
        doers: list[list[Doer]] = [[] for _ in self.config.places]
        for view in self.views:
            doers[view.place].append(Doer.of(self.mask_of(view), (first, first + view.width), self.now))
        return VisitMasks(doers, first, past)

    def mask_of(self, view: PlanView) -> PlanMask:
        loads = self.loads_of(view.plan) if view.plan.asks_occupancy else NO_LOADS
        return PlanMask(view.plan, view.free, view.served, loads)

    def loads_of(self, plan: ProviderPlan) -> Loads:
        """What is taken of the days of its provider."""
        return day_loads(self.busy[plan.provider_id].values(), plan.time_zone, self.holds_at)

    def prices_of(self, view: PlanView) -> StartPrices:
        first, _ = axis(self.config.window)
        return self.mask_of(view).prices((first, first + view.width), self.now)

    @cached_property
    def found(self) -> FreeSlots:
        """The free starts, and their slots on demand."""
        if self.config.items:
            return self.visit
        return GroupedSlots([self.mask_of(view) for view in self.views], self.config.window, self.now)

    def slots(self, spend: Spend = for_nothing) -> list[Slot]:
        """Every free slot, in order: the body of a snapshot. `spend` is told how many before they are made.

        Raises TooManyCombinations, of a visit.
        """
        spend(self.found.least_slots)
        return self.found.slots(self.found.free, spend)

    def starts(self) -> list[datetime]:
        """The same as bare starts."""
        first, _ = axis(self.config.window)
        return [at_minute(first + bit) for bit in bits(self.found.free)]


@dataclass(frozen=True, slots=True)
class AvailabilityChange:
    """What a client has to do: forget the slots of `closed` starts, and for each start in `updated` replace its slots
    by those given there. `opened` starts had none before; their slots are in `updated` too. All rising.
    """

    opened: tuple[datetime, ...]
    closed: tuple[datetime, ...]
    updated: tuple[Slot, ...]
    causes: tuple[AvailabilityCause, ...]
