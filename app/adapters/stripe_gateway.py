"""Payments by Stripe, through its own package: separate charges and transfers, on the platform's account."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NoReturn
from uuid import UUID

import stripe
from stripe.params import (
    CustomerCreateParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    SetupIntentCreateParams,
)

from app.adapters import stripe_objects as objects
from app.adapters.stripe_amounts import is_taken, to_stripe
from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_errors import is_replayed
from app.adapters.stripe_marketplace import StripeMarketplace, between, headers_of, key_option
from app.adapters.stripe_webhooks import TOLERANCE_S, read_event
from app.domain.payment import IntentPhase
from app.gateway import (
    Capability,
    Capture,
    ConfirmOrder,
    CustomerOrder,
    Declined,
    Delivery,
    DisputeSnapshot,
    GatewayRefused,
    GatewayUnknown,
    ObjectKind,
    PaymentOrder,
    PaymentSnapshot,
    ProcessorEvent,
    RefundOrder,
    RefundSnapshot,
    RefusalKind,
    SetupOrder,
    SetupSnapshot,
)
from app.ports import Clock, ShiftedClock

_WITH_CHARGE = "latest_charge.refunds"
_OPEN_PHASES = frozenset({IntentPhase.CREATED, IntentPhase.FAILED, IntentPhase.NEEDS_ACTION})


class StripeGateway(StripeMarketplace):
    """Implements PaymentGateway.

    `webhook_secrets`: of the platform's endpoint and of the one for connected accounts, and older ones while they are
    exchanged. `wall`: the real time in seconds, which signatures are made with.
    """

    processor = "stripe"
    capabilities = frozenset(Capability) - {Capability.HOSTED_PAGE, Capability.SPLIT_FEE}

    def __init__(
        self,
        connection: StripeConnection,
        webhook_secrets: Sequence[str],
        *,
        clock: Clock | None = None,
        signature_tolerance_s: float = TOLERANCE_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(connection)
        self._secrets = tuple(webhook_secrets)
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
        params: PaymentIntentCreateParams = {
            "amount": to_stripe(order.amount_minor, order.currency),
            "currency": order.currency.lower(),
            "capture_method": "manual" if order.capture is Capture.MANUAL else "automatic",
            "metadata": _labels(order, {objects.PAYMENT: order.payment_id}, order.metadata),
            "automatic_payment_methods": {"enabled": True},
            "expand": [_WITH_CHARGE],
        }
        if order.description:
            params["description"] = order.description
        if order.email:
            params["receipt_email"] = order.email
        if order.transfer_group:
            params["transfer_group"] = order.transfer_group
        if order.customer_id:
            params["customer"] = order.customer_id
        if order.save_method:
            params["setup_future_usage"] = "off_session"
        if order.method_id:
            params["payment_method"] = order.method_id
            params["confirm"] = True
            if order.is_off_session:
                params["off_session"] = True
            if order.return_url:
                params["return_url"] = order.return_url
            else:
                params["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
        intents = self._v1.payment_intents
        return await self._attempt(intents.create_async(params, key_option(order.idempotency_key)))

    async def confirm_payment(self, order: ConfirmOrder) -> PaymentSnapshot:
        """See PaymentGateway."""
        params: PaymentIntentConfirmParams = {"payment_method": order.method_id, "expand": [_WITH_CHARGE]}
        if order.return_url:
            params["return_url"] = order.return_url
        if order.is_off_session:
            params["off_session"] = True
        intents, options = self._v1.payment_intents, key_option(order.idempotency_key)
        return await self._attempt(intents.confirm_async(order.processor_id, params, options))

    async def find_payment(self, processor_id: str) -> PaymentSnapshot | None:
        """See PaymentGateway."""
        asked_at = self._clock.now()
        intents = self._v1.payment_intents
        found = await self._found(intents.retrieve_async(processor_id, {"expand": [_WITH_CHARGE]}))
        return None if found is None else await self._snapshot(found, asked_at)

    async def payment_of(self, kind: ObjectKind, object_id: str) -> PaymentSnapshot | None:
        """See PaymentGateway."""
        owner: stripe.Charge | stripe.Refund | stripe.Dispute | None = None
        if kind is ObjectKind.PAYMENT:
            return await self.find_payment(object_id)
        if kind is ObjectKind.CHARGE:
            owner = await self._found(self._v1.charges.retrieve_async(object_id))
        elif kind is ObjectKind.REFUND:
            owner = await self._found(self._v1.refunds.retrieve_async(object_id))
        elif kind is ObjectKind.DISPUTE:
            owner = await self._found(self._v1.disputes.retrieve_async(object_id))
        intent_id = objects.id_of(owner.payment_intent) if owner else None
        return await self.find_payment(intent_id) if intent_id else None

    async def look_up_payment(self, payment_id: UUID, since: datetime) -> PaymentSnapshot | None:
        """Search first, which may be a minute behind (and is not had in all countries); then the list, which is not."""
        asked_at = self._clock.now()
        query = f"metadata['{objects.PAYMENT}']:'{payment_id}'"
        intents = self._v1.payment_intents
        with suppress(GatewayRefused):
            found = await self._ask(intents.search_async({"query": query, "expand": [f"data.{_WITH_CHARGE}"]}))
            if found.data:
                return await self._snapshot(found.data[0], asked_at)
        async for listed in self.list_payments(since):
            if listed.payment_id == payment_id:
                return listed
        return None

    async def capture(self, processor_id: str, amount_minor: int, currency: str, key: str) -> PaymentSnapshot:
        """See PaymentGateway."""
        amount = to_stripe(amount_minor, currency)
        intents = self._v1.payment_intents
        return await self._attempt(
            intents.capture_async(
                processor_id, {"amount_to_capture": amount, "expand": [_WITH_CHARGE]}, key_option(key)
            )
        )

    async def cancel(self, processor_id: str, key: str) -> PaymentSnapshot:
        """See PaymentGateway. What is cancelled already is as it should be."""
        intents = self._v1.payment_intents
        try:
            return await self._attempt(intents.cancel_async(processor_id, {"expand": [_WITH_CHARGE]}, key_option(key)))
        except GatewayRefused as refused:
            found = await self.find_payment(processor_id) if refused.kind is RefusalKind.STATE else None
            if found is None or found.phase is not IntentPhase.CANCELLED:
                raise
            return found

    async def _attempt(self, call: Awaitable[stripe.PaymentIntent]) -> PaymentSnapshot:
        """The payment after a call that changes it. Raises Declined, with the payment."""
        asked_at = self._clock.now()
        try:
            intent = await self._ask(call)
        except Declined as declined:
            return await self._after_decline(declined, asked_at)
        if is_replayed(headers_of(intent)):
            return await self._need_payment(intent.id)
        return await self._snapshot(intent, asked_at)

    async def _after_decline(self, declined: Declined, asked_at: datetime) -> PaymentSnapshot:
        """Raises Declined, unless it is an old answer and the payment has come further since."""
        error = declined.__cause__
        said = error.error if isinstance(error, stripe.CardError) else None
        intent = getattr(said, "payment_intent", None)
        if intent is None or not isinstance(error, stripe.CardError):
            raise declined
        if not is_replayed(error.headers):
            # Its charge is not expanded here; a declined payment has no refunds and no disputes.
            raise Declined(declined.decline, objects.read_payment(intent, asked_at, (), ())) from error
        snapshot = await self._need_payment(intent.id)
        if snapshot.phase in _OPEN_PHASES:
            raise Declined(declined.decline, snapshot) from error
        return snapshot

    async def _need_payment(self, processor_id: str) -> PaymentSnapshot:
        found = await self.find_payment(processor_id)
        if found is None:
            raise GatewayRefused(f"No such payment: {processor_id}", "resource_missing", RefusalKind.MISSING)
        return found

    async def _snapshot(self, intent: stripe.PaymentIntent, asked_at: datetime) -> PaymentSnapshot:
        """With all refunds and disputes, which are asked for only where there may be some."""
        charge = intent.latest_charge
        refunds: list[stripe.Refund] = []
        disputes: list[stripe.Dispute] = []
        if isinstance(charge, stripe.Charge) and charge.captured:
            listed = charge.refunds
            refunds = list(listed.data) if listed else []
            if listed is None or listed.has_more:
                refunds = [one async for one in self._pages(self._v1.refunds.list_async, payment_intent=intent.id)]
            if charge.disputed:
                disputes = [one async for one in self._pages(self._v1.disputes.list_async, payment_intent=intent.id)]
        return objects.read_payment(intent, asked_at, refunds, disputes)

    # ── refunds ───────────────────────────────────────────────────────────────────────────────────────

    async def refund(self, order: RefundOrder) -> RefundSnapshot:
        """See PaymentGateway."""
        amount = to_stripe(order.amount_minor, order.currency)
        names = {objects.REFUND: order.refund_id, objects.PAYMENT: order.payment_id}
        made = await self._ask(
            self._v1.refunds.create_async(
                {"payment_intent": order.processor_id, "amount": amount, "metadata": _labels(order, names)},
                key_option(order.idempotency_key),
            )
        )
        if is_replayed(headers_of(made)):
            made = await self._ask(self._v1.refunds.retrieve_async(made.id))
        return objects.read_refund(made) or _unreadable(made.id)

    async def look_up_refund(self, processor_id: str, refund_id: UUID) -> RefundSnapshot | None:
        """See PaymentGateway. Lists of one payment are up to date."""
        async for one in self._pages(self._v1.refunds.list_async, payment_intent=processor_id):
            found = objects.read_refund(one)
            if found is not None and found.refund_id == refund_id:
                return found
        return None

    # ── saved methods ─────────────────────────────────────────────────────────────────────────────────

    async def create_customer(self, order: CustomerOrder) -> str:
        """See PaymentGateway."""
        params: CustomerCreateParams = {
            "metadata": {objects.CUSTOMER: order.reference, objects.ORGANIZATION: str(order.organization_id)}
        }
        if order.email:
            params["email"] = order.email
        if order.name:
            params["name"] = order.name
        return (await self._ask(self._v1.customers.create_async(params, key_option(order.idempotency_key)))).id

    async def start_setup(self, order: SetupOrder) -> SetupSnapshot:
        """See PaymentGateway. The guest's page confirms it, with its client secret and the return address."""
        params: SetupIntentCreateParams = {
            "customer": order.customer_id,
            "usage": "off_session",
            "automatic_payment_methods": {"enabled": True},
            "metadata": _labels(order, {}),
        }
        made = await self._ask(self._v1.setup_intents.create_async(params, key_option(order.idempotency_key)))
        if is_replayed(headers_of(made)):
            made = await self._ask(self._v1.setup_intents.retrieve_async(made.id))
        return objects.read_setup(made)

    async def find_setup(self, processor_id: str) -> SetupSnapshot | None:
        """See PaymentGateway."""
        found = await self._found(self._v1.setup_intents.retrieve_async(processor_id))
        return None if found is None else objects.read_setup(found)

    # ── reconciliation ────────────────────────────────────────────────────────────────────────────────

    async def list_payments(self, since: datetime, until: datetime | None = None) -> AsyncIterator[PaymentSnapshot]:
        """See PaymentGateway."""
        listing = self._v1.payment_intents.list_async
        expansions = [f"data.{_WITH_CHARGE}"]
        asked_at = self._clock.now()
        async for one in self._pages(listing, created=between(since, until), expand=expansions):
            yield await self._snapshot(one, asked_at)

    async def list_refunds(self, since: datetime, until: datetime | None = None) -> AsyncIterator[RefundSnapshot]:
        """See PaymentGateway."""
        async for one in self._pages(self._v1.refunds.list_async, created=between(since, until)):
            if (found := objects.read_refund(one)) is not None:
                yield found

    async def list_disputes(self, since: datetime, until: datetime | None = None) -> AsyncIterator[DisputeSnapshot]:
        """See PaymentGateway."""
        async for one in self._pages(self._v1.disputes.list_async, created=between(since, until)):
            if (found := objects.read_dispute(one)) is not None:
                yield found

    # ── webhooks ──────────────────────────────────────────────────────────────────────────────────────

    def read_event(self, delivery: Delivery) -> ProcessorEvent:
        """See PaymentGateway."""
        return read_event(delivery, self._secrets, self._wall(), self._tolerance_s)


def _labels(
    order: PaymentOrder | RefundOrder | SetupOrder, names: Mapping[str, UUID], more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The metadata: ours before anybody's."""
    own = {**names, objects.BOOKING: order.booking_id, objects.ORGANIZATION: order.organization_id}
    return {**(more or {}), **{name: str(value) for name, value in own.items()}}


def _unreadable(object_id: str) -> NoReturn:
    raise GatewayUnknown(f"Stripe's answer about {object_id} cannot be read.", "unreadable")
