"""Series of bookings, and what is read once for all dates of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Text, Uuid, any_, bindparam, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import OCCUPYING
from app.domain.customer_limit import CustomerLimits
from app.domain.errors import NotFound
from app.domain.policy import ActorKind
from app.models import ActivitySession, Booking, BookingSeries, Customer, Organization, PaymentSettings
from app.queries.payment_terms import PaymentTerms, terms_of_settings
from app.queries.rows import one_of
from app.queries.session import LAPSED, SeenSession
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class SeriesTerms:
    """What an organization asks of every booking, as it is today."""

    limits: CustomerLimits
    """Of a day and a week, for each date."""
    hourly_limit: CustomerLimits
    """For the series, which counts once."""
    payment: PaymentTerms
    approval_hours: int


async def get_series_terms(tx: Tx, organization_id: UUID) -> SeriesTerms:
    """One statement."""
    row = (
        await tx.execute(
            select(Organization, PaymentSettings)
            .outerjoin(PaymentSettings, PaymentSettings.organization_id == Organization.id)
            .where(Organization.id == organization_id)
        )
    ).one()
    organization, settings = row
    return SeriesTerms(
        CustomerLimits(organization.customer_daily_limit, organization.customer_weekly_limit),
        CustomerLimits(None, None, organization.bookings_per_hour_limit),
        terms_of_settings(settings),
        organization.approval_hours,
    )


@dataclass(frozen=True, slots=True)
class WhoBooks:
    """By account, by e-mail address, or both. `is_final`: nobody else counts for them until the transaction ends."""

    account: UUID | None
    email: str | None
    is_final: bool = False


_STARTS = text(
    "SELECT starts_at FROM list_customer_starts(:organization, :user_id, :email, :from_at, :to_at, :statuses, :except,"
    " :is_final) AS s (starts_at)"
).bindparams(
    bindparam("user_id", type_=Uuid),
    bindparam("email", type_=Text),
    bindparam("statuses", type_=ARRAY(Text)),
    bindparam("except", type_=ARRAY(Uuid)),
    bindparam("is_final", type_=Boolean),
    bindparam("from_at", type_=TIMESTAMP(timezone=True)),
    bindparam("to_at", type_=TIMESTAMP(timezone=True)),
)


async def list_customer_starts(
    tx: Tx,
    organization_id: UUID,
    who: WhoBooks,
    from_at: datetime,
    to_at: datetime,
    *,
    without: Sequence[UUID] = (),
) -> list[datetime]:
    """When somebody's live bookings start, but for those that are about to be moved. One statement."""
    values = {
        "organization": organization_id,
        "user_id": who.account,
        "email": who.email,
        "from_at": from_at,
        "to_at": to_at,
        "statuses": sorted(OCCUPYING),
        "except": list(without),
        "is_final": who.is_final,
    }
    return list((await tx.execute(_STARTS, values)).scalars())


async def list_sessions_at(tx: Tx, activity_id: UUID, starts: Sequence[datetime]) -> dict[datetime, SeenSession]:
    """An activity's sessions by their starts, whatever their state. One statement."""
    rows = await tx.execute(
        select(ActivitySession, LAPSED).where(
            ActivitySession.activity_id == activity_id,
            ActivitySession.starts_at == any_(literal(list(starts), ARRAY(DateTime(timezone=True)))),
        )
    )
    return {session.starts_at: SeenSession(session, lapsed) for session, lapsed in rows}


@dataclass(frozen=True, slots=True)
class SeenSeries:
    """A series and in what role the one who asks sees it. `provider_id`: a provider sees their own dates alone."""

    series: BookingSeries
    viewer: ActorKind
    provider_id: UUID | None = None

    def sees(self, booking: Booking) -> bool:
        """A customer: what is still theirs. A date that an account claimed by itself is nobody's who has the links."""
        if self.viewer is ActorKind.CUSTOMER:
            return booking.customer_id == self.series.customer_id
        return self.provider_id is None or booking.provider_id == self.provider_id


def has_series_link(tokens: TokenSigner, series: BookingSeries, bookings: Sequence[Booking], token: str | None) -> bool:
    """The link of the series, or that of any of its bookings which are still the same customer's."""
    if token is None:
        return False
    if tokens.is_series_token(token, series.id, series.access_version):
        return True
    named = TokenSigner.named_by(token)
    return any(
        one.id == named
        and one.customer_id == series.customer_id
        and tokens.is_guest_token(token, one.id, one.access_version)
        for one in bookings
    )


async def has_booking_link(tx: Tx, tokens: TokenSigner, booking: Booking, token: str | None) -> bool:
    """Does it open this booking: its own link, or that of its series? One statement for the latter."""
    if token is None:
        return False
    if tokens.is_guest_token(token, booking.id, booking.access_version):
        return True
    series_id = booking.series_id
    if series_id is None or TokenSigner.named_by(token) != series_id:
        return False
    query = select(BookingSeries.access_version, BookingSeries.customer_id).where(BookingSeries.id == series_id)
    version, customer_id = (await tx.execute(query)).one()
    # A date that somebody else claimed is the series' no longer.
    return customer_id == booking.customer_id and tokens.is_series_token(token, series_id, version)


def see_series(
    tenancy: Tenancy,
    series: BookingSeries,
    bookings: Sequence[Booking],
    customer_user_id: UUID | None,
    *,
    user_id: UUID | None,
    has_link: bool,
) -> SeenSeries:
    """The strongest role of the viewer. Raises NotFound for a stranger."""
    if tenancy.role is not None:
        return SeenSeries(series, ActorKind(tenancy.role))
    if tenancy.provider_id is not None and any(one.provider_id == tenancy.provider_id for one in bookings):
        return SeenSeries(series, ActorKind.PROVIDER, tenancy.provider_id)
    if has_link or (user_id is not None and user_id == customer_user_id):
        return SeenSeries(series, ActorKind.CUSTOMER)
    raise NotFound


# ── series ────────────────────────────────────────────────────────────────────────────────────────────


async def get_series(tx: Tx, series_id: UUID) -> tuple[BookingSeries, Customer]:
    """One statement. Raises NotFound."""
    return await _one(tx, series_id, is_locked=False)


async def lock_series(tx: Tx, series_id: UUID) -> tuple[BookingSeries, Customer]:
    """The same, until the transaction ends: before its bookings. One statement. Raises NotFound."""
    return await _one(tx, series_id, is_locked=True)


async def _one(tx: Tx, series_id: UUID, *, is_locked: bool) -> tuple[BookingSeries, Customer]:
    query = (
        select(BookingSeries, Customer)
        .join(Customer, Customer.id == BookingSeries.customer_id)
        .where(BookingSeries.id == series_id)
    )
    if is_locked:
        query = query.with_for_update(key_share=True, of=BookingSeries)
    row = (await tx.execute(query)).first()
    if row is None and is_locked:
        # Whoever had it before may have made it another customer's: then the joined row was the old one's, and is none.
        row = (await tx.execute(query)).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


async def list_series_bookings(tx: Tx, series_id: UUID) -> list[Booking]:
    """By their place in it. One statement."""
    query = select(Booking).where(Booking.series_id == series_id).order_by(Booking.series_index)
    return list((await tx.execute(query)).scalars())


async def lock_series_bookings(tx: Tx, series_id: UUID) -> list[Booking]:
    """The same, locked in id order, as every change of several bookings does. One statement."""
    query = select(Booking).where(Booking.series_id == series_id).order_by(Booking.id).with_for_update(key_share=True)
    return sorted((await tx.execute(query)).scalars(), key=lambda one: one.series_index or 0)


async def bookings_of_series(tx: Tx, series_ids: Sequence[UUID]) -> Mapping[UUID, list[Booking]]:
    """Of several series. One statement."""
    query = select(Booking).where(one_of(Booking.series_id, series_ids)).order_by(Booking.series_index)
    found: dict[UUID, list[Booking]] = {}
    for booking in (await tx.execute(query)).scalars():
        assert booking.series_id is not None
        found.setdefault(booking.series_id, []).append(booking)
    return found
