"""Moving several dates of a series at once: all of them, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from app.commands.booking_change import Requester, minutes_of
from app.commands.booking_reschedule import target_of
from app.commands.series_change import (
    OTHER_PROVIDER,
    ChangedSeries,
    LockedSeries,
    SeriesTarget,
    lock_targets,
    refused_change,
    write_series_change,
)
from app.commands.series_insert import move_dates, places_entry, time_entry
from app.commands.series_move import SeriesMove, write_moves
from app.commands.series_plan import CustomerCount, count_customer
from app.commands.series_sessions import why_not_session
from app.commands.served import check_area_of_move
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import FREE, BookingStatus
from app.domain.claims import Part
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.instants import MAXIMUM_DATE, MINIMUM_DATE, zone
from app.domain.limits import claims_window
from app.domain.plan import ProviderPlan, Refusal, SlotRules, UnavailableReason, Window
from app.domain.policy import ActorKind, broken_reschedule_rule
from app.domain.recurrence import local_start
from app.domain.refusals import why_not
from app.domain.series import (
    REACH,
    Calendar,
    RefusedChange,
    SeriesConflict,
    SeriesDate,
    SeriesNotAllowed,
    alternatives,
    skipped_by_clocks,
)
from app.models import Allocation, Booking, BookingItem
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.booking import facts_of, items_of_bookings
from app.queries.busy import list_busy
from app.queries.rows import one_of
from app.queries.series import WhoBooks, get_series_terms, list_sessions_at
from app.queries.session import ActivityAtVenue, SeenSession, get_activity_at_venue, lock_sessions
from app.queries.session_plan import starts_in_hours

MAXIMUM_SHIFT = 366
_OVER = FREE | {BookingStatus.COMPLETED}
_INACTIVE = Refusal(UnavailableReason.INACTIVE, "The provider does not offer this service now.")


@dataclass(frozen=True, slots=True)
class RescheduleSeriesRequest:
    """`minute`: of the day, by the wall clock; none: each keeps its own. `shift_days`: so many dates later."""

    target: SeriesTarget
    minute: int | None
    shift_days: int
    provider_id: UUID | None
    reason: str | None
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class MovedSeries:
    """`dates`: where each goes, or of a dry run would go; what stays where it is, is not among them."""

    series: ChangedSeries
    dates: Sequence[SeriesDate]
    currency: str


async def reschedule_series(
    tx: Tx, signer: TokenSigner, request: RescheduleSeriesRequest, requester: Requester, now: datetime
) -> MovedSeries:
    """Price, number and history of each stay, as of one that is moved alone; those that are over are left as they are.

    Raises NotFound, StaleVersion, InvalidInput, NotAllowed, SeriesNotAllowed; SeriesConflict unless it is a dry run.
    """
    locked = await lock_targets(tx, signer, request.target, requester)
    wanted = _movable(locked, now)
    moving = _Moving(tx, request, locked, requester, now)
    moves = await (moving.sessions(wanted) if locked.series.activity_id is not None else moving.appointments(wanted))
    currency = locked.all[0].currency
    verdicts = [one.verdict for one in moves]
    if request.is_dry_run:
        return MovedSeries(ChangedSeries(locked.seen, locked.all, ()), verdicts, currency)
    refused = [one for one in verdicts if one.refusal is not None]
    if refused:
        raise SeriesConflict(refused, len(moves), currency)
    if not moves:
        raise InvalidInput.at("input", "names where the bookings already are: give another time, date or provider")
    await _claim(tx, locked, moves, currency)
    await write_moves(tx, locked, moves, request.reason, requester, now=now)
    changed = [one.booking.id for one in moves]
    facts = {
        "scope": request.target.scope,
        "shiftDays": request.shift_days,
        "minute": request.minute,
        "providerId": request.provider_id,
        "bookingIds": changed,
    }
    await write_series_change(tx, locked, "series.rescheduled", facts, request.reason)
    return MovedSeries(ChangedSeries(locked.seen, locked.all, changed), verdicts, currency)


def _movable(locked: LockedSeries, now: datetime) -> list[Booking]:
    """Those that are not over. Raises NotAllowed, SeriesNotAllowed."""
    wanted, refused = list[Booking](), list[RefusedChange]()
    for booking in locked.targets:
        if BookingStatus(booking.status) in _OVER:
            continue
        broken = broken_reschedule_rule(facts_of(booking), locked.seen.viewer, now)
        broken = broken if locked.seen.sees(booking) else OTHER_PROVIDER
        if broken is None:
            wanted.append(booking)
        else:
            refused.append(refused_change(booking, broken))
    if refused:
        raise SeriesNotAllowed(refused)
    if not wanted:
        raise NotAllowed("nothing_to_move", "These bookings are over or cancelled already.")
    return wanted


async def _claim(tx: Tx, locked: LockedSeries, moves: Sequence[SeriesMove], currency: str) -> None:
    """Raises SeriesConflict where somebody was faster."""
    of_sessions = locked.series.activity_id is not None
    entries = [
        places_entry(one.index, one.booking.id, one.session.session.id, one.booking.party_size)
        if one.session is not None
        else time_entry(one.index, one.booking.id, one.own_part())
        for one in moves
    ]
    refused = await move_dates(tx, locked.series.organization_id, entries, of_sessions=of_sessions)
    if refused:
        dates = [replace(one.verdict, refusal=refused[one.index]) for one in moves if one.index in refused]
        raise SeriesConflict(dates, len(moves), currency)


@dataclass(frozen=True, slots=True)
class _Moving:
    tx: Tx
    request: RescheduleSeriesRequest
    locked: LockedSeries
    requester: Requester
    now: datetime

    @property
    def by_staff(self) -> bool:
        return self.locked.seen.viewer is not ActorKind.CUSTOMER

    def _start(self, booking: Booking, tz: ZoneInfo) -> tuple[datetime, Refusal | None]:
        """Where its wall clock leads. Raises InvalidInput."""
        if self.request.minute is None and not self.request.shift_days:
            return booking.starts_at, None  # clocks may show it twice that day
        shown = booking.starts_at.astimezone(tz)
        day = shown.date().toordinal() + self.request.shift_days
        if not MINIMUM_DATE.toordinal() <= day < MAXIMUM_DATE.toordinal():
            raise InvalidInput.at("input.shiftDays", "leads too far")
        minute = shown.hour * 60 + shown.minute if self.request.minute is None else self.request.minute
        starts_at, is_skipped = local_start(shown.date().fromordinal(day), minute, tz)
        refusal = skipped_by_clocks(f"{minute // 60:02}:{minute % 60:02}") if is_skipped else None
        return starts_at, refusal

    async def _count(self, wanted: Sequence[Booking], starts: Sequence[datetime], tz: ZoneInfo) -> CustomerCount:
        """The customer's own moves keep to limits; otherwise these were for the asking."""
        series, customer, who = self.locked.series, self.locked.customer, None
        if not self.by_staff:
            who = WhoBooks(customer.user_id, customer.email, is_final=not self.request.is_dry_run)
        terms = await get_series_terms(self.tx, series.organization_id)
        ids = [one.id for one in wanted]
        return await count_customer(self.tx, series.organization_id, terms.limits, who, starts, tz=tz, without=ids)

    # ── appointments ──

    async def appointments(self, wanted: Sequence[Booking]) -> list[SeriesMove]:
        """Six statements; one more each where limits of customers count, and where somebody else is to come to them."""
        series, request, is_staff = self.locked.series, self.request, self.requester.tenancy.is_staff
        assert series.service_id is not None
        await check_area_of_move(self.tx, wanted, request.provider_id, reason=request.reason, is_staff=is_staff)
        tz = zone(wanted[0].time_zone)
        goals = {one.id: self._start(one, zone(one.time_zone)) for one in wanted}
        starts = [start for start, _ in goals.values()]
        people = {request.provider_id or one.provider_id for one in wanted} - {None}
        service = await get_service_plan(
            self.tx,
            series.service_id,
            sorted(one for one in people if one is not None),
            max(min(starts).date(), MINIMUM_DATE + REACH) - REACH,
            min(max(starts).date(), MAXIMUM_DATE - REACH) + REACH,
            hidden_is_missing=request.provider_id is not None and not is_staff,
        )
        if request.provider_id is not None and not service.offers:
            raise InvalidInput.at("input.providerId", "does not offer this service now")
        items = {item.booking_id: item for item in await items_of_bookings(self.tx, [one.id for one in wanted])}
        count = await self._count(wanted, starts, tz)
        plans = {one.id: self._plan(service, one, items[one.id]) for one in wanted}
        known = [plan for plan in plans.values() if plan is not None]
        calendar = await self._calendar(known, wanted, starts)
        rules = service.rules(self.now, for_staff=self.by_staff)
        moves = []
        for booking in wanted:
            start, refusal = goals[booking.id]
            plan = plans[booking.id]
            if plan is not None and (start, plan.provider_id) == (booking.starts_at, booking.provider_id):
                calendar.take(plan, start)
                count.add(start)
                continue
            moves.append(self._appointment(booking, start, refusal, plan, calendar=calendar, count=count, rules=rules))
        return [self._with_alternatives(one, plans[one.booking.id], calendar, rules) for one in moves]

    def _plan(self, service: ServicePlan, booking: Booking, item: BookingItem) -> ProviderPlan | None:
        """The hours of who is to give it, with what it was booked with."""
        wanted = self.request.provider_id or booking.provider_id
        offers = tuple(offer for offer in service.offers if offer.provider_id == wanted)
        return target_of(replace(service, offers=offers), item) if offers else None

    async def _calendar(
        self, plans: Sequence[ProviderPlan], wanted: Sequence[Booking], starts: Sequence[datetime]
    ) -> Calendar:
        """What is taken by others than the bookings that are moved. Two statements."""
        window = claims_window(plans, Window(min(starts) - REACH, max(starts) + REACH))
        subjects = dict.fromkeys(subject for plan in plans for subject in plan.subjects())
        busy = await list_busy(self.tx, subjects, window.from_utc, window.to_utc)
        own = set(
            (
                await self.tx.execute(
                    select(Allocation.id).where(one_of(Allocation.booking_id, [one.id for one in wanted]))
                )
            ).scalars()
        )
        return Calendar(
            {subject: [busy for key, busy in claims.items() if key not in own] for subject, claims in busy.items()}
        )

    def _appointment(
        self,
        booking: Booking,
        start: datetime,
        refusal: Refusal | None,
        plan: ProviderPlan | None,
        *,
        calendar: Calendar,
        count: CustomerCount,
        rules: SlotRules,
    ) -> SeriesMove:
        refusal = refusal or count.refusal(start, booking.starts_at)
        if plan is None:
            refusal = refusal or _INACTIVE
        elif refusal is None:
            refusal = why_not(plan, start, rules, calendar.near(plan.subjects(), start))
        verdict = self._verdict(booking, start, refusal, None if plan is None else plan.provider_id)
        if refusal is not None or plan is None:
            return SeriesMove(booking, verdict)
        calendar.take(plan, start)
        count.add(start)
        return SeriesMove(booking, verdict, Part(plan, start))

    def _verdict(
        self, booking: Booking, start: datetime, refusal: Refusal | None, provider_id: UUID | None = None
    ) -> SeriesDate:
        assert booking.series_index is not None
        ends_at = start + timedelta(minutes=minutes_of(booking))
        return SeriesDate(booking.series_index, start, ends_at, refusal, provider_id, price_minor=booking.price_minor)

    def _with_alternatives(
        self, one: SeriesMove, plan: ProviderPlan | None, calendar: Calendar, rules: SlotRules
    ) -> SeriesMove:
        if one.verdict.refusal is None or plan is None:
            return one
        found = alternatives([plan], calendar, one.verdict.starts_at, rules)
        return replace(one, verdict=replace(one.verdict, alternatives=found))

    # ── sessions ──

    async def sessions(self, wanted: Sequence[Booking]) -> list[SeriesMove]:
        """Three statements, and those of limits, locks and hours. The sessions of the activity at the new times."""
        series, request = self.locked.series, self.request
        assert series.activity_id is not None
        if request.provider_id is not None:
            raise InvalidInput.at("input.providerId", "is for appointments; a session has its own people")
        place = await get_activity_at_venue(self.tx, series.activity_id)
        tz = zone(place.venue.time_zone)
        goals = {one.id: self._start(one, tz) for one in wanted}
        starts = [start for start, _ in goals.values()]
        count = await self._count(wanted, starts, tz)
        found = await self._sessions_at(place, wanted, starts)
        had = set(found)
        if not place.activity.sessions_follow:
            had = await starts_in_hours(self.tx, place.activity.id, tz, sorted(found))
        freed: dict[UUID | None, int] = {}
        for booking in wanted:
            if goals[booking.id][0] != booking.starts_at:
                freed[booking.session_id] = freed.get(booking.session_id, 0) + booking.party_size
        moves = []
        for booking in wanted:
            start, refusal = goals[booking.id]
            if start == booking.starts_at:
                count.add(start)
                continue
            seen = found.get(start)
            own = 0 if seen is None else freed.get(seen.session.id, 0)
            refusal = refusal or count.refusal(start, booking.starts_at)
            refusal = refusal or why_not_session(
                seen, place, booking.party_size, self.now, for_staff=self.by_staff, is_had=start in had, freed=own
            )
            count.add(start)
            verdict = self._verdict(booking, start, refusal)
            if seen is not None:
                verdict = replace(verdict, ends_at=seen.session.ends_at, session_id=seen.session.id)
            moves.append(SeriesMove(booking, verdict, session=seen, time_zone=tz.key))
        return moves

    async def _sessions_at(
        self, place: ActivityAtVenue, wanted: Sequence[Booking], starts: Sequence[datetime]
    ) -> Mapping[datetime, SeenSession]:
        found = await list_sessions_at(self.tx, place.activity.id, starts)
        if self.request.is_dry_run:
            return found
        ids = {seen.session.id for seen in found.values()} | {one.session_id for one in wanted if one.session_id}
        locked = await lock_sessions(self.tx, sorted(ids))
        return {start: SeenSession(locked[seen.session.id], seen.lapsed) for start, seen in found.items()}
