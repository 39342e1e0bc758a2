"""Whether what `explain` says of a start is true, and all of the truth: looked up minute by minute, rule by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.busy import Busy, BusyKind
from app.domain.closed import Reason
from app.domain.plan import Need, SlotRules, Window
from app.domain.plan import UnavailableReason as R
from app.domain.schedule import ExceptionKind
from tests.domain.reference_slots import MINUTE, Day, Minutes, exception_of

DAY = timedelta(days=1)
OF_KIND = {
    BusyKind.TIME_OFF: R.TIME_OFF,
    BusyKind.EXTERNAL: R.EXTERNAL_BUSY,
    BusyKind.BOOKED: R.BOOKED,
    BusyKind.HELD: R.HELD,
}
OF_CLAIMS = {*OF_KIND.values(), R.BUFFER}
EXCEPTIONAL = ("Closed on ", "Closed from ")


class Truth:
    """About one provider near a window. Starts are whole minutes of it."""

    def __init__(self, day: Day, window: Window) -> None:
        self.day = day
        self.minutes = day.minutes
        self.plan = day.plan
        # As if there were no exceptions: which small hours did the one of the night before take away?
        self.usually = Minutes(replace(day.plan, exceptions=()), window)

    def nights_taken_away(self) -> list[datetime]:
        """Small hours of ordinary days that would be open, had not an exception ruled the evening before."""
        taken_away = sorted(self.usually.opened - self.minutes.opened)
        return [
            self.minutes.instant(minute)
            for minute in taken_away
            if exception_of(self.plan, self.minutes.clock.date_at(minute)) is None
        ]

    def check(self, start: datetime, rules: SlotRules, reasons: Sequence[Reason]) -> None:
        kinds = Counter(one.reason for one in reasons)
        minute = self.minutes.number(start)
        service = range(minute, minute + self.plan.duration_minutes)
        buffered = range(service.start - self.plan.buffer_before, service.stop + self.plan.buffer_after)
        self._check_hours(service, [one for one in reasons if one.reason in {R.CLOSED, R.HOLIDAY}])
        assert (R.BREAK in kinds) == (not self.minutes.paused.isdisjoint(service))
        assert (R.NOTICE in kinds) == (not self.day.is_in_notice(start, rules))
        assert (R.HORIZON in kinds) == (not self.day.is_in_horizon(start, rules))
        assert (R.LIMIT in kinds) == (not self.day.is_within_limits(minute))
        found = [(one.reason, one.from_utc, one.to_utc) for one in reasons if one.reason in OF_CLAIMS]
        assert Counter(found) == Counter(self._of_claims(service, buffered))
        short = [need for need in self.plan.needs if self.day.free_units(need, minute) < need.quantity]
        assert kinds[R.RESOURCE] == len(short)
        of_resources = (one for one in reasons if one.reason is R.RESOURCE)
        for one, need in zip(of_resources, short, strict=True):
            self._check_resource(one, need, buffered)
        for one in reasons:
            if one.reason is R.BREAK:
                assert self.minutes.paused.issuperset(self._range(one))
            if one.reason is R.LIMIT:
                assert self._range(one).start <= minute < self._range(one).stop
            if one.reason is R.NOTICE:
                assert one.to_utc == rules.now + rules.notice_minutes * MINUTE > start
            if one.reason is R.HORIZON:
                assert one.from_utc is not None
                assert one.from_utc <= start

    # ── hours ─────────────────────────────────────────────────────────────────────────────────────────

    def _check_hours(self, service: range, reasons: Sequence[Reason]) -> None:
        closed = [minute for minute in service if minute not in self.minutes.opened]
        off_grid = service.start in self.minutes.opened and service.start not in self.minutes.grid
        assert bool(reasons) == bool(closed or off_grid)
        assert any(one.reason is R.HOLIDAY for one in reasons) <= any(map(self._is_holiday, closed))
        if closed and self._is_holiday(closed[0]):
            assert reasons[0].reason is R.HOLIDAY
        for one in reasons:
            if one.message.startswith("No service starts at"):
                assert off_grid
                low, high = self._range(one).start, self._range(one).stop
                assert low < service.start < high
                assert self.minutes.grid.isdisjoint(range(low + 1, high))
            elif not one.message.startswith(EXCEPTIONAL):
                # From one opening to the next: nobody works in all that time.
                assert self.minutes.opened.isdisjoint(self._range(one))
                assert any(minute in self._range(one) for minute in closed)

    def _is_holiday(self, minute: int) -> bool:
        """Of its own day; or of the night that would still go on, had it not begun on a holiday."""
        day = self.minutes.clock.date_at(minute)
        own = exception_of(self.plan, day)
        if own is not None:
            return own.kind is ExceptionKind.HOLIDAY
        if minute not in self.usually.opened:
            return False
        before = self.minutes.clock.date_before(minute)
        night = exception_of(self.plan, before)
        return night is not None and night.kind is ExceptionKind.HOLIDAY

    # ── what is taken ─────────────────────────────────────────────────────────────────────────────────

    def _of_claims(self, service: range, buffered: range) -> Iterable[tuple[R, datetime, datetime]]:
        for claim in self.day.live[self.plan.provider_id]:
            if not set(self.minutes.outward(claim)).isdisjoint(buffered):
                own = Busy(claim.starts_at or claim.busy_from, claim.ends_at or claim.busy_to)
                if set(self.minutes.outward(own)).isdisjoint(service):
                    yield R.BUFFER, claim.busy_from, claim.busy_to
                else:
                    yield OF_KIND[claim.kind], own.busy_from, own.busy_to

    def _check_resource(self, reason: Reason, need: Need, buffered: range) -> None:
        """Too few are free in every minute of it; where that is so in none, it is the time that was asked for."""
        told = self._range(reason)
        short = [minute for minute in told if self._free_at(need, minute) < need.quantity]
        assert len(short) == len(told) or told == buffered
        if told != buffered:
            assert not set(told).isdisjoint(buffered)
        else:
            assert not any(self._free_at(need, minute) < need.quantity for minute in buffered) or len(short) == len(
                told
            )

    def _free_at(self, need: Need, minute: int) -> int:
        return sum(1 for unit in need.units if minute not in self.day.busy[unit])

    def _range(self, reason: Reason) -> range:
        """Its whole minutes, as far as the clock goes."""
        low = 0 if reason.from_utc is None else max(0, self.minutes.number(reason.from_utc))
        last = len(self.minutes.clock.reached)
        return range(low, last if reason.to_utc is None else min(last, self.minutes.number(reason.to_utc)))
