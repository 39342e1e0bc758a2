"""Payments by MercadoPago, through its REST API: Checkout Pro by redirect, or a card token of its form.

The processor's id of a payment is our own id here (see `mercadopago_objects`). A card token comes as MercadoPago's form
gives it, with the method's name before it: `visa:ff8080814c11e237014c1ff593b57b4d`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import UUID

from app.adapters import mercadopago_objects as objects
from app.adapters.mercadopago_connection import MercadoPagoConnection, is_taken, to_decimal
from app.adapters.mercadopago_objects import Found, FoundPreferences, Payment, Preference
from app.adapters.mercadopago_orders import another_attempt, card_order, first_attempt, method_of, page_order
from app.adapters.mercadopago_webhooks import TOLERANCE_S, read_event
from app.adapters.not_offered import NotOffered
from app.domain.payment import IntentPhase
from app.gateway import (
    Capability,
    Capture,
    ConfirmOrder,
    Declined,
    Delivery,
    DisputeSnapshot,
    GatewayRefused,
    ObjectKind,
    PaymentOrder,
    PaymentSnapshot,
    ProcessorEvent,
    RefundOrder,
    RefundSnapshot,
    RefusalKind,
)
from app.ports import Clock, ShiftedClock

_PAGE = 100
_MOST_ATTEMPTS = 50
_SKEW = timedelta(minutes=5)
"""How far MercadoPago's clock may lie from ours."""
_BY_ATTEMPT = frozenset({IntentPhase.CREATED, IntentPhase.FAILED})
"""Another attempt may be made."""


class MercadoPagoGateway(NotOffered):
    """Implements PaymentGateway.

    `notification_url`: where payments are told of; None: as the application is configured at MercadoPago. `wall`: the
    real time in seconds.
    """

    processor = "mercadopago"
    capabilities = frozenset({Capability.HOSTED_PAGE, Capability.SPLIT_FEE})

    def __init__(
        self,
        connection: MercadoPagoConnection,
        webhook_secrets: Sequence[str],
        *,
        notification_url: str | None = None,
        clock: Clock | None = None,
        signature_tolerance_s: float = TOLERANCE_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._secrets = tuple(webhook_secrets)
        self._notification_url = notification_url
        self._clock = clock or ShiftedClock()
        self._tolerance_s = signature_tolerance_s
        self._wall = wall

    @property
    def is_live(self) -> bool:
        return self._connection.is_live

    def takes_currency(self, currency: str) -> bool:
        return is_taken(currency)

    async def close(self) -> None:
        await self._connection.close()

    # ── payments ──────────────────────────────────────────────────────────────────────────────────────

    async def create_payment(self, order: PaymentOrder) -> PaymentSnapshot:
        """See PaymentGateway."""
        reference = str(order.payment_id)
        if order.method_id is None:
            return await self._open_page(order, reference)
        body = card_order(order, order.method_id, self._notification_url)
        return await self._attempt(reference, body, order.idempotency_key)

    async def confirm_payment(self, order: ConfirmOrder) -> PaymentSnapshot:
        """See PaymentGateway. At MercadoPago it is another payment with the same reference."""
        asked_at = self._clock.now()
        payments, preferences = await self._payments(order.processor_id), await self._preferences(order.processor_id)
        if not payments and not preferences:
            raise _missing(order.processor_id)
        made = next((one for one in payments if one.metadata.get(objects.ATTEMPT) == order.idempotency_key), None)
        snapshot = self._read(order.processor_id, payments, preferences, asked_at)
        if made is not None:
            return _outcome(made, snapshot)
        if snapshot.phase not in _BY_ATTEMPT:
            raise GatewayRefused(f"The payment is {snapshot.phase}.", snapshot.phase, RefusalKind.STATE)
        body = {
            **(another_attempt(payments[-1]) if payments else first_attempt(preferences[-1])),
            **method_of(order.method_id),
            "external_reference": order.processor_id,
            "transaction_amount": to_decimal(snapshot.intent.amount_minor, snapshot.currency),
            "capture": snapshot.metadata.get(objects.CAPTURE) != Capture.MANUAL,
            "installments": 1,
        }
        body["metadata"] = {**snapshot.metadata, objects.ATTEMPT: order.idempotency_key}
        if self._notification_url:
            body["notification_url"] = self._notification_url
        return await self._attempt(order.processor_id, body, order.idempotency_key)

    async def find_payment(self, processor_id: str) -> PaymentSnapshot | None:
        """See PaymentGateway. By search: what was made seconds ago may be missing still."""
        asked_at = self._clock.now()
        payments = await self._payments(processor_id)
        is_over = any(one.captured_minor for one in payments)
        preferences = [] if is_over else await self._preferences(processor_id)
        if not payments and not preferences:
            return None
        return self._read(processor_id, payments, preferences, asked_at)

    async def payment_of(self, kind: ObjectKind, object_id: str) -> PaymentSnapshot | None:
        """See PaymentGateway. Refunds have no address of their own: their payment is told of too."""
        asked_at = self._clock.now()
        if kind is ObjectKind.DISPUTE:
            object_id = await self._disputed(object_id)
        elif kind not in {ObjectKind.PAYMENT, ObjectKind.CHARGE}:
            return None
        found = await self._connection.found(Payment, f"v1/payments/{quote(object_id, safe='')}") if object_id else None
        if found is None:
            return None
        return await self._with(found, asked_at)

    async def look_up_payment(self, payment_id: UUID, since: datetime) -> PaymentSnapshot | None:
        """See PaymentGateway."""
        found = await self.find_payment(str(payment_id))
        return found if found is not None and found.created_at >= since - _SKEW else None

    async def capture(self, processor_id: str, amount_minor: int, currency: str, key: str) -> PaymentSnapshot:
        """See PaymentGateway."""
        amount = to_decimal(amount_minor, currency)
        payments = await self._payments(processor_id)
        if not payments:
            raise _missing(processor_id)
        # Without one that is authorized, MercadoPago tells whether this is the answer to the key or a refusal.
        held = next((one for one in payments if one.phase is IntentPhase.AUTHORIZED), payments[-1])
        return await self._change(held, {"capture": True, "transaction_amount": amount}, key)

    async def cancel(self, processor_id: str, key: str) -> PaymentSnapshot:
        """See PaymentGateway. First its page is closed, then what is under way is let go."""
        for page in await self._preferences(processor_id):
            if not page.is_over(self._now()):
                over = {"expires": True, "expiration_date_to": self._now().isoformat(timespec="milliseconds")}
                path = f"checkout/preferences/{quote(page.id, safe='')}"
                await self._connection.send(Preference, "PUT", path, over, _key_for(key, page.id))
        found = await self.find_payment(processor_id)
        if found is None:
            raise _missing(processor_id)
        if found.phase is IntentPhase.SUCCEEDED:
            raise GatewayRefused("The payment is paid.", "paid", RefusalKind.STATE)
        for one in await self._payments(processor_id):
            if one.phase in {IntentPhase.NEEDS_ACTION, IntentPhase.PROCESSING, IntentPhase.AUTHORIZED}:
                found = await self._change(one, {"status": "cancelled"}, _key_for(key, str(one.id)))
        if found.phase is IntentPhase.FAILED:
            # A rejected payment stays rejected at MercadoPago; with no page left, it is over.
            return replace(
                found, intent=replace(found.intent, phase=IntentPhase.CANCELLED, decline_code=None), decline=None
            )
        return found

    # ── refunds ───────────────────────────────────────────────────────────────────────────────────────

    async def refund(self, order: RefundOrder) -> RefundSnapshot:
        """See PaymentGateway."""
        amount = to_decimal(order.amount_minor, order.currency)
        charge_id = order.charge_id
        if charge_id is None:
            # The same at each call with the key: the first that brought money stays the first.
            payments = await self._payments(order.processor_id)
            charge_id = next((str(one.id) for one in payments if one.captured_minor), None)
            if charge_id is None:
                raise _missing(order.processor_id)
        path = f"v1/payments/{quote(charge_id, safe='')}"
        made = await self._connection.send(
            objects.Refund, "POST", f"{path}/refunds", {"amount": amount}, order.idempotency_key
        )
        payment = await self._connection.get(Payment, path)
        now = next((one for one in payment.refunds or () if str(one.id) == str(made.id)), made)
        return objects.read_refund(now, payment, order.refund_id)

    # ── reconciliation ────────────────────────────────────────────────────────────────────────────────

    async def list_payments(self, since: datetime, until: datetime | None = None) -> AsyncIterator[PaymentSnapshot]:
        """See PaymentGateway. Of what can be paid on a page, that at which something was tried."""
        seen: set[str] = set()
        async for one in self._search(since, until, "date_created"):
            reference = objects.reference_of(one)
            if reference not in seen:
                seen.add(reference)
                yield await self._with(one, self._clock.now())

    async def list_refunds(self, since: datetime, until: datetime | None = None) -> AsyncIterator[RefundSnapshot]:
        """See PaymentGateway. By payment, the last changed first."""
        # A payment may have changed again after its refund: so there is no end to when it did.
        async for one in self._search(since, None, "date_last_updated"):
            for refund in reversed(one.refunds or []):
                made_at = refund.date_created
                if made_at is None or (since <= made_at and (until is None or made_at < until)):
                    yield objects.read_refund(refund, one)

    async def list_disputes(self, since: datetime, until: datetime | None = None) -> AsyncIterator[DisputeSnapshot]:
        """See PaymentGateway. Those that were opened or decided since: payments do not tell when."""
        async for one in self._search(since, None, "date_last_updated"):
            found = objects.read_dispute(one)
            if found is not None and (until is None or found.created_at < until):
                yield found

    # ── webhooks ──────────────────────────────────────────────────────────────────────────────────────

    def read_event(self, delivery: Delivery) -> ProcessorEvent:
        """See PaymentGateway."""
        return read_event(delivery, self._secrets, self._wall(), self._tolerance_s)

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────

    async def _open_page(self, order: PaymentOrder, reference: str) -> PaymentSnapshot:
        """A preference, unless there is one: MercadoPago does not promise that a key makes only one."""
        if order.capture is Capture.MANUAL:
            raise GatewayRefused("Its page takes no authorizations.", "not_offered", RefusalKind.NOT_OFFERED)
        found = await self.find_payment(reference)
        if found is not None:
            return found
        body = page_order(order, self._notification_url)
        asked_at = self._clock.now()
        key = order.idempotency_key
        made = await self._connection.send(Preference, "POST", "checkout/preferences", body, key)
        return self._read(reference, [], [made], asked_at)

    async def _attempt(self, reference: str, body: Mapping[str, Any], key: str) -> PaymentSnapshot:
        """Raises Declined."""
        made = await self._connection.send(Payment, "POST", "v1/payments", body, key)
        if made.external_reference != reference:
            raise GatewayRefused("The key belongs to another payment.", "key_reused", RefusalKind.KEY_REUSED)
        # The answer may be an old one, kept under the key.
        asked_at = self._clock.now()
        now = await self._connection.get(Payment, f"v1/payments/{made.id}")
        return _outcome(now, await self._with(now, asked_at))

    async def _change(self, payment: Payment, body: Mapping[str, Any], key: str) -> PaymentSnapshot:
        asked_at = self._clock.now()
        path = f"v1/payments/{payment.id}"
        await self._connection.send(Payment, "PUT", path, body, key)
        return await self._with(await self._connection.get(Payment, path), asked_at)

    async def _with(self, payment: Payment, asked_at: datetime) -> PaymentSnapshot:
        """The payment of an attempt that was just fetched: all others are searched, which may be behind."""
        reference = objects.reference_of(payment)
        if reference == str(payment.id):
            return self._read(reference, [payment], [], asked_at)
        others = [one for one in await self._payments(reference) if one.id != payment.id]
        payments = sorted([*others, payment], key=lambda one: (one.date_created, one.id))
        is_over = any(one.captured_minor for one in payments)
        return self._read(reference, payments, [] if is_over else await self._preferences(reference), asked_at)

    async def _payments(self, reference: str) -> list[Payment]:
        """The attempts, oldest first."""
        found = await self._connection.get(
            Found, "v1/payments/search", external_reference=reference, limit=_MOST_ATTEMPTS, sort="date_created"
        )
        # By the time alone, those of one moment would change places.
        ours = [one for one in found.results if one.external_reference == reference]
        return sorted(ours, key=lambda one: (one.date_created, one.id))

    async def _preferences(self, reference: str) -> list[Preference]:
        found = await self._connection.get(
            FoundPreferences, "checkout/preferences/search", external_reference=reference
        )
        ids = [one.id for one in found.elements if one.external_reference == reference]
        made = [await self._connection.get(Preference, f"checkout/preferences/{quote(one, safe='')}") for one in ids]
        return sorted(made, key=lambda one: (one.date_created, one.id))

    async def _search(self, since: datetime, until: datetime | None, ranged: str) -> AsyncIterator[Payment]:
        """Newest first."""
        offset, begin = 0, since.isoformat(timespec="milliseconds")
        end = (until or self._now() + _SKEW).isoformat(timespec="milliseconds")
        while True:
            page = await self._connection.get(
                Found,
                "v1/payments/search",
                range=ranged,
                begin_date=begin,
                end_date=end,
                sort=ranged,
                criteria="desc",
                offset=offset,
                limit=_PAGE,
            )
            for one in page.results:
                yield one
            offset += len(page.results)
            if not page.results or offset >= page.paging.total:
                return

    async def _disputed(self, dispute_id: str) -> str:
        """The payment that a dispute is of, by our name of it or by the chargeback's id; empty: none."""
        if dispute_id.startswith(objects.CHARGEBACK):
            return dispute_id.removeprefix(objects.CHARGEBACK)
        found = await self._connection.found(objects.Chargeback, f"v1/chargebacks/{quote(dispute_id, safe='')}")
        return str(found.payments[0]) if found is not None and found.payments else ""

    def _read(
        self, reference: str, payments: Sequence[Payment], preferences: Sequence[Preference], asked_at: datetime
    ) -> PaymentSnapshot:
        now, is_live = self._now(), self.is_live
        return objects.read_payment(reference, payments, preferences, seen_at=asked_at, now=now, is_live=is_live)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._wall(), UTC)


def _outcome(made: Payment, snapshot: PaymentSnapshot) -> PaymentSnapshot:
    """Raises Declined if this attempt was rejected and no other went further."""
    if made.phase is IntentPhase.FAILED and snapshot.phase in _BY_ATTEMPT:
        raise Declined(objects.decline_named(made.status_detail), snapshot)
    return snapshot


def _key_for(key: str, object_id: str) -> str:
    """One of several calls that one key stands for."""
    return sha256(f"{key} {object_id}".encode()).hexdigest()


def _missing(processor_id: str) -> GatewayRefused:
    return GatewayRefused(f"No such payment: {processor_id}", "not_found", RefusalKind.MISSING)
