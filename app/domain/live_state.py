"""What a stream of availability knows and tells: plain values, without the steps between them (`app.domain.live`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce
from operator import or_
from uuid import UUID

from app.domain.busy import Busy
from app.domain.instants import at_minute
from app.domain.masks import bits
from app.domain.plan import ProviderPlan, Slot, SlotRules, Window, axis
from app.domain.slot_list import SlotGroup, slots_of_groups
from app.domain.slots import PlanMask, count_slots, groups_of_masks
from app.domain.visits import count_visits


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

    def all_plans(self) -> Iterator[ProviderPlan]:
        """Of the service, or of every item of the visit."""
        yield from self.plans
        for plans in self.items:
            yield from plans

    def subjects(self) -> frozenset[UUID]:
        """Whose claims matter."""
        return frozenset(subject for plan in self.all_plans() for subject in plan.subjects())


@dataclass(frozen=True, slots=True)
class PlanView:
    """One plan's masks over the view's window; `free` has bits in `low` … `high` - 1 only (notice and horizon).

    `served` is as in `PlanMask`.
    """

    plan: ProviderPlan
    fits: int
    free: int
    low: int
    high: int
    next_day_at: datetime
    """The provider's next midnight, when the horizon moves on."""
    served: tuple[int, ...] = ()

    @property
    def is_simple(self) -> bool:
        """Do claims touch only the starts near them? Not where units are shared or bookings counted."""
        return not self.plan.needs and not self.plan.limits

    def mask(self) -> PlanMask:
        return PlanMask(self.plan, self.free, self.served)


@dataclass(frozen=True, slots=True)
class AvailabilityState:
    """All that is known at `now`. `views` are those of the plans; of a visit `visits` are its free starts."""

    config: ViewConfig
    busy: BusyMap
    views: tuple[PlanView, ...]
    visits: tuple[SlotGroup, ...]
    now: datetime

    def groups(self) -> Iterable[SlotGroup]:
        """The free starts by length and price."""
        return self.visits if self.config.items else groups_of_masks(view.mask() for view in self.views)

    def slots(self) -> list[Slot]:
        """Every free slot, in order: the body of a snapshot."""
        return slots_of_groups(self.groups(), axis(self.config.window)[0])

    def count(self) -> int:
        """How many slots there are, without making them."""
        return count_visits(self.visits) if self.config.items else count_slots(view.mask() for view in self.views)

    def any_free(self) -> int:
        """When anything is free."""
        return reduce(or_, (view.free for view in self.views), 0) | reduce(or_, (one.free for one in self.visits), 0)

    def starts(self) -> list[datetime]:
        """The same as bare starts."""
        first, _ = axis(self.config.window)
        return [at_minute(first + bit) for bit in bits(self.any_free())]


@dataclass(frozen=True, slots=True)
class AvailabilityChange:
    """What a client has to do: forget the slots of `closed` starts, and for each start in `updated` replace its slots
    by those given there. `opened` starts had none before; their slots are in `updated` too. All rising.
    """

    opened: tuple[datetime, ...]
    closed: tuple[datetime, ...]
    updated: tuple[Slot, ...]
    causes: tuple[AvailabilityCause, ...]
