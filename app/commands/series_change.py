"""Changing several dates of a series at once: who may, which ones, and cancelling them.

Locks: the series, then its bookings in id order, then what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, apply_transition
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, TRANSITIONS, BookingStatus
from app.domain.errors import InvalidInput, NotAllowed, NotFound, StaleVersion
from app.domain.policy import ActorKind, RuleBroken, broken_rule, cancellation_ending
from app.domain.series import RefusedChange, SeriesNotAllowed, SeriesScope
from app.models import Booking, BookingSeries, Customer
from app.queries.booking import facts_of
from app.queries.series import SeenSeries, has_series_link, lock_series, lock_series_bookings, see_series
from app.queries.session import lock_sessions


@dataclass(frozen=True, slots=True)
class SeriesTarget:
    """`position`: the date that ONE and THIS_AND_FOLLOWING go by."""

    series_id: UUID
    scope: SeriesScope
    position: int | None
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class CancelSeriesRequest:
    """`skip_not_allowed`: what may not be cancelled stays, instead of stopping all. `at_customers_request`: as of one
    booking."""

    target: SeriesTarget
    reason: str | None
    skip_not_allowed: bool = False
    at_customers_request: bool = False


@dataclass(frozen=True, slots=True)
class LockedSeries:
    """`targets`: the bookings of the scope, by their place; `all`: every one of the series."""

    seen: SeenSeries
    customer: Customer
    all: Sequence[Booking]
    targets: Sequence[Booking]
    actor: Actor

    @property
    def series(self) -> BookingSeries:
        return self.seen.series


@dataclass(frozen=True, slots=True)
class ChangedSeries:
    """`changed`: bookings; `left`: those that were skipped."""

    seen: SeenSeries
    bookings: Sequence[Booking]
    changed: Sequence[UUID]
    left: Sequence[RefusedChange] = ()


async def lock_targets(tx: Tx, signer: TokenSigner, target: SeriesTarget, requester: Requester) -> LockedSeries:
    """Two statements. Raises NotFound, StaleVersion; InvalidInput for a place that it does not have."""
    series, customer = await lock_series(tx, target.series_id)
    bookings = await lock_series_bookings(tx, target.series_id)
    token = requester.link_token
    has_link = has_series_link(signer, series, bookings, token)
    if token is not None and not has_link and not requester.tenancy.is_staff:
        raise NotFound
    seen = see_series(
        requester.tenancy, series, bookings, customer.user_id, user_id=requester.user_id, has_link=has_link
    )
    if target.expected_version not in {None, series.version}:
        raise StaleVersion(series.version)
    if seen.viewer is ActorKind.CUSTOMER:
        bookings = [one for one in bookings if seen.sees(one)]
        if not bookings:
            raise NotFound
    targets = _targets(bookings, target)
    return LockedSeries(seen, customer, bookings, targets, acting(requester.actor, seen.viewer))


def _targets(bookings: Sequence[Booking], target: SeriesTarget) -> list[Booking]:
    if target.scope is SeriesScope.ALL:
        if target.position is not None:
            raise InvalidInput.at("input.position", "is for ONE and THIS_AND_FOLLOWING; leave it out for ALL")
        return list(bookings)
    if target.position is None:
        raise InvalidInput.at("input.position", "is needed: the place of a date in the series")
    position = target.position
    if all(one.series_index != position for one in bookings):
        raise InvalidInput.at("input.position", "is no place in this series")
    if target.scope is SeriesScope.ONE:
        return [one for one in bookings if one.series_index == position]
    return [one for one in bookings if (one.series_index or 0) >= position]


def refused_change(booking: Booking, broken: RuleBroken) -> RefusedChange:
    assert booking.series_index is not None
    return RefusedChange(booking.series_index, booking.id, booking.starts_at, broken.rule, broken.message)


class SeriesStillPayable(Exception):
    """Somebody may pay for these bookings at this moment: their payments are ended first. Nothing was changed."""

    def __init__(self, bookings: Sequence[Booking]) -> None:
        super().__init__("bookings can still be paid")
        self.bookings = tuple(bookings)


OTHER_PROVIDER = RuleBroken("other_provider", "Somebody else gives this one.")


async def cancel_series(
    tx: Tx,
    signer: TokenSigner,
    request: CancelSeriesRequest,
    requester: Requester,
    now: datetime,
    *,
    despite_payment: bool = True,
) -> ChangedSeries:
    """Each of them as a cancellation of its own, with its money; those that are over are left as they are.

    Raises NotFound, StaleVersion, InvalidInput, NotAllowed where there is nothing to cancel, SeriesNotAllowed, and
    SeriesStillPayable unless told otherwise.
    """
    locked = await lock_targets(tx, signer, request.target, requester)
    if not request.reason:
        raise InvalidInput.at("input.reason", "is needed to cancel bookings")
    viewer, refused, wanted = locked.seen.viewer, list[RefusedChange](), list[Booking]()
    for booking in locked.targets:
        if BookingStatus.CANCELLED not in TRANSITIONS[BookingStatus(booking.status)]:
            continue
        broken = broken_rule(facts_of(booking), viewer, BookingStatus.CANCELLED, now)
        broken = broken if locked.seen.sees(booking) else OTHER_PROVIDER
        if broken is None:
            wanted.append(booking)
        else:
            refused.append(refused_change(booking, broken))
    if refused and not (wanted and request.skip_not_allowed):
        raise SeriesNotAllowed(refused)
    if not wanted:
        raise NotAllowed("nothing_to_cancel", "These bookings are over or cancelled already.")
    payable = [one for one in wanted if BookingStatus(one.status) in HELD]
    if payable and not despite_payment:
        for one in payable:
            tx.expunge(one)  # they outlive the transaction, which is rolled back
        raise SeriesStillPayable(payable)
    await lock_sessions(tx, sorted({one.session_id for one in wanted if one.session_id is not None}))
    canceller = ActorKind.CUSTOMER if request.at_customers_request else viewer
    noted: dict[str, Any] = {"scope": request.target.scope}
    if canceller is not viewer:
        noted["at_customers_request"] = True
    for booking in sorted(wanted, key=lambda one: one.id):
        ending = cancellation_ending(facts_of(booking), canceller, now)
        await apply_transition(
            tx, booking, BookingStatus.CANCELLED, request.reason, locked.actor, ending=ending, noted=noted
        )
    changed = [one.id for one in wanted]
    facts = {"scope": request.target.scope, "bookingIds": changed}
    await write_series_change(tx, locked, "series.cancelled", facts, request.reason)
    return ChangedSeries(locked.seen, locked.all, changed, refused)


async def write_series_change(
    tx: Tx, locked: LockedSeries, action: str, facts: dict[str, Any], reason: str | None
) -> None:
    """The series' own record, whose version rises. Two statements."""
    series = locked.series
    row = (
        await tx.execute(
            update(BookingSeries)
            .where(BookingSeries.id == series.id)
            .values(party_size=series.party_size)
            .returning(BookingSeries.version, BookingSeries.updated_at)
            .execution_options(synchronize_session=False)
        )
    ).one()
    if series in tx:
        tx.expunge(series)
    series.version, series.updated_at = row.version, row.updated_at
    await write_journal(
        tx,
        series.organization_id,
        locked.actor,
        audit=[Audit(action, series.id, None, facts, reason)],
        events=[Event(action, series.id, {"version": series.version, "bookingIds": facts["bookingIds"]})],
    )
