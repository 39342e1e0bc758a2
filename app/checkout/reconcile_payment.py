"""Payments, refunds and disputes: ours compared with the processor's, and brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from app.checkout.payment import SINCE_MARGIN, apply_found, end_payment, refresh_payment
from app.checkout.reconcile_scope import Examined, Scope, batches, ids_of
from app.checkout.refund import execute_refund
from app.commands.actor import Actor
from app.commands.reconciliation import Subject
from app.domain.reconcile_payment import OurPayment, TheirPayment, payment_differences
from app.domain.reconciliation import UNDER_WAY, Difference, DifferenceKind, payment_subject
from app.gateway import DisputeSnapshot, PaymentSnapshot, RefundSnapshot
from app.queries.reconciliation import (
    KnownPayment,
    captured_between,
    list_unsettled_payments,
    payment_ids_by_processor_id,
    payments_to_compare,
)

BATCH = 100
OPEN_FOR = timedelta(days=60)
"""What has been unpaid for longer is asked for no more."""
RECONCILED = Actor("system", channel="reconciliation")
PREFIX = "payment:"


class PaymentComparison:
    """Of one processor."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._gateway = scope.gateway

    # ── finding what may differ ───────────────────────────────────────────────────────────────────────

    async def scan(self, start: datetime, end: datetime) -> None:
        """What the processor made in a slice of time, and what we think that it made."""
        met: set[UUID] = set()
        listed = self._gateway.list_payments(start, end)
        async for batch in batches((one async for one in listed if one.payment_id is not None), BATCH):
            met |= await self._compare(batch)
        async for refunds in batches(self._gateway.list_refunds(start, end), BATCH):
            await self._compare_parts(refunds)
        async for disputes in batches(self._gateway.list_disputes(start, end), BATCH):
            await self._compare_parts(disputes)
        async with self._scope.checkout.within(None) as tx:
            ours = await captured_between(tx, self._scope.whose, start, end)
        for payment_id in set(ours) - met:
            await self._look(payment_id, set())

    async def scan_unsettled(self) -> None:
        """What may have moved since it was made."""
        after, lately = UUID(int=0), self._scope.checkout.clock.now() - OPEN_FOR
        while True:
            async with self._scope.checkout.within(None) as tx:
                page = await list_unsettled_payments(tx, self._scope.whose, lately, after, BATCH)
            for payment_id in page:
                if payment_subject(payment_id) not in self._scope.suspects:
                    await self._look(payment_id, set())
            if len(page) < BATCH:
                return
            after = page[-1]

    async def _compare(self, batch: Sequence[PaymentSnapshot]) -> set[UUID]:
        """What the list shows is enough to tell that nothing differs. The payments in it."""
        wanted = [one for one in batch if self._scope.includes(one.organization_id)]
        by_id: dict[UUID, list[PaymentSnapshot]] = {}
        for one in wanted:
            assert one.payment_id is not None
            by_id.setdefault(one.payment_id, []).append(one)
        async with self._scope.checkout.within(None) as tx:
            known = await payments_to_compare(tx, list(by_id))
        now = self._scope.checkout.clock.now()
        for payment_id, snapshots in by_id.items():
            ours = known.get(payment_id)
            theirs = [TheirPayment(one.intent, one.currency) for one in snapshots]
            found = payment_differences(ours.facts if ours else None, theirs, now)
            self._scope.counts.compared += 1
            self._scope.suspect(payment_subject(payment_id), found, {one.processor_id for one in snapshots})
        return set(by_id)

    async def _compare_parts(self, batch: Sequence[RefundSnapshot] | Sequence[DisputeSnapshot]) -> None:
        """Refunds and disputes may be of payments that were made long ago."""
        names = list({one.processor_id for one in batch if one.processor_id})
        async with self._scope.checkout.within(None) as tx:
            ours = await payment_ids_by_processor_id(tx, self._gateway.processor, names)
            known = await payments_to_compare(tx, list(ours.values()))
        for one in batch:
            payment_id = ours.get(one.processor_id)
            if payment_id is None:
                await self._look_at_strange(one)
            elif payment_id in known and not _is_part_known(known[payment_id].facts, one):
                await self._look(payment_id, {one.processor_id})

    async def _look_at_strange(self, part: RefundSnapshot | DisputeSnapshot) -> None:
        """Of a payment that is none of ours, or that we have forgotten: a refund with our own label says which."""
        if not isinstance(part, RefundSnapshot) or part.refund_id is None:
            return
        snapshot = await self._gateway.find_payment(part.processor_id)
        if snapshot is not None and snapshot.payment_id is not None and self._scope.includes(snapshot.organization_id):
            await self._look(snapshot.payment_id, {snapshot.processor_id})

    async def _look(self, payment_id: UUID, their_ids: set[str]) -> None:
        self._scope.counts.compared += 1
        subject = payment_subject(payment_id)
        examined = await self.examine(subject, their_ids | self._scope.open_ids(subject))
        self._scope.suspect(subject, examined.differences, their_ids)

    # ── looking closely, and healing ──────────────────────────────────────────────────────────────────

    async def examine(self, subject: str, their_ids: set[str]) -> Examined:
        """As both sides are now. `their_ids`: what else the processor may have under this payment's id."""
        payment_id = ids_of(subject, PREFIX)
        ours, snapshots = await self._both(payment_id, their_ids)
        theirs = [TheirPayment(one.intent, one.currency) for one in snapshots]
        found = payment_differences(ours.facts if ours else None, theirs, self._scope.checkout.clock.now())
        owner = ours.organization_id if ours else next((one.organization_id for one in snapshots), None)
        booking = ours.booking_id if ours else next((one.booking_id for one in snapshots), None)
        return Examined(Subject(self._gateway.processor, subject, owner, booking), found)

    async def _both(
        self, payment_id: UUID, their_ids: set[str]
    ) -> tuple[KnownPayment | None, Sequence[PaymentSnapshot]]:
        async with self._scope.checkout.within(None) as tx:
            ours = (await payments_to_compare(tx, [payment_id])).get(payment_id)
        ids = set(their_ids)
        if ours is not None and ours.facts.processor_id is not None:
            ids.add(ours.facts.processor_id)
        found = [await self._gateway.find_payment(one) for one in sorted(ids)]
        snapshots = [one for one in found if one is not None and one.payment_id == payment_id]
        if not snapshots and ours is not None and self._is_lost(ours.facts):
            looked_up = await self._gateway.look_up_payment(payment_id, ours.facts.created_at - SINCE_MARGIN)
            snapshots = [] if looked_up is None else [looked_up]
        if ours is None:
            # A row that was written in this moment is not unknown.
            async with self._scope.checkout.within(None) as tx:
                ours = (await payments_to_compare(tx, [payment_id])).get(payment_id)
        return ours, snapshots

    def _is_lost(self, ours: OurPayment) -> bool:
        """Nobody heard what became of opening it."""
        age = self._scope.checkout.clock.now() - ours.created_at
        return ours.processor_id is None and ours.status == "created" and age > UNDER_WAY

    async def heal(self, subject: str, difference: Difference) -> None:
        """The ordinary way again. Raises what that raises."""
        checkout = self._scope.checkout
        payment_id = ids_of(subject, PREFIX)
        if difference.kind is DifferenceKind.REFUND_NOT_MADE:
            assert difference.our_id is not None
            await execute_refund(checkout, difference.our_id, actor=RECONCILED)
        elif difference.kind is DifferenceKind.PAYMENT_OVERDUE:
            await end_payment(checkout, payment_id, actor=RECONCILED)
        elif difference.kind is DifferenceKind.PAYMENT_NOT_OPENED:
            if not await end_payment(checkout, payment_id, actor=RECONCILED):
                await refresh_payment(checkout, None, payment_id, actor=RECONCILED)
        elif difference.kind is DifferenceKind.PAYMENT_BEHIND and difference.their_id is not None:
            found = await self._gateway.find_payment(difference.their_id)
            if found is not None:
                await apply_found(checkout, found, actor=RECONCILED)


def _is_part_known(ours: OurPayment, part: RefundSnapshot | DisputeSnapshot) -> bool:
    """Was it seen as it is, and are all refunds of ours answered?"""
    if ours.seen is None:
        return False
    if isinstance(part, RefundSnapshot):
        return part.refund in ours.seen.refunds
    return part.dispute in ours.seen.disputes
