"""The secret link of a booking: making the old one void, and making the booking an account's own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text, update

from app.commands.booking_change import Requester, acting, lock_for_change, write_change
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import confirmation_code
from app.domain.errors import NotAllowed, NotFound
from app.domain.policy import ActorKind
from app.models import Booking, PromoUse
from app.queries.booking import SeenBooking, lock_booking


@dataclass(frozen=True, slots=True)
class RenewLinkRequest:
    booking_id: UUID
    expected_version: int | None


async def renew_link(tx: Tx, signer: TokenSigner, request: RenewLinkRequest, requester: Requester) -> SeenBooking:
    """Links given before open nothing any more, the calendar's included. For the customer and the staff.

    Its confirmation code is another one, too: whoever had the link has read the old one, with the e-mail address, and
    would find the new link by them. Three statements. Raises NotFound, StaleVersion, NotAllowed.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    if seen.viewer is ActorKind.PROVIDER:
        raise NotAllowed("link_of_customer", "The customer or the staff can renew the secret link of a booking.")
    values = {
        "access_version": seen.booking.access_version + 1,
        "confirmation_code": confirmation_code(secrets.token_bytes(8)),
    }
    actor = acting(requester.actor, seen.viewer)
    await write_change(tx, seen.booking, values, actor, action="booking.link_renewed", reason=None, step=None)
    return seen


async def claim_booking(tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester) -> SeenBooking:
    """A guest's booking becomes one of the account that holds its secret link; twice is as once.

    It gets the account's record of this organization, made of what the guest gave where there is none: the guest's own
    record, which other bookings may have, stays. What was paid, saved and owed is the booking's and follows it. Its
    promo code counts as used by the account. At most five statements. Raises NotFound, NotAllowed.
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
    values = {"customer_id": await _own_record(tx, booking, account)}
    actor = acting(requester.actor, ActorKind.CUSTOMER)
    await write_change(tx, booking, values, actor, action="booking.claimed", reason=None, step=None)
    if booking.promo_code_id is not None:
        await tx.execute(update(PromoUse).where(PromoUse.booking_id == booking_id).values(**values))
    return SeenBooking(booking, ActorKind.CUSTOMER)


# A record that is there is left as it is: the update gives its id, and keeps it from going away.
_OWN = text(
    """
    INSERT INTO customer (id, organization_id, user_id, name, email, phone, locale)
    SELECT :id, c.organization_id, :user_id, c.name, c.email, c.phone, c.locale FROM customer c WHERE c.id = :guest
    ON CONFLICT (organization_id, user_id) DO UPDATE SET user_id = EXCLUDED.user_id
    RETURNING id
    """
)


async def _own_record(tx: Tx, booking: Booking, account: UUID) -> UUID:
    """The account's customer record in the booking's organization. One statement."""
    values = {"id": new_id(), "user_id": account, "guest": booking.customer_id}
    own: UUID = (await tx.execute(_OWN, values)).scalar_one()
    return own
