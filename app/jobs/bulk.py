"""The job that carries out a bulk change, booking by booking, each as if its staff had changed it alone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.checkout.ending import end_payment_first
from app.checkout.scope import Checkout
from app.commands.actor import SYSTEM
from app.commands.booking_change import Requester, StillPayable, TransitionRequest, lock_for_change, transition_booking
from app.commands.booking_reschedule import RescheduleRequest, reschedule_booking
from app.commands.bulk import (
    APPLY_BULK_CHANGE,
    Running,
    enqueue_bulk,
    finish_bulk_change,
    lock_running,
    note_ending,
    refused_for_good,
    resume_bulk_changes,
    settle_item,
)
from app.commands.session_cancel import CancelSessionRequest, cancel_session
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, BookingStatus
from app.domain.bulk import CHANGED, DONE, BulkAction, Outcome, outcome_of
from app.domain.errors import DomainError
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.models import Booking, BulkChange
from app.queries.bulk import list_session_ids, scope_of
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy, enter

log = structlog.get_logger(__name__)

T = TypeVar("T")

RESUME = "resume_bulk_changes"
RECURRING = (Recurring(RESUME, timedelta(minutes=5)),)
BATCH = 100
"""So many bookings in one run; the next run goes on, so that none is cut off by the longest time of a job."""
PATIENCE_S = 5.0
"""For the processor, with each payment that is ended."""
ATTEMPTS = 4
_AGAIN = frozenset({"40001", "40P01"})
"""Serialization failures and deadlocks: the database's way to say: again, please."""


@dataclass(slots=True)
class _Turn:
    """Whose it is. None: nothing is known of that yet, and so no booking is to blame."""

    booking_id: UUID | None = None


class BulkJobs:
    """`checkout` works on the worker's database."""

    def __init__(self, checkout: Checkout, batch: int = BATCH) -> None:
        self._checkout = checkout
        self._batch = batch
        # Nobody comes with a link here: it never signs and never checks anything.
        self._no_links = TokenSigner(secrets.token_urlsafe(32), timedelta(0))

    def handlers(self) -> Handlers:
        return {APPLY_BULK_CHANGE: self._apply, RESUME: self._resume}

    async def _resume(self, run: JobRun) -> None:
        """Changes whose job was given up, after a long outage: another one goes on."""
        async with run.finishing() as tx:
            resumed = await resume_bulk_changes(tx)
        if resumed:
            log.warning("bulk.resumed", count=resumed)

    async def _apply(self, run: JobRun) -> None:
        change_id = UUID(run.claim.args["bulkChangeId"])
        for _ in range(self._batch):
            turn = _Turn()
            try:
                is_more = await self._next(change_id, turn)
            except Exception:
                failed = turn.booking_id
                if failed is None or not run.claim.is_last_attempt:
                    raise
                log.exception("bulk.item_failed", bulk_change=str(change_id), booking=str(failed))
                is_more = await _again(partial(self._give_up_item, change_id, failed))
            if not is_more:
                await self._end(change_id)
                return
        async with run.finishing() as tx:
            assert run.claim.organization_id is not None
            await enqueue_bulk(tx, change_id, run.claim.organization_id)

    async def _next(self, change_id: UUID, turn: _Turn) -> bool:
        """Go on with one booking. False: none is left, or it was stopped."""
        payable, is_more = await _again(lambda: self._step(change_id, turn))
        if payable is not None:
            await end_payment_first(self._checkout, payable, actor=SYSTEM, patience_s=PATIENCE_S)
        return is_more

    async def _step(self, change_id: UUID, turn: _Turn) -> tuple[Booking | None, bool]:
        """One transaction. A booking: its payment is to be ended, and then it is its turn again."""
        async with self._checkout.database.transaction() as tx:
            running = await lock_running(tx, change_id)
            if running is None or running.booking_id is None:
                return None, False
            turn.booking_id = running.booking_id
            tenancy = await self._enter(tx, running)
            requester = Requester(tenancy, running.actor.user_id, None, running.actor)
            try:
                async with tx.begin_nested():
                    outcome = await self._change(tx, running, running.booking_id, requester)
            except StillPayable as payable:
                await note_ending(tx, running)
                return payable.booking, True
            except DomainError as refusal:
                outcome = outcome_of(refusal)
            await settle_item(tx, running, outcome)
        return None, True

    async def _end(self, change_id: UUID) -> None:
        """All bookings have their results: sessions in which nobody has places any more are cancelled, too."""
        async with self._checkout.database.transaction() as tx:
            running = await lock_running(tx, change_id)
            if running is None:
                return
            session_ids: list[UUID] = []
            if running.action is BulkAction.CANCEL:
                session_ids = await list_session_ids(tx, scope_of(await get_row(tx, BulkChange, change_id)))
        for session_id in session_ids:
            await _again(partial(self._cancel_session, change_id, session_id))
        async with self._checkout.database.transaction() as tx:
            running = await lock_running(tx, change_id)
            if running is not None:
                await self._enter(tx, running)
                await finish_bulk_change(tx, running)

    async def _cancel_session(self, change_id: UUID, session_id: UUID) -> None:
        async with self._checkout.database.transaction() as tx:
            running = await lock_running(tx, change_id)
            if running is None:
                return
            tenancy = await self._enter(tx, running)
            request = CancelSessionRequest(session_id, running.reason, (), None, None)
            with suppress(DomainError):  # somebody still has places, or it is over: it stays as it is
                async with tx.begin_nested():
                    await cancel_session(tx, tenancy, request, actor=running.actor, now=self._checkout.clock.now())

    async def _enter(self, tx: Tx, running: Running) -> Tenancy:
        """What whoever committed it is in the organization now."""
        return await enter(
            tx,
            Door.ORGANIZATION,
            running.organization_id,
            user_id=running.actor.user_id,
            clock_offset=self._checkout.clock.offset,
        )

    async def _change(self, tx: Tx, running: Running, booking_id: UUID, requester: Requester) -> Outcome:
        """Raises StillPayable, and what a single change raises."""
        now, version = self._checkout.clock.now(), running.booking_version
        if running.action is BulkAction.MOVE:
            move = RescheduleRequest(
                booking_id, None, running.target_provider_id, running.reason, version, is_bulk=True
            )
            await reschedule_booking(tx, self._no_links, move, requester, now)
            return DONE
        if running.is_ending:
            seen = await lock_for_change(tx, self._no_links, booking_id, requester, None)
            if BookingStatus(seen.booking.status) not in HELD:
                return CHANGED  # it was paid at the last moment, or somebody else has ended it
        cancellation = TransitionRequest(
            booking_id, BookingStatus.CANCELLED, running.reason, None if running.is_ending else version
        )
        await transition_booking(tx, self._no_links, cancellation, requester, now, despite_payment=running.is_ending)
        return DONE

    async def _give_up_item(self, change_id: UUID, booking_id: UUID) -> bool:
        """This one: where the answer to its commit was lost, it has its result, and the next is not to blame."""
        async with self._checkout.database.transaction() as tx:
            running = await lock_running(tx, change_id)
            if running is None or running.booking_id is None:
                return False
            if running.booking_id == booking_id:
                await self._enter(tx, running)
                await settle_item(tx, running, refused_for_good())
        return True


async def _again(attempt: Callable[[], Awaitable[T]]) -> T:
    for count in range(1, ATTEMPTS + 1):
        try:
            return await attempt()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _AGAIN or count == ATTEMPTS:
                raise
            await asyncio.sleep(0.01 * 2**count)
    raise AssertionError("unreachable")
