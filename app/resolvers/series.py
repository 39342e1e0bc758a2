"""Planning, making and reading series."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from app.commands import series as commands
from app.commands.booking import works_here
from app.commands.booking_change import Requester
from app.commands.booking_insert import CustomerDetails
from app.commands.series import CreateSeriesRequest, MadeSeries, plan_series
from app.commands.series_change import (
    CancelSeriesRequest,
    ChangedSeries,
    SeriesStillPayable,
    SeriesTarget,
    lock_targets,
)
from app.commands.series_change import cancel_series as cancel
from app.commands.series_plan import Planning, SeriesPlan, SeriesRequest
from app.commands.series_reschedule import MovedSeries, RescheduleSeriesRequest
from app.commands.series_reschedule import reschedule_series as reschedule
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import PaymentMethod
from app.domain.errors import BadInput, NotFound
from app.domain.policy import ActorKind
from app.domain.series import RefusedChange, SeriesDate
from app.models import Booking, BookingSeries, Payment
from app.queries.booking import SeenBooking
from app.queries.payment import latest_payments
from app.queries.series import (
    SeenSeries,
    WhoBooks,
    get_series,
    has_series_link,
    list_series_bookings,
    see_series,
)
from app.queries.tenancy import Door, Tenancy
from app.resolvers.booking import with_another_code
from app.resolvers.checkout import PaymentShown, end_all_before_cancelling, open_for
from app.resolvers.context import RequestContext
from app.resolvers.guest_session import checkout_of
from app.resolvers.mutation import Remembered, mutate


def door_of(request: SeriesRequest) -> tuple[Door, UUID]:
    if request.activity_id is not None:
        return Door.ACTIVITY, request.activity_id
    assert request.service_id is not None
    return Door.SERVICE, request.service_id


async def read_plan(context: RequestContext, request: SeriesRequest) -> SeriesPlan:
    """Limits of customers count for whom is signed in and works elsewhere. Raises NotFound, InvalidInput."""
    async with context.read(*door_of(request)) as (tx, tenancy):
        account = None if works_here(tenancy) else context.user_id
        who = None if account is None else WhoBooks(account, None)
        planning = Planning(tenancy, context.now(), context.services.policy.platform_fees, account, who)
        plan = await plan_series(tx, request, None, planning)
    context.spend_slots(sum(len(one.verdict.alternatives) for one in plan.dates))
    return plan


async def create_series(
    context: RequestContext,
    request: CreateSeriesRequest,
    customer: CustomerDetails | None,
    idempotency_key: str | None,
    guest_token: str | None = None,
) -> tuple[SeenSeries, str, PaymentShown | None]:
    """The series, its guest's secret link, and what its first date is paid with, which is opened as that of a booking.

    Raises what the command raises, and IdempotencyConflict.
    """
    services = context.services
    guest = checkout_of(context, guest_token)

    async def command(tx: Tx, tenancy: Tenancy) -> MadeSeries:
        return await commands.create_series(
            tx,
            request,
            customer,
            tenancy=tenancy,
            actor=context.actor("guest"),
            now=context.now(),
            takes_payment=services.checkout.takes,
            fees=services.policy.platform_fees,
            offers=services.checkout.offers,
            guest=guest,
        )

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> MadeSeries:
        series, owner = await get_series(tx, UUID(facts["seriesId"]))
        bookings = await list_series_bookings(tx, series.id)
        seen = see_series(tenancy, series, bookings, owner.user_id, user_id=context.user_id, has_link=True)
        return MadeSeries(series, tuple(bookings), owner, seen.viewer, await _first_payment(tx, request, bookings))

    async def attempt() -> MadeSeries:
        return await mutate(
            context,
            "createRecurringBooking",
            at=door_of(request.series),
            request=(request, customer) if guest is None else (request, customer, guest),
            idempotency_key=idempotency_key,
            command=command,
            remembered=Remembered(facts=lambda made: {"seriesId": str(made.series.id)}, again=again),
        )

    made = await with_another_code(attempt)
    series = made.series
    prime(context, series, made.bookings)
    context.loaders.prime(made.customer)
    token = services.tokens.series_token(series.id, series.access_version)
    shown = None if made.payment is None else await _open(context, made, made.payment)
    return SeenSeries(series, made.viewer), token, shown


async def _first_payment(tx: Tx, request: CreateSeriesRequest, bookings: Sequence[Booking]) -> Payment | None:
    """For a repeat: that of the first date which costs anything."""
    if request.payment_method is not PaymentMethod.PAY_NOW:
        return None
    found = await latest_payments(tx, [one.id for one in bookings])
    return next((found[one.id] for one in bookings if one.id in found), None)


async def _open(context: RequestContext, made: MadeSeries, payment: Payment) -> PaymentShown:
    """As after a booking was made; what became of its date in the meantime is shown."""
    first = next(one for one in made.bookings if one.id == payment.booking_id)
    seen, shown = await open_for(context, SeenBooking(first, made.viewer), payment)
    prime(context, made.series, [seen.booking if one is first else one for one in made.bookings])
    return shown


def prime(context: RequestContext, series: BookingSeries, bookings: tuple[Booking, ...] | list[Booking]) -> None:
    """What was loaded is not read again for the answer."""
    key = (series.organization_id, series.id)
    context.loaders.series_by_id.prime(key, series)
    context.loaders.bookings_by_series_id.prime(key, list(bookings))


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


async def read_series(context: RequestContext, series_id: UUID | None, access_token: str | None) -> SeenSeries:
    """Which is meant by its id, by its secret link, or both; a booking's link needs the id.

    Raises BadInput, NotFound.
    """
    if series_id is None:
        if access_token is None:
            raise BadInput.at("id", "give an id, an accessToken, or both")
        series_id = TokenSigner.named_by(access_token)
        if series_id is None:
            raise NotFound
    async with context.read(Door.SERIES, series_id) as (tx, tenancy):
        series, owner = await get_series(tx, series_id)
        bookings = await list_series_bookings(tx, series_id)
    has_link = has_series_link(context.services.tokens, series, bookings, access_token)
    if access_token is not None and not has_link and not tenancy.is_staff:
        raise NotFound
    seen = see_series(tenancy, series, bookings, owner.user_id, user_id=context.user_id, has_link=has_link)
    prime(context, series, bookings)
    context.loaders.prime(owner)
    return seen


async def series_of_booking(context: RequestContext, seen: SeenBooking) -> SeenSeries | None:
    """For whom may see the booking: a provider sees their own dates of it, and whoever claimed this one date none."""
    booking = seen.booking
    if booking.series_id is None or seen.is_onlooker:
        return None
    series = await context.loaders.series_by_id.load((booking.organization_id, booking.series_id))
    if seen.viewer is ActorKind.CUSTOMER and booking.customer_id != series.customer_id:
        return None
    provider_id = booking.provider_id if seen.viewer is ActorKind.PROVIDER else None
    return SeenSeries(series, seen.viewer, provider_id)


async def bookings_of(context: RequestContext, seen: SeenSeries) -> list[SeenBooking]:
    """By their place in it, those that the viewer may see."""
    bookings = await context.loaders.bookings_by_series_id.load((seen.series.organization_id, seen.series.id))
    return [SeenBooking(one, seen.viewer) for one in bookings if seen.sees(one)]


# ── changing ──────────────────────────────────────────────────────────────────────────────────────────

Change: TypeAlias = CancelSeriesRequest | RescheduleSeriesRequest
Changed = TypeVar("Changed", ChangedSeries, MovedSeries)


async def cancel_series(
    context: RequestContext, request: CancelSeriesRequest, link_token: str | None, idempotency_key: str | None
) -> ChangedSeries:
    """Before those that are still to be paid end, their payments are ended. Raises what the command raises."""
    is_ended = False

    async def command(tx: Tx, requester: Requester) -> ChangedSeries:
        tokens = context.services.tokens
        return await cancel(tx, tokens, request, requester, context.now(), despite_payment=is_ended)

    async def again(tx: Tx, requester: Requester, facts: dict[str, Any]) -> ChangedSeries:
        locked = await lock_targets(tx, context.services.tokens, _any_version(request.target), requester)
        left = tuple(_read_refusal(one) for one in facts["left"])
        return ChangedSeries(locked.seen, locked.all, [UUID(one) for one in facts["changed"]], left)

    def facts(changed: ChangedSeries) -> dict[str, Any]:
        return {"changed": [str(one) for one in changed.changed], "left": [_refusal_facts(one) for one in changed.left]}

    async def attempt() -> ChangedSeries:
        return await _change(
            context,
            "cancelRecurringBooking",
            request,
            link_token,
            idempotency_key,
            command=command,
            again=again,
            facts=facts,
        )

    try:
        changed = await attempt()
    except SeriesStillPayable as payable:
        await end_all_before_cancelling(context, payable.bookings)
        is_ended = True
        changed = await attempt()
    prime(context, changed.seen.series, list(changed.bookings))
    return changed


async def reschedule_series(
    context: RequestContext, request: RescheduleSeriesRequest, link_token: str | None, idempotency_key: str | None
) -> MovedSeries:
    """Raises what the command raises."""

    async def command(tx: Tx, requester: Requester) -> MovedSeries:
        return await reschedule(tx, context.services.tokens, request, requester, context.now())

    async def again(tx: Tx, requester: Requester, facts: dict[str, Any]) -> MovedSeries:
        locked = await lock_targets(tx, context.services.tokens, _any_version(request.target), requester)
        changed = [UUID(one) for one in facts["changed"]]
        moved = [_as_moved(one) for one in locked.all if one.id in changed]
        return MovedSeries(ChangedSeries(locked.seen, locked.all, changed), moved, locked.all[0].currency)

    def facts(moved: MovedSeries) -> dict[str, Any]:
        return {"changed": [str(one) for one in moved.series.changed]}

    moved = await _change(
        context,
        "rescheduleRecurringBooking",
        request,
        link_token,
        None if request.is_dry_run else idempotency_key,
        command=command,
        again=again,
        facts=facts,
    )
    prime(context, moved.series.seen.series, list(moved.series.bookings))
    return moved


def _any_version(target: SeriesTarget) -> SeriesTarget:
    """A repeat shows the series as it is by now."""
    return replace(target, expected_version=None)


def _as_moved(booking: Booking) -> SeriesDate:
    assert booking.series_index is not None
    return SeriesDate(
        booking.series_index,
        booking.starts_at,
        booking.ends_at,
        None,
        booking.provider_id,
        booking.session_id,
        booking.price_minor,
    )


def _refusal_facts(one: RefusedChange) -> dict[str, Any]:
    return {**asdict(one), "booking_id": str(one.booking_id), "starts_at": one.starts_at.isoformat()}


def _read_refusal(facts: dict[str, Any]) -> RefusedChange:
    return RefusedChange(
        facts["index"],
        UUID(facts["booking_id"]),
        datetime.fromisoformat(facts["starts_at"]),
        facts["rule"],
        facts["message"],
    )


async def _change(
    context: RequestContext,
    operation: str,
    request: Change,
    link_token: str | None,
    idempotency_key: str | None,
    *,
    command: Callable[[Tx, Requester], Awaitable[Changed]],
    again: Callable[[Tx, Requester, dict[str, Any]], Awaitable[Changed]],
    facts: Callable[[Changed], dict[str, Any]],
) -> Changed:
    def requester(tenancy: Tenancy) -> Requester:
        return Requester(tenancy, context.user_id, link_token, context.actor("unknown"))

    return await mutate(
        context,
        operation,
        at=(Door.SERIES, request.target.series_id),
        request=(request, link_token),
        idempotency_key=idempotency_key,
        command=lambda tx, tenancy: command(tx, requester(tenancy)),
        remembered=Remembered(facts=facts, again=lambda tx, tenancy, known: again(tx, requester(tenancy), known)),
    )
