"""Secret links of bookings and series: making the old ones void, and making what they open an account's own.

The dates of a series are opened by its link, by each other's, and by their codes: those that are still its customer's
get new ones together. Locks: the series, then its bookings in id order.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, lock_for_change, write_change
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import confirmation_code
from app.domain.errors import NotAllowed, NotFound
from app.domain.policy import ActorKind
from app.models import Booking, BookingSeries, PromoUse
from app.queries.booking import SeenBooking, lock_booking
from app.queries.rows import one_of
from app.queries.series import lock_series, lock_series_bookings


@dataclass(frozen=True, slots=True)
class RenewLinkRequest:
    booking_id: UUID
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class RenewedLink:
    """`series`: the one whose link is another one, too."""

    seen: SeenBooking
    series: BookingSeries | None = None


async def renew_link(tx: Tx, signer: TokenSigner, request: RenewLinkRequest, requester: Requester) -> RenewedLink:
    """Links given before open nothing any more, the calendar's included. For the customer and the staff.

    Its confirmation code is another one, too: whoever had the link has read the old one, with the e-mail address, and
    would find the new link by them. So it is with all dates of its series that are still its customer's.
    Four statements; eight for a date of a series. Raises NotFound, StaleVersion, NotAllowed.
    """
    family = await _lock_family(tx, request.booking_id)
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    if seen.viewer is ActorKind.PROVIDER:
        raise NotAllowed("link_of_customer", "The customer or the staff can renew the secret link of a booking.")
    actor = acting(requester.actor, seen.viewer)
    if family is None or seen.booking.customer_id != family.series.customer_id:
        values = {"access_version": seen.booking.access_version + 1, "confirmation_code": _new_code()}
        await write_change(tx, seen.booking, values, actor, action="booking.link_renewed", reason=None, step=None)
        return RenewedLink(seen)
    await _renew_family(tx, family, actor)
    return RenewedLink(seen, family.series)


def _new_code() -> str:
    return confirmation_code(secrets.token_bytes(8))


async def claim_booking(tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester) -> SeenBooking:
    """A guest's booking becomes one of the account that holds its secret link; twice is as once.

    It gets the account's record of this organization: the guest's own record, which other bookings may have, stays.
    What was paid, saved and owed is the booking's and follows it. Its promo code counts as used by the account. A date
    of a series leaves it: whoever has the links of the others does not see it there. At most five statements.
    Raises NotFound, NotAllowed.
    """
    account = requester.user_id
    assert account is not None  # who asks is signed in
    booking, owner = await lock_booking(tx, booking_id)
    token = requester.link_token
    if token is None or not signer.is_guest_token(token, booking_id, booking.access_version):
        raise NotFound
    if owner == account:
        return SeenBooking(booking, ActorKind.CUSTOMER)
    if owner is not None:
        raise NotAllowed("claimed_by_another", "This booking belongs to another account.")
    values = {"customer_id": await _own_record(tx, booking.customer_id, account)}
    actor = acting(requester.actor, ActorKind.CUSTOMER)
    await write_change(tx, booking, values, actor, action="booking.claimed", reason=None, step=None)
    if booking.promo_code_id is not None:
        await tx.execute(update(PromoUse).where(PromoUse.booking_id == booking_id).values(**values))
    return SeenBooking(booking, ActorKind.CUSTOMER)


async def claim_series(tx: Tx, signer: TokenSigner, series_id: UUID, requester: Requester) -> SeenBooking:
    """The same of a series and all its dates that are still its customer's, with its link; the first of them.

    At most seven statements. Raises NotFound, NotAllowed.
    """
    account = requester.user_id
    assert account is not None  # who asks is signed in
    series, customer = await lock_series(tx, series_id)
    token = requester.link_token
    if token is None or not signer.is_series_token(token, series_id, series.access_version):
        raise NotFound
    own = _own_dates(series, await lock_series_bookings(tx, series_id))
    if not own:
        raise NotFound
    if customer.user_id is None:
        customer_id = await _own_record(tx, series.customer_id, account)
        await _claim_family(tx, _Family(series, own), customer_id, acting(requester.actor, ActorKind.CUSTOMER))
    elif customer.user_id != account:
        raise NotAllowed("claimed_by_another", "This series belongs to another account.")
    return SeenBooking(own[0], ActorKind.CUSTOMER)


# A record that is there is left as it is: the update gives its id, and keeps it from going away. The guest may be
# somebody else than the account's person: only who gave the same e-mail address is known to have this phone.
_OWN = text(
    """
    INSERT INTO customer (id, organization_id, user_id, name, email, phone, locale)
    SELECT :id, c.organization_id, u.id, u.name, u.email, CASE WHEN lower(c.email) = lower(u.email) THEN c.phone END,
           u.locale
    FROM customer c, user_account u WHERE c.id = :guest AND u.id = :user_id
    ON CONFLICT (organization_id, user_id) DO UPDATE SET user_id = EXCLUDED.user_id
    RETURNING id
    """
)


async def _own_record(tx: Tx, guest_id: UUID, account: UUID) -> UUID:
    """The account's customer record where the guest's is. One statement. Raises NotFound: the account is gone."""
    values = {"id": new_id(), "user_id": account, "guest": guest_id}
    own: UUID | None = (await tx.execute(_OWN, values)).scalar_one_or_none()
    if own is None:
        raise NotFound
    return own


# ── the dates of a series, together ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Family:
    """A series and its dates that are still its customer's, all locked."""

    series: BookingSeries
    dates: Sequence[Booking]


def _own_dates(series: BookingSeries, bookings: Sequence[Booking]) -> list[Booking]:
    return [one for one in bookings if one.customer_id == series.customer_id]


async def _lock_family(tx: Tx, booking_id: UUID) -> _Family | None:
    """None for what is no date of a series. One statement, or three."""
    series_id = await tx.scalar(select(Booking.series_id).where(Booking.id == booking_id))
    if series_id is None:
        return None
    series, _ = await lock_series(tx, series_id)
    return _Family(series, _own_dates(series, await lock_series_bookings(tx, series_id)))


_NEW_LINKS = text(
    """
    UPDATE booking b SET access_version = b.access_version + 1, confirmation_code = n.code
    FROM unnest(CAST(:ids AS uuid[]), CAST(:codes AS text[])) AS n (id, code) WHERE b.id = n.id
    RETURNING b.id, b.version, b.updated_at
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("codes", type_=ARRAY(Text)))


async def _renew_family(tx: Tx, family: _Family, actor: Actor) -> None:
    """Three statements."""
    codes = {one.id: _new_code() for one in family.dates}
    rows = (await tx.execute(_NEW_LINKS, {"ids": list(codes), "codes": list(codes.values())})).all()

    def values_of(one: Booking) -> dict[str, Any]:
        return {"access_version": one.access_version + 1, "confirmation_code": codes[one.id]}

    audit, events = _mirrored(tx, family.dates, rows, values_of, "booking.link_renewed")
    changed = {"access_version": family.series.access_version + 1}
    await _write_series(tx, family, changed, actor, action="series.link_renewed", audit=audit, events=events)


async def _claim_family(tx: Tx, family: _Family, customer_id: UUID, actor: Actor) -> None:
    """Three statements, and one for promo codes that were used."""
    ids, changed = [one.id for one in family.dates], {"customer_id": customer_id}
    found = await tx.execute(
        update(Booking)
        .where(one_of(Booking.id, ids))
        .values(**changed)
        .returning(Booking.id, Booking.version, Booking.updated_at)
        .execution_options(synchronize_session=False)
    )
    audit, events = _mirrored(tx, family.dates, found.all(), lambda _: changed, "booking.claimed")
    with_code = [one.id for one in family.dates if one.promo_code_id is not None]
    if with_code:
        await tx.execute(update(PromoUse).where(one_of(PromoUse.booking_id, with_code)).values(**changed))
    await _write_series(tx, family, changed, actor, action="series.claimed", audit=audit, events=events)


def _mirrored(
    tx: Tx, dates: Sequence[Booking], rows: Sequence[Any], values_of: Callable[[Booking], dict[str, Any]], action: str
) -> tuple[list[Audit], list[Event]]:
    """Put into the objects what was written to their rows, and say of each what changed."""
    written = {row.id: row for row in rows}
    audit, events = [], []
    for one in dates:
        values, row = values_of(one), written[one.id]
        before = {name: getattr(one, name) for name in values}
        tx.expunge(one)  # it mirrors the row; the session must not write it a second time
        was, one.version, one.updated_at = one.version, row.version, row.updated_at
        for name, value in values.items():
            setattr(one, name, value)
        audit.append(Audit(action, one.id, {**before, "version": was}, {**values, "version": one.version}))
        events.append(Event(action, one.id, {"version": one.version, "status": one.status}))
    return audit, events


async def _write_series(
    tx: Tx,
    family: _Family,
    values: dict[str, Any],
    actor: Actor,
    *,
    action: str,
    audit: Sequence[Audit],
    events: Sequence[Event],
) -> None:
    """The series' own row, and the record of all. Two statements."""
    series = family.series
    before = {name: getattr(series, name) for name in values}
    row = (
        await tx.execute(
            update(BookingSeries)
            .where(BookingSeries.id == series.id)
            .values(**values)
            .returning(BookingSeries.version, BookingSeries.updated_at)
            .execution_options(synchronize_session=False)
        )
    ).one()
    tx.expunge(series)
    for name, value in values.items():
        setattr(series, name, value)
    series.version, series.updated_at = row.version, row.updated_at
    payload = {"version": series.version, "bookingIds": [one.id for one in family.dates]}
    await write_journal(
        tx,
        series.organization_id,
        actor,
        audit=[*audit, Audit(action, series.id, before, values)],
        events=[*events, Event(action, series.id, payload)],
    )
