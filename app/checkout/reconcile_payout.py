"""Payouts: compared with the transfers that carry their ids, and with those that somebody made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.checkout.payout import apply_transfer_event, execute_payout
from app.checkout.reconcile_scope import Examined, Scope, batches, ids_of
from app.commands.reconciliation import Subject
from app.domain.reconcile_payout import TheirTransfer, payout_differences, transfer_unknown
from app.domain.reconciliation import Difference, DifferenceKind, payout_subject, transfer_subject
from app.gateway import TransferSnapshot
from app.queries.reconciliation import (
    list_payouts_between,
    list_unsent_payouts,
    owners_of_accounts,
    payouts_to_compare,
)

BATCH = 100
PAYOUT, TRANSFER = "payout:", "transfer:"


class PayoutComparison:
    """Of one processor that sends money on."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._gateway = scope.gateway

    async def scan(self, start: datetime, end: datetime) -> None:
        """What was sent in a slice of time, by either side's account."""
        met: set[UUID] = set()
        async for batch in batches(self._gateway.list_transfers(start, end), BATCH):
            met |= await self._compare(batch)
        async with self._scope.checkout.within(None) as tx:
            ours = await list_payouts_between(tx, self._scope.whose, start, end)
        for payout_id in set(ours) - met:
            await self._look(payout_subject(payout_id))

    async def scan_unsettled(self) -> None:
        """Those that somebody began to send."""
        async with self._scope.checkout.within(None) as tx:
            unsent = await list_unsent_payouts(tx, self._scope.whose, BATCH)
        for payout_id in unsent:
            await self._look(payout_subject(payout_id))

    async def _compare(self, batch: Sequence[TransferSnapshot]) -> set[UUID]:
        """The payouts in it."""
        by_id: dict[UUID, list[TransferSnapshot]] = {}
        for one in batch:
            if one.transfer_id is not None:
                by_id.setdefault(one.transfer_id, []).append(one)
        async with self._scope.checkout.within(None) as tx:
            known = await payouts_to_compare(tx, list(by_id))
            owners = await owners_of_accounts(tx, self._gateway.processor, [one.account_id for one in batch])
        now = self._scope.checkout.clock.now()
        for payout_id, transfers in by_id.items():
            ours = known.get(payout_id)
            owner = ours.organization_id if ours else owners.get(transfers[0].account_id)
            if self._scope.includes(owner):
                found = payout_differences(ours.facts if ours else None, [_read(one) for one in transfers], now)
                self._scope.counts.compared += 1
                self._scope.suspect(payout_subject(payout_id), found, {one.processor_id for one in transfers})
        for one in batch:
            owner = owners.get(one.account_id)
            if one.transfer_id is None and owner is not None and self._scope.includes(owner):
                self._scope.counts.compared += 1
                found = [transfer_unknown(_read(one))]
                self._scope.suspect(transfer_subject(one.processor_id), found, {one.processor_id})
        return set(by_id)

    async def _look(self, subject: str) -> None:
        self._scope.counts.compared += 1
        examined = await self.examine(subject, self._scope.open_ids(subject))
        self._scope.suspect(subject, examined.differences, set())

    async def examine(self, subject: str, their_ids: set[str]) -> Examined:
        """As both sides are now."""
        if subject.startswith(TRANSFER):
            return await self._examine_transfer(subject)
        payout_id = ids_of(subject, PAYOUT)
        async with self._scope.checkout.within(None) as tx:
            ours = (await payouts_to_compare(tx, [payout_id])).get(payout_id)
        theirs = {one.processor_id: one for one in await self._gateway.look_up_transfers(str(payout_id))}
        wanted = set(their_ids)
        if ours is not None and ours.facts.processor_id is not None:
            wanted.add(ours.facts.processor_id)
        for name in sorted(wanted - set(theirs)):
            found = await self._gateway.find_transfer(name)
            if found is not None:
                theirs[name] = found
        transfers = [_read(one) for one in theirs.values() if one.transfer_id == payout_id]
        now = self._scope.checkout.clock.now()
        differences = payout_differences(ours.facts if ours else None, transfers, now)
        owner = ours.organization_id if ours else await self._owner_of([one.account_id for one in transfers])
        return Examined(Subject(self._gateway.processor, subject, owner), differences)

    async def _examine_transfer(self, subject: str) -> Examined:
        """Made by hand, to an account of a provider here; what was reversed whole is as if it had never been."""
        found = await self._gateway.find_transfer(subject.removeprefix(TRANSFER))
        owner = None if found is None else await self._owner_of([found.account_id])
        is_undone = found is None or found.reversed_minor >= found.amount_minor
        differences = [] if found is None or is_undone else [transfer_unknown(_read(found))]
        return Examined(Subject(self._gateway.processor, subject, owner), differences)

    async def _owner_of(self, account_ids: Sequence[str]) -> UUID | None:
        async with self._scope.checkout.within(None) as tx:
            owners = await owners_of_accounts(tx, self._gateway.processor, account_ids)
        return next(iter(owners.values()), None)

    async def heal(self, subject: str, difference: Difference) -> None:
        """The ordinary way again. Raises what that raises."""
        if difference.their_id is not None:
            await apply_transfer_event(self._scope.checkout, self._gateway.processor, difference.their_id)
        elif difference.kind is DifferenceKind.PAYOUT_NOT_SENT:
            await execute_payout(self._scope.checkout, ids_of(subject, PAYOUT))


def _read(snapshot: TransferSnapshot) -> TheirTransfer:
    return TheirTransfer(
        id=snapshot.processor_id,
        account_id=snapshot.account_id,
        amount_minor=snapshot.amount_minor,
        reversed_minor=snapshot.reversed_minor,
        currency=snapshot.currency,
    )
