"""Writing that dates of a series were moved: each as a booking that is moved alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from app.commands.booking_change import Moved, Requester, moves_counted, write_change
from app.commands.booking_payee import hand_over_price
from app.commands.booking_reschedule import write_move
from app.commands.booking_texts import terms_with_provider
from app.commands.series_change import LockedSeries
from app.core.database import Tx
from app.domain.claims import Part
from app.domain.plan import ProviderPlan
from app.domain.policy import cancellable_until_after_move
from app.domain.series import SeriesDate
from app.models import Booking
from app.queries.availability import get_service_plan
from app.queries.booking import SeenBooking
from app.queries.session import SeenSession


@dataclass(frozen=True, slots=True)
class SeriesMove:
    """A booking, and where it is to go. `part`: of an appointment; `session`: of places, in its venue's `time_zone`."""

    booking: Booking
    verdict: SeriesDate
    part: Part | None = None
    session: SeenSession | None = None
    time_zone: str | None = None

    @property
    def index(self) -> int:
        return self.verdict.index

    def own_part(self) -> Part:
        """Of one that is known to be an appointment."""
        assert self.part is not None
        return self.part


_MOVE_ITEMS = text(
    """
    UPDATE booking_item i SET provider_id = m.provider_id, starts_at = m.starts_at, ends_at = m.ends_at
    FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS m (
        booking_id uuid, provider_id uuid, starts_at timestamptz, ends_at timestamptz)
    WHERE i.booking_id = m.booking_id
    """
)


def _moved(one: SeriesMove) -> Moved:
    """Its one item, as it was and is."""
    assert one.part is not None
    was = {
        "position": 1,
        "provider_id": one.booking.provider_id,
        "starts_at": one.booking.starts_at,
        "ends_at": one.booking.ends_at,
    }
    now = {
        "position": 1,
        "provider_id": one.part.plan.provider_id,
        "starts_at": one.part.starts_at,
        "ends_at": one.part.ends_at,
    }
    return Moved([was], [now])


async def write_moves(
    tx: Tx,
    locked: LockedSeries,
    moves: Sequence[SeriesMove],
    reason: str | None,
    requester: Requester,
    *,
    now: datetime,
) -> None:
    """Their time is claimed already. Two statements for each booking, and one for all items."""
    writing = _Writing(tx, locked, reason, requester, now)
    await writing.all(moves)


@dataclass(frozen=True, slots=True)
class _Writing:
    tx: Tx
    locked: LockedSeries
    reason: str | None
    requester: Requester
    now: datetime

    async def all(self, moves: Sequence[SeriesMove]) -> None:
        rows = [
            {
                "booking_id": one.booking.id,
                "provider_id": one.part.plan.provider_id,
                "starts_at": one.part.starts_at,
                "ends_at": one.part.ends_at,
            }
            for one in moves
            if one.part is not None
        ]
        if rows:
            await self.tx.execute(_MOVE_ITEMS, {"moves": msgspec.json.encode(rows).decode()})
        payees = await self._payees(moves)
        for one in sorted(moves, key=lambda move: move.booking.id):
            if one.part is not None:
                await self._write_appointment(one, one.part.plan, payees)
            elif one.session is not None:
                await self._write_places(one, one.session)

    async def _payees(self, moves: Sequence[SeriesMove]) -> frozenset[UUID]:
        """Who of those who get bookings is paid out. One statement where somebody else gets any."""
        others = {
            one.part.plan.provider_id
            for one in moves
            if one.part is not None and one.part.plan.provider_id != one.booking.provider_id
        }
        service_id = self.locked.series.service_id
        if not others or service_id is None:
            return frozenset()
        today = self.now.date()
        return (await get_service_plan(self.tx, service_id, sorted(others), today, today)).payees

    async def _write_appointment(self, one: SeriesMove, plan: ProviderPlan, payees: frozenset[UUID]) -> None:
        changes: dict[str, Any] = {}
        if plan.provider_id != one.booking.provider_id:
            is_payee = plan.provider_id in payees
            price = await hand_over_price(self.tx, one.booking, plan.provider_id, is_payee=is_payee)
            changes = {} if price is None else {"quote": price}
            changes["terms"] = await terms_with_provider(self.tx, one.booking, plan.provider_id)
        await write_move(
            self.tx,
            SeenBooking(one.booking, self.locked.seen.viewer),
            items=_moved(one),
            target=plan,
            starts_at=one.verdict.starts_at,
            changes=changes,
            reason=self.reason,
            requester=self.requester,
            now=self.now,
        )

    async def _write_places(self, one: SeriesMove, seen: SeenSession) -> None:
        booking, session = one.booking, seen.session
        values = {
            "session_id": session.id,
            "reschedules": moves_counted(booking, self.locked.seen.viewer),
            "starts_at": session.starts_at,
            "ends_at": session.ends_at,
            "time_zone": one.time_zone or booking.time_zone,
            "cancellable_until": cancellable_until_after_move(
                booking.cancellable_until, session.starts_at, booking.cancellation_notice_minutes, self.now
            ),
        }
        await write_change(
            self.tx,
            booking,
            values,
            self.locked.actor,
            action="booking.rescheduled",
            reason=self.reason,
            step=None,
        )
