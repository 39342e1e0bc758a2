"""What happens between requests: webhooks leave, and what was planned for later is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx
import structlog

from app.sandbox.mercadopago import notifications
from app.sandbox.mercadopago.payments import release as release_mercadopago
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe import deliveries, disputes, payments, payouts, refunds, tasks
from app.sandbox.stripe.deliveries import Delivery, DeliveryState
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.events import packed, signature
from app.sandbox.stripe.faults import Faults
from app.sandbox.stripe.store import Store
from app.sandbox.stripe.work import Work

log = structlog.get_logger(__name__)
AT_ONCE = 8
"""Webhooks under way at one time."""
_LONGEST_WAIT_S = 30.0

_TASKS: dict[str, tuple[str, Callable[[Work, Json], object]]] = {
    "dispute": ("charge", disputes.open_by_card),
    "refund_fails": ("refund", lambda work, refund: refunds.settle(work, refund, "failed")),
    "refund_succeeds": ("refund", lambda work, refund: refunds.settle(work, refund, "succeeded")),
    "authorization_runs_out": (
        "payment_intent",
        lambda work, intent: (
            payments.release(work, intent, "automatic") if intent["status"] == "requires_capture" else None
        ),
    ),
    "payout_arrives": ("payout", payouts.arrive),
    "mp_authorization_runs_out": ("mp_payment", release_mercadopago),
}


class Background:
    """Runs until it is closed. `wake` after anything that may have made work."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults) -> None:
        self._store = store
        self._settings = settings
        self._faults = faults
        self._changed = asyncio.Event()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._client = httpx.AsyncClient(timeout=settings.webhook_timeout_s, trust_env=False)

    def wake(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._run_tasks()
                self._send_due()
                wait_s = self._wait_s()
            except Exception as error:
                log.error("sandbox.background_failed", exc_info=error)
                wait_s = 1.0
            # Not by wait_for, which forgets that it is cancelled when the event comes in the same moment.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def close(self) -> None:
        """Deliveries under way are broken off; they are due again at the next start."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._client.aclose()

    def _run_tasks(self) -> None:
        for task in tasks.due(self._store, self._settings.clock()):
            kind, act = _TASKS[task.kind]
            try:
                with self._store.transaction():
                    tasks.remove(self._store, task.seq)
                    work = Work(self._store, self._settings, self._faults, task.account)
                    subject = work.find(kind, task.subject)
                    if subject is not None:
                        act(work, subject)
            except Exception as error:
                log.error("sandbox.task_failed", kind=task.kind, subject=task.subject, exc_info=error)
                tasks.remove(self._store, task.seq)

    def _send_due(self) -> None:
        free = AT_ONCE - len(self._under_way)
        for delivery in deliveries.due(self._store, self._settings.clock(), free, tuple(self._under_way)):
            self._under_way[delivery.seq] = asyncio.create_task(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            status, error = await self._attempt(delivery)
            with self._store.transaction():
                self._settle(delivery, status, error)
        finally:
            del self._under_way[delivery.seq]
            self.wake()

    async def _attempt(self, delivery: Delivery) -> tuple[int | None, str | None]:
        """The endpoint's answer, or why there was none."""
        endpoint = self._store.find(delivery.endpoint)
        found = self._store.find(delivery.event)
        if endpoint is None or found is None:
            return None, "The endpoint was deleted."
        if delivery.is_lost:
            return None, "Lost, as a fault asked."
        url, headers, body = self._outgoing(endpoint[1], found[1])
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            return None, f"{type(failure).__name__}: {failure}"[:300]
        return response.status_code, None

    def _outgoing(self, endpoint: Json, event: Json) -> tuple[str, dict[str, str], bytes]:
        """Address, headers and body."""
        if endpoint["object"] == notifications.ENDPOINT:
            return notifications.outgoing(self._settings, endpoint, event)
        body = packed(event)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(endpoint["_secret"], body, int(self._settings.clock())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        return endpoint["url"], headers, body

    def _settle(self, delivery: Delivery, status: int | None, error: str | None) -> None:
        is_gone = self._store.find(delivery.endpoint) is None
        state = deliveries.settle(
            self._store,
            delivery,
            now=self._settings.clock(),
            status=status,
            error=error,
            retry_base_s=self._settings.retry_base_s,
            most_attempts=0 if is_gone else self._settings.most_attempts,
        )
        found = self._store.find(delivery.event)
        if state is DeliveryState.DELIVERED and found is not None and found[1]["pending_webhooks"]:
            account, event = found
            Work(self._store, self._settings, self._faults, account).save(
                {**event, "pending_webhooks": event["pending_webhooks"] - 1}
            )

    def _wait_s(self) -> float:
        """Until the next is due. With all places taken, a delivery that ends wakes us."""
        times = [tasks.next_due_at(self._store)]
        if len(self._under_way) < AT_ONCE:
            times.append(deliveries.next_due_at(self._store, tuple(self._under_way)))
        known = [at for at in times if at is not None]
        return max(0.0, min(_LONGEST_WAIT_S, min(known) - self._settings.clock())) if known else _LONGEST_WAIT_S
