"""Reconciliation: one run compares a window of the processor's objects with ours, and ours with the processor's.

What differs at a first glance may be on its way in this moment, so it is looked at again at the end; what still differs
is written down, healed by the ordinary ways where they are enough, and left to a person where not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.checkout.reconcile_payment import PREFIX as PAYMENT
from app.checkout.reconcile_payment import PaymentComparison
from app.checkout.reconcile_payout import PayoutComparison
from app.checkout.reconcile_scope import Examined, Scope
from app.checkout.scope import Checkout
from app.commands.payment_apply import OtherIntent
from app.commands.reconciliation import Counts, RunLost, RunOrder, begin_run, finish_run, keep_run, note_differences
from app.core.outages import describe
from app.domain.errors import DomainError
from app.domain.reconciliation import Difference, DifferenceKind
from app.gateway import Capability, GatewayError
from app.queries.reconciliation import open_subjects, reached_so_far

log = structlog.get_logger(__name__)

OVERLAP = timedelta(hours=1)
"""A run begins so much before the end of the one before it: lists and clocks are not exact."""
FIRST_WINDOW = timedelta(days=7)
"""Of the first run of all."""
SLICE = timedelta(hours=6)
"""So much of the window at a time: what is done of it stays done."""
PATIENCE_S = 5.0
"""Between the first glance and the second: webhooks and jobs take that long."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`is_busy`: another run was at work, and this one did nothing."""

    processor: str
    counts: Counts
    is_busy: bool = False


async def reconcile(
    checkout: Checkout,
    processor: str,
    *,
    since: datetime | None = None,
    organization_id: UUID | None = None,
    patience_s: float = PATIENCE_S,
    slice_of: timedelta = SLICE,
) -> Reconciled:
    """One run. `since`: none: where the last regular run ended; `slice_of`: of the window at a time.

    Raises what the gateway raises, once that is noted.
    """
    now = checkout.clock.now()
    is_regular = since is None and organization_id is None
    async with checkout.within(None) as tx:
        start = min(now, since or _start(await reached_so_far(tx, processor), now))
        run_id = await begin_run(tx, RunOrder(processor, start, now, is_regular, organization_id))
        known_open = {} if run_id is None else await open_subjects(tx, processor, organization_id)
    if run_id is None:
        return Reconciled(processor, Counts(), is_busy=True)
    scope = Scope(checkout, checkout.gateway(processor), organization_id, known_open)
    run = _Run(scope, run_id, patience_s, slice_of)
    try:
        await run.compare(start, now)
    except RunLost:
        log.warning("reconciliation.taken_over", processor=processor)
        raise
    except BaseException as error:
        await asyncio.shield(_finish(scope, run_id, describe(error)))
        raise
    await _finish(scope, run_id, None)
    log.info("reconciliation.done", processor=processor, **_said(scope.counts))
    return Reconciled(processor, scope.counts)


def _start(reached: datetime | None, now: datetime) -> datetime:
    return now - FIRST_WINDOW if reached is None else reached - OVERLAP


def _said(counts: Counts) -> dict[str, int]:
    return {"compared": counts.compared, "found": counts.found, "healed": counts.healed}


async def _finish(scope: Scope, run_id: UUID, error: str | None) -> None:
    async with scope.checkout.within(None) as tx:
        await finish_run(tx, run_id, scope.counts, error)


class _Run:
    def __init__(self, scope: Scope, run_id: UUID, patience_s: float, slice_of: timedelta) -> None:
        self._scope = scope
        self._run_id = run_id
        self._patience_s = patience_s
        self._slice = slice_of
        self._payments = PaymentComparison(scope)
        has_transfers = Capability.TRANSFERS in scope.gateway.capabilities
        self._payouts = PayoutComparison(scope) if has_transfers else None

    async def compare(self, start: datetime, end: datetime) -> None:
        """Raises what the gateway raises, and RunLost."""
        while start < end:
            upto = min(start + self._slice, end)
            await self._payments.scan(start, upto)
            if self._payouts is not None:
                await self._payouts.scan(start, upto)
            # What was found must not be lost with this process, once the window has moved on.
            await self._settle_suspects()
            await self._keep(upto)
            start = upto
        await self._payments.scan_unsettled()
        if self._payouts is not None:
            await self._payouts.scan_unsettled()
        for subject, their_ids in self._scope.known_open.items():
            self._scope.suspects.setdefault(subject, set()).update(their_ids)
        await self._settle_suspects()
        await self._keep(None)

    async def _keep(self, reached: datetime | None) -> None:
        async with self._scope.checkout.within(None) as tx:
            await keep_run(tx, self._run_id, self._scope.counts, reached)

    # ── the second glance ─────────────────────────────────────────────────────────────────────────────

    async def _settle_suspects(self) -> None:
        suspects = self._scope.suspects
        if any(subject not in self._scope.known_open for subject in suspects):
            await asyncio.sleep(self._patience_s)
        for subject, their_ids in list(suspects.items()):
            await self._settle(subject, their_ids)
            self._scope.known_open.pop(subject, None)
        suspects.clear()
        await self._keep(None)

    async def _settle(self, subject: str, their_ids: set[str]) -> None:
        examined = await self._examine(subject, their_ids)
        open_ones = await self._note(examined)
        self._scope.counts.found += len(open_ones)
        healing = [one for one in open_ones if one.heals_itself]
        if any(one.kind is DifferenceKind.PAYMENT_CURRENCY for one in examined.differences):
            healing = []  # its amounts would be counted as if they were of ours
        for one in open_ones:
            self._log(examined, one)
        if not healing:
            return
        for one in healing:
            await self._heal(subject, one)
        left = await self._note(await self._examine(subject, their_ids))
        self._scope.counts.healed += max(0, len(open_ones) - len(left))

    async def _examine(self, subject: str, their_ids: set[str]) -> Examined:
        if subject.startswith(PAYMENT) or self._payouts is None:
            return await self._payments.examine(subject, their_ids)
        return await self._payouts.examine(subject, their_ids)

    async def _note(self, examined: Examined) -> list[Difference]:
        async with self._scope.checkout.within(None) as tx:
            return await note_differences(tx, examined.subject, examined.differences)

    async def _heal(self, subject: str, difference: Difference) -> None:
        """What cannot be healed now stays open, and is tried again by the next run."""
        try:
            if subject.startswith(PAYMENT) or self._payouts is None:
                await self._payments.heal(subject, difference)
            else:
                await self._payouts.heal(subject, difference)
        except (GatewayError, DomainError, OtherIntent) as error:
            log.warning("reconciliation.not_healed", subject=subject, kind=difference.kind.value, error=describe(error))

    def _log(self, examined: Examined, difference: Difference) -> None:
        told = log.info if difference.heals_itself else log.error
        organization = examined.subject.organization_id
        told(
            "reconciliation.difference",
            kind=difference.kind.value,
            subject=examined.subject.name,
            organization=None if organization is None else str(organization),
            their_id=difference.their_id,
        )
