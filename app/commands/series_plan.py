"""What becomes of each date of a series: a verdict, a price as a hold would lock it, and alternatives.

The plan that is shown and the bookings that are made come from here, so that they agree. Everything is read once for
all dates; the claims themselves are the database's to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.commands.hold import HoldRequest, check_request, new_hold
from app.commands.hold_price import HeldPart, quote_of_parts
from app.core.database import Tx
from app.domain.claims import Part
from app.domain.customer_limit import CountedTime, CustomerLimits, broken_limit
from app.domain.errors import FieldErrors
from app.domain.instants import MAXIMUM_DATE
from app.domain.limits import claims_window
from app.domain.plan import ProviderPlan, Refusal, Slot, SlotRules, UnavailableReason, Window
from app.domain.price_quote import FeeRates
from app.domain.recurrence import REACH_DAYS, RecurrenceRule, occurrences
from app.domain.refusals import why_not
from app.domain.series import REACH, Calendar, SeriesDate, alternatives, skipped_by_clocks
from app.models import Hold
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.availability_search import aside
from app.queries.busy import list_busy
from app.queries.series import SeriesTerms, WhoBooks, get_series_terms, list_customer_starts
from app.queries.session import ActivityAtVenue, BookableSession
from app.queries.tenancy import Tenancy

DATES_LIKE_ONE_PERSON = 10
"""So many verdicts take as long as the search for one person's slots."""


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """Of a service (`provider_id` none: anyone), or places of an activity's sessions (no provider, no length)."""

    rule: RecurrenceRule
    except_dates: tuple[date, ...]
    starts_at: datetime
    party_size: int
    service_id: UUID | None = None
    activity_id: UUID | None = None
    provider_id: UUID | None = None
    duration_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class ChosenDate:
    """One of the plan's dates; none of the others: as planned."""

    index: int
    starts_at: datetime | None = None
    provider_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class WantedDate:
    """A date to be judged. `refusal`: it cannot be whatever else is."""

    index: int
    starts_at: datetime
    provider_id: UUID | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class PlannedDate:
    """`hold`: with the price as it is locked, of one that is free; it is not stored. `part`: of a service's."""

    verdict: SeriesDate
    hold: Hold | None = None
    part: Part | None = None
    session: BookableSession | None = None


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """`service`: of appointments; `place`: of sessions. `elsewhere`: alternatives for a free date that is lost after
    all."""

    organization_id: UUID
    time_zone: str
    currency: str
    dates: tuple[PlannedDate, ...]
    terms: SeriesTerms
    service: ServicePlan | None = None
    place: ActivityAtVenue | None = None
    elsewhere: Callable[[SeriesDate], tuple[Slot, ...]] | None = None

    @property
    def refused(self) -> list[SeriesDate]:
        return [one.verdict for one in self.dates if one.verdict.refusal is not None]

    @property
    def total_minor(self) -> int:
        """Of the free dates."""
        return sum(one.verdict.price_minor or 0 for one in self.dates)


@dataclass(frozen=True, slots=True)
class Planning:
    """Who plans, and when. `who` none: no limit of customers binds them. `is_final`: the dates are about to be made."""

    tenancy: Tenancy
    now: datetime
    fees: FeeRates
    account: UUID | None
    who: WhoBooks | None
    is_final: bool = False


_LOCK = text("SELECT lock_subjects(:leaders, CAST(:needs AS jsonb))").bindparams(
    bindparam("leaders", type_=ARRAY(Uuid)), bindparam("needs", type_=Text)
)


async def lock_people(tx: Tx, plans: Iterable[ProviderPlan]) -> None:
    """Everybody and everything that these plans may take, in the one order. One statement."""
    people = list(plans)
    units = sorted({unit for plan in people for need in plan.needs for unit in need.units})
    needs = msgspec.json.encode([{"units": units}]).decode()
    await tx.execute(_LOCK, {"leaders": [plan.provider_id for plan in people], "needs": needs})


def last_date(request: SeriesRequest) -> date:
    """No date of the series comes after it."""
    reach = min(request.starts_at.date().toordinal() + REACH_DAYS, MAXIMUM_DATE.toordinal())
    until = request.rule.until
    return date.fromordinal(reach if until is None else min(reach, max(until, request.starts_at.date()).toordinal()))


def days_of(request: SeriesRequest, chosen: Sequence[ChosenDate] | None, now: datetime) -> tuple[date, date]:
    """From when to when hours are asked: of all dates, wherever they are wanted, and of alternatives to them.

    Nobody has what lies before now, and what lies too far is refused by `wanted_dates`.
    """
    elsewhere = [one.starts_at.date().toordinal() for one in chosen or () if one.starts_at is not None]
    first, last, reach = request.starts_at.date().toordinal(), last_date(request).toordinal(), REACH.days
    high = min(max([last, *elsewhere]), first + REACH_DAYS, MAXIMUM_DATE.toordinal() - reach) + reach
    low = max(min([first, *elsewhere]), now.date().toordinal()) - reach
    return date.fromordinal(min(low, high)), date.fromordinal(high)


_TOO_FAR = Refusal(UnavailableReason.HORIZON, f"This is more than {REACH_DAYS} days after the first date.")


def wanted_dates(request: SeriesRequest, chosen: Sequence[ChosenDate] | None, tz: ZoneInfo) -> list[WantedDate]:
    """The dates of the rule, or those chosen of them, each maybe elsewhere. Raises InvalidInput."""
    found = {
        one.index: WantedDate(
            one.index,
            one.starts_at,
            request.provider_id,
            skipped_by_clocks(f"{request.starts_at.astimezone(tz):%H:%M}") if one.is_skipped else None,
        )
        for one in occurrences(request.rule, frozenset(request.except_dates), request.starts_at, tz)
    }
    if chosen is None:
        return list(found.values())
    errors, taken = FieldErrors(), set[int]()
    wanted = []
    for place, one in enumerate(chosen):
        if one.index not in found or one.index in taken:
            errors.add(f"input.dates.{place}.index", f"must be one of the plan's, 1 to {len(found)}, and each once")
            continue
        taken.add(one.index)
        planned = found[one.index]
        refusal, start = planned.refusal, one.starts_at or planned.starts_at
        if start != planned.starts_at:
            refusal = _TOO_FAR if start > request.starts_at + timedelta(days=REACH_DAYS) else None
        wanted.append(WantedDate(one.index, start, one.provider_id or planned.provider_id, refusal))
    errors.raise_any()
    return sorted(wanted, key=lambda one: one.index)


class CustomerCount:
    """How many bookings a customer has on a day and in a week, with those of the series so far."""

    def __init__(self, limits: CustomerLimits, tz: ZoneInfo, starts: Iterable[datetime]) -> None:
        self._limits = limits
        self._tz = tz
        self._starts = list(starts)

    def refusal(self, starts_at: datetime, moved_from: datetime | None = None) -> Refusal | None:
        """`moved_from`: on the day, or in the week, where a booking is already it may stay."""
        if not self._limits:
            return None
        limits, time = self._limits, CountedTime.around(starts_at, self._tz)
        if moved_from is not None:
            limits = limits.of_move(CountedTime.around(moved_from, self._tz), time)
        in_day = sum(time.day_from <= one < time.day_to for one in self._starts)
        in_week = sum(time.week_from <= one < time.week_to for one in self._starts)
        broken = broken_limit(limits, time, in_day, in_week)
        return None if broken is None else Refusal(UnavailableReason.LIMIT, broken.message)

    def add(self, starts_at: datetime) -> None:
        self._starts.append(starts_at)


async def count_customer(
    tx: Tx,
    organization_id: UUID,
    limits: CustomerLimits,
    who: WhoBooks | None,
    starts: Sequence[datetime],
    *,
    tz: ZoneInfo,
    without: Sequence[UUID] = (),
) -> CustomerCount:
    """At most one statement: none without limits, or for whom none counts."""
    if who is None or not limits or (who.account is None and who.email is None):
        return CustomerCount(CustomerLimits(), tz, ())
    week = timedelta(days=8)
    low, high = min(starts) - week, max(starts) + week
    return CustomerCount(limits, tz, await list_customer_starts(tx, organization_id, who, low, high, without=without))


# ── appointments ──────────────────────────────────────────────────────────────────────────────────────


async def plan_appointments(
    tx: Tx, request: SeriesRequest, chosen: Sequence[ChosenDate] | None, planning: Planning
) -> SeriesPlan:
    """Three statements; one more each for an unknown price book, for limits of customers and for locks.

    The wall clock is that of the named provider, else of the first who offers the service. Anyone: whoever has more of
    the series already goes first, so that the customer meets few people. Raises NotFound, InvalidInput.
    """
    assert request.service_id is not None
    tenancy, now = planning.tenancy, planning.now
    named = {one.provider_id for one in chosen or () if one.provider_id is not None}
    providers = None if request.provider_id is None else tuple(sorted({request.provider_id, *named}))
    low, high = days_of(request, chosen, now)
    service = await get_service_plan(
        tx, request.service_id, providers, low, high, hidden_is_missing=not tenancy.is_staff
    )
    check_request(
        service,
        HoldRequest(
            request.service_id, request.provider_id, request.starts_at, request.duration_minutes, request.party_size
        ),
    )
    plans = service.plans(request.duration_minutes)
    errors = FieldErrors()
    if not plans:
        errors.add("input.serviceId", "is offered by nobody now")
    for place, one in enumerate(chosen or ()):
        if one.provider_id is not None and all(plan.provider_id != one.provider_id for plan in plans):
            errors.add(f"input.dates.{place}.providerId", "does not offer this service")
    errors.raise_any()
    own = next((plan for plan in plans if plan.provider_id == request.provider_id), plans[0])
    wanted = wanted_dates(request, chosen, own.time_zone)
    starts = [one.starts_at for one in wanted]
    terms = await get_series_terms(tx, service.organization_id)
    count = await count_customer(tx, service.organization_id, terms.limits, planning.who, starts, tz=own.time_zone)
    if planning.is_final:
        await lock_people(tx, plans)
    calendar = await read_calendar(tx, plans, starts)
    people = [plan for plan in plans if request.provider_id in {None, plan.provider_id}]
    rules = service.rules(now, for_staff=tenancy.is_staff)
    judge = _Judge(service, plans, people, rules, calendar, count, planning, request.party_size)
    dates = await aside(len(plans) * len(wanted) // DATES_LIKE_ONE_PERSON, judge.all, wanted)
    return SeriesPlan(
        service.organization_id,
        own.time_zone.key,
        service.currency,
        tuple(dates),
        terms,
        service=service,
        elsewhere=judge.elsewhere,
    )


async def read_calendar(tx: Tx, plans: Sequence[ProviderPlan], starts: Sequence[datetime]) -> Calendar:
    """All that may be in the way of these starts, and of alternatives to them. One statement."""
    window = claims_window(plans, Window(min(starts) - REACH, max(starts) + REACH))
    subjects = dict.fromkeys(subject for plan in plans for subject in plan.subjects())
    busy = await list_busy(tx, subjects, window.from_utc, window.to_utc)
    return Calendar({subject: claims.values() for subject, claims in busy.items()})


@dataclass(frozen=True, slots=True)
class _Judge:
    """`plans`: of everybody who may be named; `people`: who come into question where nobody is."""

    service: ServicePlan
    plans: Sequence[ProviderPlan]
    people: Sequence[ProviderPlan]
    rules: SlotRules
    calendar: Calendar
    count: CustomerCount
    planning: Planning
    party_size: int

    def all(self, wanted: Sequence[WantedDate]) -> list[PlannedDate]:
        """In their order: each date counts for those after it. Alternatives know of all of them."""
        had: dict[UUID, int] = {}
        found: list[PlannedDate] = []
        for one in wanted:
            planned = self._date(one, had)
            if planned.part is not None:
                had[planned.part.plan.provider_id] = had.get(planned.part.plan.provider_id, 0) + 1
                self.calendar.take(planned.part.plan, one.starts_at)
                self.count.add(one.starts_at)
            found.append(planned)
        return [one if one.part is not None else self._with_alternatives(one) for one in found]

    def _date(self, one: WantedDate, had: dict[UUID, int]) -> PlannedDate:
        people = self._people(one.provider_id)
        refusal = one.refusal or self.count.refusal(one.starts_at)
        if refusal is None:
            for plan in sorted(people, key=lambda plan: -had.get(plan.provider_id, 0)):
                near = self.calendar.near(plan.subjects(), one.starts_at)
                against = why_not(plan, one.starts_at, self.rules, near)
                if against is None:
                    return self._free(one, plan)
                refusal = refusal or against
        length = timedelta(minutes=people[0].duration_minutes)
        return PlannedDate(SeriesDate(one.index, one.starts_at, one.starts_at + length, refusal, one.provider_id))

    def _people(self, provider_id: UUID | None) -> Sequence[ProviderPlan]:
        if provider_id is None:
            return self.people
        return [plan for plan in self.plans if plan.provider_id == provider_id]

    def _free(self, one: WantedDate, plan: ProviderPlan) -> PlannedDate:
        part = Part(plan, one.starts_at)
        held = [HeldPart(part, self.service)]
        claims = None
        if self.service.book.asks_occupancy_of((self.service.service_id, plan.provider_id)):
            claims = self.calendar.near((plan.provider_id,), one.starts_at)
        planning = self.planning
        quote = quote_of_parts(
            held, claims, now=planning.now, fees=planning.fees, is_member=planning.account is not None
        )
        hold = new_hold(self.service.organization_id, quote, held, self.party_size, user_id=planning.account)
        verdict = SeriesDate(
            one.index, one.starts_at, part.ends_at, None, plan.provider_id, price_minor=quote.total_minor
        )
        return PlannedDate(verdict, hold, part)

    def _with_alternatives(self, one: PlannedDate) -> PlannedDate:
        return replace(one, verdict=replace(one.verdict, alternatives=self.elsewhere(one.verdict)))

    def elsewhere(self, verdict: SeriesDate) -> tuple[Slot, ...]:
        """Around a date, beside all that the series takes itself."""
        return alternatives(self._people(verdict.provider_id), self.calendar, verdict.starts_at, self.rules)
