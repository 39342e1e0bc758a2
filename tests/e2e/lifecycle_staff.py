"""What the staff do: the day of service, sessions, hours, the catalogue. No customer loses anything by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

from app.commands.activity import Taken
from app.commands.booking_change import TransitionRequest
from app.commands.exception import ExceptionRequest
from app.commands.schedule import ScheduleRequest
from app.commands.schedule_resolution import AffectedBookingAction, Resolution, ResolvedRequest
from app.commands.session_cancel import BookingResolution, CancelSessionRequest, SessionResolution
from app.commands.time_off import TimeOffRequest
from app.domain.booking import OCCUPYING, BookingStatus
from app.domain.schedule import ExceptionKind
from app.queries.schedule import OwnerKind
from app.resolvers import activity, exception, schedule, service, session_staff
from app.resolvers import booking as bookings
from tests.e2e.lifecycle_guests import BOOKINGS, SESSIONS, STARTS
from tests.e2e.lifecycle_life import Life, forget, operation, pick
from tests.e2e.lifecycle_promises import MOVED, STEPPED
from tests.e2e.lifecycle_rows import Row, instant
from tests.e2e.lifecycle_world import daily

_S = BookingStatus
STEPS = (_S.CONFIRMED, _S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED, _S.NO_SHOW, _S.CANCELLED)
HOURS = (daily(0, 24), daily(7, 9), daily(10, 24), daily(22, 24))
"""What providers come to work."""
SESSION_HOURS = (daily(9, 12), daily(9, 10), daily(11, 16), daily(20, 22))
DAYS = 3
FACTS = (
    {"price_minor": 9_900},
    {"duration_minutes": 60},
    {"buffer_before_minutes": 30, "buffer_after_minutes": 30},
    {"cancellation_notice_minutes": 2_880},
    {"requires_approval": True},
    {"requires_approval": False},
)
ACTIVITY_FACTS = ({"price_minor": 7_700}, {"capacity": 1}, {"capacity": 6}, {"duration_minutes": 30})


@dataclass
class Staff(Life):
    """The owner."""

    exceptions: list[UUID] = field(default_factory=list)
    times_off: list[UUID] = field(default_factory=list)

    # ── the day ───────────────────────────────────────────────────────────────────────────────────────

    @operation(3, needs="made", booking=BOOKINGS, to=len(STEPS))
    async def take_step(self, booking: int, to: int) -> None:
        """By hand; many of them are refused."""
        chosen = pick(self.made, booking)
        self.intent.change(chosen.booking_id, STEPPED)
        self.intent.is_atomic = False  # a payment that was authorized is taken after it
        request = TransitionRequest(chosen.booking_id, STEPS[to], "A reason", None)
        await bookings.transition_booking(self.owner, "transitionBooking", request, None, None)

    @operation(4, needs="coming", booking=BOOKINGS, to=3)
    async def serve(self, booking: int, to: int) -> None:
        """As the day goes: accepted, then when the time has come checked in, served, or missed."""
        chosen = pick(self.coming, booking)
        row = self.rows.bookings[chosen.key]
        if row["status"] == "awaiting_provider":
            steps = [_S.CONFIRMED]
        else:
            self.world.pass_time(max(timedelta(0), instant(row["starts_at"]) - self.world.now()))
            steps = [_S.IN_PROGRESS, _S.COMPLETED] if to else [_S.NO_SHOW]
        self.intent.change(chosen.booking_id, STEPPED)
        self.intent.is_atomic = False
        for step in steps:
            request = TransitionRequest(chosen.booking_id, step, None, None)
            await bookings.transition_booking(self.owner, "transitionBooking", request, None, None)

    # ── sessions ──────────────────────────────────────────────────────────────────────────────────────

    @operation(3, session=SESSIONS, capacity=4)
    async def change_capacity(self, session: int, capacity: int) -> None:
        await session_staff.change_capacity(self.owner, self.session(session), capacity, None, None)

    @operation(session=SESSIONS)
    async def close_session(self, session: int) -> None:
        await session_staff.close_session(self.owner, self.session(session), None, None)

    @operation(needs="shut", instead="close_session", session=SESSIONS)
    async def reopen_session(self, session: int) -> None:
        await session_staff.reopen_session(self.owner, UUID(pick(self.shut, session)["id"]), None, None)

    @operation(2, session=SESSIONS, to=SESSIONS, moved=3)
    async def cancel_session(self, session: int, to: int, moved: int) -> None:
        """The first bookings go to another session, the rest is cancelled."""
        chosen, target = self.session(session), pick(self.sessions(), to)
        mine = sorted(
            key for key, row in self.rows.bookings.items() if row["session_id"] == str(chosen) and _is_live(row)
        )
        answers = [
            BookingResolution(UUID(key), SessionResolution.RESCHEDULE, UUID(target["id"])) for key in mine[:moved]
        ]
        for key in mine:
            self.intent.change(key, STEPPED | MOVED)
        for key, row in self.rows.holds.items():
            if row["session_id"] == str(chosen):
                self.intent.holds.add(key)
        request = CancelSessionRequest(chosen, "A storm", tuple(answers), SessionResolution.CANCEL, None)
        await session_staff.cancel_session(self.owner, request, None)
        for key in mine[:moved]:
            times = {name: instant(target[name]) for name in ("starts_at", "ends_at")}
            self.promise(UUID(key), session_id=target["id"], **times)

    # ── hours ─────────────────────────────────────────────────────────────────────────────────────────

    @operation(2, provider=2, hours=len(HOURS), day=DAYS, answer=3, start=STARTS)
    async def publish_hours(self, provider: int, hours: int, day: int, answer: int, start: int) -> None:
        """A booking outside is kept, cancelled or moved; nobody else notices."""
        owner = self.ground.providers[provider]
        request = ScheduleRequest(owner, self._day(day), HOURS[hours], 15)
        mine = [
            row
            for row in self.rows.bookings.values()
            if row["provider_id"] == str(owner) and row["status"] in {"confirmed", "awaiting_provider"}
        ]
        resolutions: tuple[Resolution, ...] = ()
        if answer and mine:
            row = min(mine, key=lambda one: str(one["id"]))
            self.intent.change(row["id"], STEPPED | MOVED)
            resolutions = (self._resolved(row, answer, start),)
        await schedule.publish_schedule(self.owner, ResolvedRequest(request, resolutions), None)
        for one in resolutions:
            if one.starts_at is not None:
                promised = self.promises[str(one.booking_id)]
                length = promised["ends_at"] - promised["starts_at"]
                self.promise(one.booking_id, starts_at=one.starts_at, ends_at=one.starts_at + length)

    def _resolved(self, row: Row, answer: int, start: int) -> Resolution:
        booking_id = UUID(row["id"])
        if answer == 1:
            return Resolution(booking_id, AffectedBookingAction.CANCEL, None, "New hours")
        return Resolution(booking_id, AffectedBookingAction.RESCHEDULE, self.start(start), None)

    @operation(2, activity_number=2, hours=len(SESSION_HOURS), day=DAYS)
    async def publish_session_hours(self, activity_number: int, hours: int, day: int) -> None:
        owner = self.ground.activities[activity_number]
        request = ScheduleRequest(owner, self._day(day), SESSION_HOURS[hours], 60, OwnerKind.ACTIVITY)
        await schedule.publish_schedule(self.owner, ResolvedRequest(request), None)

    @operation(owner=5, day=DAYS, special=2)
    async def make_exception(self, owner: int, day: int, special: int) -> None:
        """Closed, or open for two hours: a provider, an activity or the whole venue."""
        ground = self.ground
        kinds = (
            *((OwnerKind.PROVIDER, one) for one in ground.providers),
            *((OwnerKind.ACTIVITY, one) for one in ground.activities),
            (OwnerKind.VENUE, ground.venue),
        )
        kind, owner_id = kinds[owner]
        that_day = self._day(day)
        hours = ((10 * 60, 12 * 60),) if special else ()
        what = ExceptionKind.SPECIAL_HOURS if special else ExceptionKind.CLOSED
        request = ExceptionRequest(kind, owner_id, what, that_day, that_day, open=hours)
        made = await exception.create_exception(self.owner, request, None)
        self.exceptions.append(made.seen.record.id)

    @operation(needs="exceptions", instead="make_exception", number=2)
    async def remove_exception(self, number: int) -> None:
        chosen = pick(self.exceptions, number)
        await exception.remove_exception(self.owner, chosen, None)
        forget(self.exceptions, chosen)

    @operation(provider=2, start=STARTS)
    async def take_time_off(self, provider: int, start: int) -> None:
        """Two hours, whatever is booked in them."""
        begins = self.start(start)
        request = TimeOffRequest(
            self.ground.providers[provider], None, None, begins, begins + timedelta(hours=2), None, None, "Away"
        )
        made = await exception.create_time_off(self.owner, request, None)
        self.times_off.append(made.time_off.record.id)

    @operation(needs="times_off", instead="take_time_off", number=2)
    async def remove_time_off(self, number: int) -> None:
        chosen = pick(self.times_off, number)
        await exception.remove_time_off(self.owner, chosen, None)
        forget(self.times_off, chosen)

    def _day(self, number: int) -> date:
        return (self.world.now() + timedelta(days=number)).date()

    # ── the catalogue ─────────────────────────────────────────────────────────────────────────────────

    @operation(number=2, facts=len(FACTS))
    async def change_service(self, number: int, facts: int) -> None:
        await service.update_service(self.owner, self.ground.services[number], FACTS[facts], None)

    @operation(number=2, facts=len(ACTIVITY_FACTS))
    async def change_activity(self, number: int, facts: int) -> None:
        chosen = self.ground.activities[number]
        await activity.update_activity(self.owner, chosen, ACTIVITY_FACTS[facts], Taken(), None)

    @operation(number=2, on=2)
    async def switch_service(self, number: int, on: int) -> None:
        await service.set_service_active(self.owner, self.ground.services[number], bool(on), None)


def _is_live(row: Row) -> bool:
    return row["status"] in OCCUPYING and row["status"] != "completed"
