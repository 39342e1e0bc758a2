"""Recurring bookings: planned, then made as a whole or not at all; cancelled and moved one, from one on, or all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.commands.series import CreateSeriesRequest
from app.commands.series_change import CancelSeriesRequest, SeriesTarget
from app.commands.series_plan import SeriesRequest
from app.commands.series_reschedule import RescheduleSeriesRequest
from app.domain.booking import PaymentMethod
from app.domain.recurrence import Frequency, RecurrenceRule
from app.domain.series import SeriesScope
from app.resolvers import series
from tests.e2e.lifecycle_guests import GUEST, PROVIDERS, SESSIONS, STARTS, Guests
from tests.e2e.lifecycle_life import Made, NothingToDo, operation, pick
from tests.e2e.lifecycle_promises import MOVED, STEPPED
from tests.e2e.lifecycle_rows import Row, instant

SCOPES = tuple(SeriesScope)
DATES = 3
SHIFTS = (0, 1, 7)


@dataclass(frozen=True, slots=True)
class MadeSeriesOf:
    """A series and its secret link."""

    series_id: UUID
    token: str


@dataclass
class Recurring(Guests):
    """Customers who come again and again."""

    series: list[MadeSeriesOf] = field(default_factory=list)

    @operation(3, service=2, provider=PROVIDERS, start=STARTS, dates=2)
    async def book_series(self, service: int, provider: int, start: int, dates: int) -> None:
        request = SeriesRequest(
            rule=RecurrenceRule(Frequency.DAILY, count=dates + 2),
            except_dates=(),
            starts_at=self.start(start),
            party_size=1,
            service_id=self.ground.services[service],
            provider_id=None if provider == PROVIDERS - 1 else self.ground.providers[provider],
        )
        await self._make(request)

    @operation(2, session=SESSIONS, party=2)
    async def book_series_of_places(self, session: int, party: int) -> None:
        row = self.rows.sessions[str(self.session(session))]
        request = SeriesRequest(
            rule=RecurrenceRule(Frequency.DAILY, count=2),
            except_dates=(),
            starts_at=instant(row["starts_at"]),
            party_size=party + 1,
            activity_id=UUID(row["activity_id"]),
        )
        await self._make(request)

    async def _make(self, request: SeriesRequest) -> None:
        """All dates or none: and what was planned as free can be had."""
        context = self.world.context(None)
        plan = await series.read_plan(context, request)
        is_free = all(one.verdict.refusal is None for one in plan.dates)
        total = sum(one.verdict.price_minor or 0 for one in plan.dates)
        wanted = CreateSeriesRequest(request, None, PaymentMethod.PAY_ON_ARRIVAL, None, total)
        self.intent.must_succeed = is_free
        seen, token, _ = await series.create_series(self.world.context(None), wanted, GUEST, None)
        assert is_free, "made, and not all was free"
        self.series.append(MadeSeriesOf(seen.series.id, token))
        made = await series.bookings_of(context, seen)
        self.intent.creates += len(made)
        assert len(made) == len(plan.dates)
        for one, date in zip(made, plan.dates, strict=True):
            booking = one.booking
            self.made.append(Made(booking.id, self.world.services.tokens.guest_token(booking.id, 1)))
            self.promise(
                booking.id,
                number=booking.number,
                starts_at=date.verdict.starts_at,
                ends_at=booking.ends_at,
                provider_id=date.verdict.provider_id,
                service_id=booking.service_id,
                session_id=date.verdict.session_id,
                party_size=request.party_size,
                price_minor=date.verdict.price_minor,
                customer_id=booking.customer_id,
                policy=booking.policy,
            )

    def _dates_of(self, made: MadeSeriesOf) -> list[Row]:
        mine = [one for one in self.rows.bookings.values() if one["series_id"] == str(made.series_id)]
        return sorted(mine, key=lambda one: int(one["series_index"]))

    def _target(self, made: MadeSeriesOf, scope: int, position: int) -> tuple[SeriesTarget, list[Row]]:
        dates = self._dates_of(made)
        if not dates:
            raise NothingToDo  # others see it a little late
        at = position % len(dates)
        meant = (dates[at : at + 1], dates[at:], dates)[scope]
        index = None if SCOPES[scope] is SeriesScope.ALL else int(dates[at]["series_index"])
        return SeriesTarget(made.series_id, SCOPES[scope], index, None), meant

    @operation(3, needs="series", instead="book_series", number=2, scope=len(SCOPES), position=DATES, skip=2)
    async def cancel_series(self, number: int, scope: int, position: int, skip: int) -> None:
        chosen = pick(self.series, number)
        target, meant = self._target(chosen, scope, position)
        for row in meant:
            self.intent.change(row["id"], STEPPED)
        request = CancelSeriesRequest(target, "Ill", skip_not_allowed=bool(skip))
        await series.cancel_series(self.world.context(None), request, chosen.token, None)

    @operation(
        2, needs="series", instead="book_series", number=2, scope=len(SCOPES), position=DATES, goal=6, start=STARTS
    )
    async def move_series(self, number: int, scope: int, position: int, goal: int, start: int) -> None:
        """By the owner, later, to somebody else, or both; all that is meant goes, or nothing does."""
        chosen = pick(self.series, number)
        target, meant = self._target(chosen, scope, position)
        at = self.start(start)
        minute = at.hour * 60 + at.minute
        for row in meant:
            self.intent.change(row["id"], MOVED)
        shift, provider = SHIFTS[goal % len(SHIFTS)], (None, self.ground.providers[0])[goal // len(SHIFTS)]
        request = RescheduleSeriesRequest(target, minute, shift, provider, None)
        moved = await series.reschedule_series(self.owner, request, None, None)
        for booking_id in moved.series.changed:
            row = self.rows.bookings[str(booking_id)]
            length = instant(row["ends_at"]) - instant(row["starts_at"])
            begins = _on_its_day(instant(row["starts_at"]), minute) + timedelta(days=shift)
            self.promise(booking_id, starts_at=begins, ends_at=begins + length)
            if provider is not None:
                self.promise(booking_id, provider_id=provider)
            [there] = [one for one in moved.dates if one.index == row["series_index"]]
            if there.session_id is not None:
                self.promise(booking_id, session_id=there.session_id, ends_at=there.ends_at)


def _on_its_day(start: datetime, minute: int) -> datetime:
    return start.replace(hour=minute // 60, minute=minute % 60)
