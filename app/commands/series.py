"""Making a series: all its dates, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking import BookingRequest, account_of, new_booking, new_items, records_of_new, wish_of, works_here
from app.commands.booking_change import acting
from app.commands.booking_insert import CustomerDetails, claim_until
from app.commands.booking_payment import FrozenTerms, Offers, TakesPayment, freeze_terms, put_terms
from app.commands.booking_price import check_chargeable
from app.commands.customer_limit import check_customer_limits
from app.commands.guest_session import GuestCheckout, book_series_in_session, details_given
from app.commands.journal import Audit, Event, Transition, write_journal
from app.commands.participants import put_participants, shown
from app.commands.series_insert import claim_dates, insert_series, places_entry, put_customer, time_entry
from app.commands.series_payment import consent_to_charges, first_to_pay, plan_first, wait_for_first
from app.commands.series_plan import (
    ChosenDate,
    PlannedDate,
    Planning,
    SeriesPlan,
    SeriesRequest,
    plan_appointments,
)
from app.commands.series_sessions import plan_sessions
from app.commands.served import NOBODY_ELSE, Served, set_recipient, set_served
from app.commands.session_booking import new_places_booking
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.booking_terms import answer_deadline
from app.domain.errors import NotAllowed
from app.domain.participant import ParticipantDetails, check_named
from app.domain.plan import Refusal
from app.domain.policy import ActorKind
from app.domain.price_quote import FeeRates
from app.domain.series import PriceChanged, SeriesConflict, SeriesDate
from app.gateway import Capability
from app.models import Booking, BookingItem, BookingSeries, Customer, Payment, Provider, Service
from app.queries.booking import role_towards
from app.queries.hold import LockedHold
from app.queries.rows import get_row, require_rows
from app.queries.series import WhoBooks
from app.queries.session_hold import LockedPlaces
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class CreateSeriesRequest:
    """`dates` none: all of them. `expected_total_minor`: what the plan said that these cost. `saves_method`: what the
    first is paid with is kept, and the others are charged to it. `participants`, `served`: of every date."""

    series: SeriesRequest
    dates: tuple[ChosenDate, ...] | None
    payment_method: PaymentMethod
    notes: str | None
    expected_total_minor: int
    saves_method: bool = False
    participants: tuple[ParticipantDetails, ...] = ()
    served: Served = NOBODY_ELSE


@dataclass(frozen=True, slots=True)
class MadeSeries:
    """The series and what it hangs on, so that nothing is read twice. `payment`: what its first date waits for."""

    series: BookingSeries
    bookings: tuple[Booking, ...]
    customer: Customer
    viewer: ActorKind
    payment: Payment | None = None


async def plan_series(
    tx: Tx, request: SeriesRequest, chosen: Sequence[ChosenDate] | None, planning: Planning
) -> SeriesPlan:
    """Raises NotFound, InvalidInput."""
    if request.activity_id is not None:
        return await plan_sessions(tx, request, chosen, planning)
    return await plan_appointments(tx, request, chosen, planning)


async def create_series(
    tx: Tx,
    request: CreateSeriesRequest,
    customer: CustomerDetails | None,
    *,
    tenancy: Tenancy,
    actor: Actor,
    now: datetime,
    takes_payment: TakesPayment,
    fees: FeeRates,
    offers: Offers,
    guest: GuestCheckout | None = None,
) -> MadeSeries:
    """Five statements, two more for appointments, one more each where it is paid now, where people are named and in a
    guest session, and those of the plan, however many dates there are.

    Raises InvalidInput, NotAllowed, NotFound, SeriesConflict, PriceChanged, RateLimited;
    Unauthenticated where the account is gone.
    """
    account = account_of(customer, tenancy, actor.user_id)
    check_named(len(request.participants), request.series.party_size)
    if guest is not None:
        await book_series_in_session(tx, guest, details_given(customer, request.served))
    who = None
    if not works_here(tenancy):
        who = WhoBooks(account, None if customer is None else customer.email, is_final=True)
    planning = Planning(tenancy, now, fees, account, who, is_final=True)
    plan = await plan_series(tx, request.series, request.dates, planning)
    if plan.refused:
        raise SeriesConflict(plan.refused, len(plan.dates), plan.currency)
    if plan.total_minor != request.expected_total_minor:
        raise PriceChanged(plan.total_minor, plan.currency)
    if who is not None:
        await _check_hour(tx, plan, who)
    making = _Making(tx, request, plan, tenancy, actor, now, takes_payment, offers)
    bookings, items = await making.bookings()
    first = first_to_pay(bookings, making.frozen)
    is_agreed = first is not None and making.can_save and wait_for_first(bookings, making.frozen, first) > 0
    await _claim(tx, plan, bookings)
    owner, change = await put_customer(tx, plan.organization_id, customer, account)
    series = _new_series(request.series, plan, owner.id)
    series.guest_session_id = None if guest is None else guest.session_id
    for one, booking in zip(plan.dates, bookings, strict=True):
        booking.customer_id, booking.series_id, booking.series_index = owner.id, series.id, one.verdict.index
    await insert_series(tx, series, bookings, items)
    role = role_towards(tenancy, bookings[0], account, user_id=actor.user_id, has_link=True)
    payment = None
    if first is not None:
        agreed = consent_to_charges(series.id, bookings, making.frozen, actor, now) if is_agreed else None
        processor = plan.terms.payment.processor
        payment = await plan_first(tx, first, making.frozen[first.id], processor, agreed=agreed, now=now)
    booker = actor if actor.user_id is None else acting(actor, role)
    named = await _name(tx, bookings, request.participants)
    await _tell(tx, series, bookings, [*([] if change is None else [change]), *named], booker)
    return MadeSeries(series, tuple(bookings), owner, role, payment)


def _new_series(request: SeriesRequest, plan: SeriesPlan, customer_id: UUID) -> BookingSeries:
    return BookingSeries(
        id=new_id(),
        organization_id=plan.organization_id,
        service_id=request.service_id,
        activity_id=request.activity_id,
        provider_id=request.provider_id,
        customer_id=customer_id,
        rule=request.rule.text(),
        except_dates=sorted(set(request.except_dates)),
        starts_at=request.starts_at,
        time_zone=plan.time_zone,
        duration_minutes=request.duration_minutes,
        party_size=request.party_size,
        version=1,
        access_version=1,
    )


# ── bookings ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Making:
    tx: Tx
    request: CreateSeriesRequest
    plan: SeriesPlan
    tenancy: Tenancy
    actor: Actor
    now: datetime
    takes: TakesPayment
    offers: Offers
    frozen: dict[UUID, FrozenTerms] = field(default_factory=dict)
    """By booking."""

    @property
    def can_save(self) -> bool:
        """Did the customer agree to it, and does the processor keep anything?"""
        return self.request.saves_method and Capability.SAVED_METHODS in self.offers(self.plan.terms.payment.processor)

    async def bookings(self) -> tuple[list[Booking], dict[UUID, tuple[BookingItem, ...]]]:
        """As their holds would have become them: price and terms are locked. Two statements for appointments."""
        providers: dict[UUID, Provider] = {}
        service = None
        if self.plan.service is not None:
            chosen = {one.part.plan.provider_id for one in self.plan.dates if one.part is not None}
            providers = await require_rows(self.tx, Provider, sorted(chosen))
            service = await get_row(self.tx, Service, self.plan.service.service_id)
        bookings, items = [], {}
        for one in self.plan.dates:
            booking, own = self._booking(one, providers, service)
            bookings.append(booking)
            items[booking.id] = own
        return bookings, items

    def _booking(
        self, one: PlannedDate, providers: dict[UUID, Provider], service: Service | None
    ) -> tuple[Booking, tuple[BookingItem, ...]]:
        hold, terms = one.hold, self.plan.terms
        assert hold is not None
        wanted = BookingRequest(hold.id, "", self.request.payment_method, self.request.notes)
        if one.session is not None:
            found = one.session
            booking = new_places_booking(
                LockedPlaces(
                    hold,
                    found.session,
                    found.activity,
                    self.plan.time_zone,
                    "held",
                    self.now,
                    terms.limits,
                    terms.payment,
                ),
                wanted,
                self.now,
            )
            set_recipient(booking, self.request.served)
        else:
            assert one.part is not None
            assert service is not None
            plan = one.part.plan
            booking = new_booking(
                LockedHold(
                    hold=hold,
                    provider=providers[plan.provider_id],
                    service=service,
                    time_zone=plan.time_zone.key,
                    customer_limits=terms.limits,
                    payment_terms=terms.payment,
                    approval_hours=terms.approval_hours,
                    is_whole=True,
                    held_until=self.now,
                    areas=[],
                ),
                wanted,
                self.now,
            )
            areas = [providers[plan.provider_id].service_area] if service.is_at_customers else []
            set_served(booking, self.request.served, areas, self.tenancy)
        booking.hold_id = None  # nothing was held: the time is claimed with the booking
        self._freeze(booking, one, wanted)
        return booking, () if one.session is not None else tuple(new_items(hold, booking.id))

    def _freeze(self, booking: Booking, one: PlannedDate, wanted: BookingRequest) -> None:
        """Raises NotAllowed."""
        assert one.hold is not None
        terms = self.plan.terms.payment
        wish = wish_of(
            wanted,
            one.hold,
            terms,
            tenancy=self.tenancy,
            actor=self.actor,
            now=self.now,
            requires_approval=booking.requires_approval,
        )
        try:
            frozen = freeze_terms(
                one.hold, wish, terms, held_until=self.now, takes=self.takes, offers=self.offers, now=self.now
            )
        except NotAllowed as refused:
            if refused.rule != "fee_consent_needed":
                raise
            message = "Bookings here need a card for their fees, which a series cannot keep yet: book date by date."
            raise NotAllowed("series_needs_card", message) from None
        check_chargeable(frozen, terms)
        put_terms(booking, frozen, terms)
        self.frozen[booking.id] = frozen
        if booking.status == BookingStatus.AWAITING_PROVIDER and booking.approval_hours is not None:
            booking.expires_at = answer_deadline(self.now, booking.approval_hours, booking.starts_at)


async def _check_hour(tx: Tx, plan: SeriesPlan, who: WhoBooks) -> None:
    """All its dates are one booking of this hour. One statement, or none. Raises RateLimited."""
    await check_customer_limits(
        tx,
        plan.organization_id,
        plan.terms.hourly_limit,
        account=who.account,
        email=who.email,
        starts_at=plan.dates[0].verdict.starts_at,
        time_zone=plan.time_zone,
    )


async def _claim(tx: Tx, plan: SeriesPlan, bookings: Sequence[Booking]) -> None:
    """Raises SeriesConflict where somebody was faster than the plan."""
    entries: list[dict[str, Any]] = []
    for one, booking in zip(plan.dates, bookings, strict=True):
        if one.part is not None:
            entries.append(time_entry(one.verdict.index, booking.id, one.part, claim_until(booking)))
        elif one.session is not None:
            session_id, until = one.session.session.id, claim_until(booking)
            entries.append(places_entry(one.verdict.index, booking.id, session_id, booking.party_size, until))
    refused = await claim_dates(tx, plan.organization_id, entries, of_sessions=plan.place is not None)
    if refused:
        raise SeriesConflict(_refused_dates(plan, refused), len(plan.dates), plan.currency)


def _refused_dates(plan: SeriesPlan, refused: dict[int, Refusal]) -> list[SeriesDate]:
    found = []
    for one in plan.dates:
        verdict = one.verdict
        if verdict.index in refused:
            found.append(
                SeriesDate(
                    verdict.index,
                    verdict.starts_at,
                    verdict.ends_at,
                    refused[verdict.index],
                    verdict.provider_id,
                    alternatives=() if plan.elsewhere is None else plan.elsewhere(verdict),
                )
            )
    return found


async def _name(tx: Tx, bookings: Sequence[Booking], named: Sequence[ParticipantDetails]) -> list[Audit]:
    """The same people come on every date. One statement, or none; what is to be told of it."""
    audit = []
    for booking in bookings if named else ():
        people = put_participants(tx, booking, named, first=1)
        audit.append(Audit("booking.participants_named", booking.id, None, {"participants": shown(people)}))
    await tx.flush()
    return audit


async def _tell(
    tx: Tx, series: BookingSeries, bookings: Sequence[Booking], changes: Sequence[Audit], actor: Actor
) -> None:
    """Each booking's own history, and the series'. One statement."""
    transitions: list[Transition] = []
    audit: list[Audit] = []
    events: list[Event] = []
    for booking in bookings:
        steps, entries, told = records_of_new(booking)
        transitions += steps
        audit += entries
        events += told
    audit += changes
    after = {
        "rule": series.rule,
        "exceptDates": series.except_dates,
        "startsAt": series.starts_at,
        "serviceId": series.service_id,
        "activityId": series.activity_id,
        "providerId": series.provider_id,
        "customerId": series.customer_id,
        "bookingIds": [booking.id for booking in bookings],
    }
    audit.append(Audit("series.created", series.id, None, after))
    events.append(Event("series.created", series.id, {"version": 1, "bookingIds": after["bookingIds"]}))
    await write_journal(tx, series.organization_id, actor, transitions=transitions, audit=audit, events=events)
