"""A guest who goes back finds the own hold again, and is not stopped by it.

Of the same slot (or as many places of the same session) the live hold is given again, at the price that it has. What is
in the way of another choice is given back in the transaction that holds anew: nobody slips in between, and where the
new choice cannot be had, the old hold stands. An offer of the waitlist is given back by declining it, and by nothing
else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Integer, Interval, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.commands.guest_session import GuestCheckout, link_hold
from app.commands.hold import HoldLimits, HoldRequest
from app.commands.session_hold import PlacesRequest
from app.core.database import Tx
from app.domain.errors import NotFound, RateLimited, SlotUnavailable
from app.domain.own_hold import AskedService, HeldService, HeldSlot, is_same_slot
from app.models import Hold
from app.queries.hold import get_hold

Attempt = Callable[[], Awaitable[Hold]]
"""Holds what is asked for, as for anybody."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds: in a guest session, or by an account. `address` and `limits`: as the new hold is counted."""

    guest: GuestCheckout | None
    user_id: UUID | None
    address: str | None
    limits: HoldLimits

    @property
    def counted_as(self) -> dict[str, Any]:
        return {
            "user_id": self.user_id,
            "address": self.address,
            "user_limit": self.limits.per_user,
            "address_limit": self.limits.per_address,
        }

    @property
    def session(self) -> dict[str, Any]:
        guest = self.guest
        return {
            "guest": None if guest is None else guest.session_id,
            "ttl": None if guest is None else guest.terms.ttl,
            "most": None if guest is None else guest.terms.longest,
            "user_id": self.user_id,
        }


async def hold_again(tx: Tx, holder: Holder, request: HoldRequest, attempt: Attempt) -> Hold:
    """The holder's own live hold of this slot, or a new one in the place of those that are in its way.

    In a session two statements more than `attempt`; one more where something is in the way. By an account: none where a
    provider is named and nothing is in the way. Raises what `attempt` raises; NotFound for a session that is over.
    """
    if holder.guest is None and request.provider_id is not None:
        try:
            return await attempt()
        except (SlotUnavailable, RateLimited):
            same, own = await _look(tx, holder, request)
            if same is None and not own:
                raise
    else:
        same, own = await _look(tx, holder, request)
    if same is not None:
        return same
    if own:
        values = {"holds": own, "asked": _asked_json(request), **holder.counted_as}
        await tx.execute(_GIVE_BACK, values)
    return await _attempt(tx, holder, attempt)


async def hold_places_again(tx: Tx, holder: Holder, request: PlacesRequest, attempt: Attempt) -> Hold:
    """The same for places of one session: their number may change, and none is lost meanwhile.

    Two statements more than `attempt` in a session, one by an account; two more where places are held already.
    """
    row = (await tx.execute(_OWN_PLACES, {**holder.session, "session": request.session_id})).one()
    if not row.is_live:
        raise NotFound
    if row.hold is not None:
        own = await get_hold(tx, row.hold)
        if own.party_size == request.party_size and own.is_private == request.is_private:
            return own
        if own.waitlist_entry_id is None:
            await tx.execute(_GIVE_PLACES_BACK, {"hold": own.id, **holder.counted_as})
        tx.expunge(own)
    return await _attempt(tx, holder, attempt)


async def _attempt(tx: Tx, holder: Holder, attempt: Attempt) -> Hold:
    hold = await attempt()
    if holder.guest is not None:
        await link_hold(tx, holder.guest, hold)
    return hold


async def _look(tx: Tx, holder: Holder, request: HoldRequest) -> tuple[Hold | None, list[UUID]]:
    """The hold of this very slot, or else those in its way. One statement; one more for the hold.

    Raises NotFound for a session that is over.
    """
    values = {**holder.session, "asked": _asked_json(request), "starts_at": request.starts_at}
    row = (await tx.execute(_OWN_HOLDS, values)).one()
    if not row.is_live:
        raise NotFound
    found = row.holds or []
    # At a price by quote it is held anew: that quote may be another one.
    if request.price_quote_token is None:
        for one in found:
            if is_same_slot(_slot_of(one), _asked(request), request.starts_at, request.party_size, row.minutes):
                return await get_hold(tx, UUID(one["id"])), []
    return None, [UUID(one["id"]) for one in found if not one["isOffer"]]


def _asked(request: HoldRequest) -> list[AskedService]:
    if request.items:
        return [AskedService(item.service_id, item.provider_id, item.duration_minutes) for item in request.items]
    return [AskedService(request.service_id, request.provider_id, request.duration_minutes)]


def _asked_json(request: HoldRequest) -> str:
    asked = [
        {"service": one.service_id, "provider": one.provider_id, "minutes": one.minutes} for one in _asked(request)
    ]
    return msgspec.json.encode(asked).decode()


def _slot_of(found: dict[str, Any]) -> HeldSlot:
    starts_at, ends_at = _instant(found["startsAt"]), _instant(found["endsAt"])
    services = [
        HeldService(UUID(item["serviceId"]), UUID(item["providerId"]), _minutes(item)) for item in found["items"] or ()
    ]
    if not services:
        length = round((ends_at - starts_at).total_seconds() / 60)
        services = [HeldService(UUID(found["service"]), UUID(found["provider"]), length)]
    return HeldSlot(starts_at, found["partySize"], services)


def _minutes(item: dict[str, Any]) -> int:
    return round((_instant(item["endsAt"]) - _instant(item["startsAt"])).total_seconds() / 60)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


_SESSION = (
    bindparam("guest", type_=Uuid),
    bindparam("ttl", type_=Interval),
    bindparam("most", type_=Interval),
    bindparam("user_id", type_=Uuid),
)
_OWN_HOLDS = (
    text(
        "SELECT is_live, minutes, holds"
        " FROM own_holds(:guest, :ttl, :most, :user_id, CAST(:asked AS jsonb), :starts_at)"
    )
    .bindparams(*_SESSION, bindparam("asked", type_=Text))
    .columns(is_live=Boolean, minutes=Integer, holds=JSONB)
)
_GIVE_BACK = text(
    "SELECT give_back_own_holds(:holds, CAST(:asked AS jsonb), :user_id, :address, :user_limit, :address_limit)"
).bindparams(
    bindparam("holds", type_=ARRAY(Uuid)),
    bindparam("asked", type_=Text),
    bindparam("user_id", type_=Uuid),
    bindparam("address", type_=Text),
)
_OWN_PLACES = text("SELECT is_live, hold FROM own_places(:guest, :ttl, :most, :user_id, :session)").bindparams(
    *_SESSION
)
_GIVE_PLACES_BACK = text(
    "SELECT give_back_own_places(:hold, :user_id, :address, :user_limit, :address_limit)"
).bindparams(bindparam("user_id", type_=Uuid), bindparam("address", type_=Text))
