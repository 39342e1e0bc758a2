"""Reading and locking bookings, and what the viewer is to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Row, Select, select

from app.core.database import Tx
from app.domain.booking import BookingStatus, amount_due
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.domain.policy import ActorKind, BookingFacts
from app.models import Booking, BookingItem, BookingTransition, Customer, Provider, Service
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class SeenBooking:
    """A booking and in what role the one who asks sees it.

    `is_onlooker`: a provider who has a part in another's booking: a later service of the visit, or its session. They
    may not change it, and learn nothing that opens it.
    """

    booking: Booking
    viewer: ActorKind
    is_onlooker: bool = False


def facts_of(booking: Booking) -> BookingFacts:
    """What the policy asks about a booking."""
    return BookingFacts(
        status=BookingStatus(booking.status),
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        time_zone=zone(booking.time_zone),
        cancellable_until=booking.cancellable_until,
        requires_approval=booking.requires_approval,
        answer_until=booking.expires_at if booking.status == BookingStatus.AWAITING_PROVIDER else None,
        reschedules=booking.reschedules,
        maximum_reschedules=booking.maximum_reschedules,
        reschedule_notice_minutes=booking.reschedule_notice_minutes,
    )


def due_of(booking: Booking) -> int:
    """What is still to be paid of its price, in minor units."""
    return amount_due(BookingStatus(booking.status), booking.price_minor, booking.paid_minor, booking.uncounted_minor)


def role_towards(
    tenancy: Tenancy, booking: Booking, customer_user_id: UUID | None, *, user_id: UUID | None, has_link: bool
) -> ActorKind:
    """The strongest role of the viewer towards this booking. Raises NotFound for a stranger: hidden is not-found."""
    if tenancy.role is not None:
        return ActorKind(tenancy.role)
    if tenancy.provider_id is not None and tenancy.provider_id == booking.provider_id:
        return ActorKind.PROVIDER
    if has_link or (user_id is not None and user_id == customer_user_id):
        return ActorKind.CUSTOMER
    raise NotFound


async def get_booking(tx: Tx, booking_id: UUID) -> tuple[Booking, UUID | None]:
    """The booking and its customer's account. One statement. Raises NotFound."""
    return _found((await tx.execute(_with_account().where(Booking.id == booking_id))).first())


async def lock_booking(tx: Tx, booking_id: UUID) -> tuple[Booking, UUID | None]:
    """The same, locked until the transaction ends. Raises NotFound."""
    query = _with_account().where(Booking.id == booking_id).with_for_update(key_share=True, of=Booking)
    row = (await tx.execute(query)).first()
    if row is None:
        # Whoever had it before may have made it another customer's: then the joined row was the old one's, and is none.
        row = (await tx.execute(query)).first()
    return _found(row)


def _with_account() -> Select[Booking, UUID | None]:
    return select(Booking, Customer.user_id).join(Customer, Customer.id == Booking.customer_id)


def _found(row: Row[Booking, UUID | None] | None) -> tuple[Booking, UUID | None]:
    if row is None:
        raise NotFound
    return row[0], row[1]


async def id_by_code(tx: Tx, organization_id: UUID, code: str) -> UUID | None:
    """Codes are unique in an organization. One statement."""
    query = select(Booking.id).where(Booking.organization_id == organization_id, Booking.confirmation_code == code)
    return (await tx.execute(query)).scalar_one_or_none()


async def get_booked(tx: Tx, booking_id: UUID) -> tuple[Booking, tuple[BookingItem, ...], Customer, Provider, Service]:
    """A booking of time with all that its answer shows. One statement. Raises NotFound."""
    rows = (
        await tx.execute(
            select(Booking, BookingItem, Customer, Provider, Service)
            .join(BookingItem, BookingItem.booking_id == Booking.id)
            .join(Customer, Customer.id == Booking.customer_id)
            .join(Provider, Provider.id == Booking.provider_id)
            .join(Service, Service.id == Booking.service_id)
            .where(Booking.id == booking_id)
            .order_by(BookingItem.position)
        )
    ).all()
    if not rows:
        raise NotFound
    booking, _, customer, provider, service = rows[0]
    return booking, tuple(row[1] for row in rows), customer, provider, service


async def items_of_bookings(tx: Tx, booking_ids: Sequence[UUID]) -> list[BookingItem]:
    query = (
        select(BookingItem)
        .where(BookingItem.booking_id.in_(booking_ids))
        .order_by(BookingItem.booking_id, BookingItem.position)
    )
    return list((await tx.execute(query)).scalars())


async def transitions_of_bookings(tx: Tx, booking_ids: Sequence[UUID]) -> list[BookingTransition]:
    query = (
        select(BookingTransition)
        .where(BookingTransition.booking_id.in_(booking_ids))
        .order_by(BookingTransition.booking_id, BookingTransition.id)
    )
    return list((await tx.execute(query)).scalars())
