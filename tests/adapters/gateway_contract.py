"""What every payment gateway does, run against each through its local stand-in.

A test module makes a `Stand` for its processor and derives a class from `GatewayContract`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenIntent, merge
from app.gateway import (
    BadSignature,
    Capability,
    Capture,
    ConfirmOrder,
    CustomerOrder,
    Declined,
    Delivery,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    ObjectKind,
    PaymentGateway,
    PaymentOrder,
    PaymentSnapshot,
    RefundOrder,
    RefundSnapshot,
    RefusalKind,
    ReversalOrder,
    SetupOrder,
    TransferOrder,
)
from tests.sandbox import running

SECRET, OLD_SECRET = "whsec_contract_new", "whsec_contract_old"


class Stand(ABC):
    """A gateway and the stand-in of its processor."""

    gateway: PaymentGateway
    sandbox: running.Sandbox
    hooks: running.Hooks
    currency: str
    creates: str
    """The request that opens and pays a payment at once, as faults name it."""
    refunds: str
    closed_url: str = "http://127.0.0.1:9"

    @abstractmethod
    def made(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        deadline_s: float = 5,
        secrets: Sequence[str] = (SECRET,),
        later_s: float = 0,
    ) -> PaymentGateway:
        """Another gateway of the same processor. `later_s`: so much later by its clock for signatures."""

    @abstractmethod
    async def method(self, kind: str) -> str:
        """Something to pay with, as the browser's form names it: `good`, `no_funds`, `stolen`."""

    @abstractmethod
    async def pay_as_guest(self, opened: PaymentSnapshot, kind: str = "good") -> None:
        """On the guest's or the processor's page."""

    @abstractmethod
    async def dispute(self, paid: PaymentSnapshot) -> None:
        """The guest's bank takes the money back."""

    @abstractmethod
    async def decide(self, paid: PaymentSnapshot, *, is_won: bool) -> None:
        """The bank decides the dispute."""

    async def fault(self, kind: str, match: str, **more: Any) -> None:
        await self.sandbox.control("faults", kind=kind, match=match, **{"times": 1, **more})

    async def delivered(self, *types: str) -> Delivery:
        """The next webhook."""
        came = await self.hooks.next(*types)
        return Delivery(came.body, came.headers, came.target.partition("?")[2])

    def order(self, **more: Any) -> PaymentOrder:
        values: dict[str, Any] = {
            "payment_id": uuid4(),
            "booking_id": uuid4(),
            "organization_id": uuid4(),
            "amount_minor": 10_000,
            "currency": self.currency,
            "idempotency_key": uuid4().hex,
            "description": "Haircut",
            "email": "guest@example.com",
            "return_url": "https://shop.example/back",
        }
        return PaymentOrder(**{**values, **more})

    async def paid(self, **more: Any) -> PaymentSnapshot:
        """10,000 minor units, at once."""
        return await self.gateway.create_payment(self.order(**{"method_id": await self.method("good"), **more}))


def refund_order(paid: PaymentSnapshot, amount_minor: int, **more: Any) -> RefundOrder:
    assert paid.payment_id is not None
    assert paid.booking_id is not None
    assert paid.organization_id is not None
    order = RefundOrder(
        uuid4(),
        paid.payment_id,
        paid.booking_id,
        paid.organization_id,
        paid.processor_id,
        amount_minor,
        paid.currency,
        uuid4().hex,
    )
    return replace(order, **more)


async def found(stand: Stand, of: PaymentSnapshot) -> PaymentSnapshot:
    again = await stand.gateway.find_payment(of.processor_id)
    assert again is not None
    return again


def just_now() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


async def listed_of(stand: Stand, payment_id: UUID) -> list[PaymentSnapshot]:
    return [one async for one in stand.gateway.list_payments(just_now()) if one.payment_id == payment_id]


class PaymentContract:
    """Payments: opened, paid, taken, let go, declined."""

    async def test_a_guest_pays_on_a_page(self, stand: Stand) -> None:
        order = stand.order(metadata={"shop": "Ñandú"})
        opened = await stand.gateway.create_payment(order)
        assert (opened.phase, opened.intent.amount_minor, opened.currency) == (
            IntentPhase.CREATED,
            10_000,
            stand.currency,
        )
        ours = (opened.payment_id, opened.booking_id, opened.organization_id)
        assert ours == (order.payment_id, order.booking_id, order.organization_id)
        assert opened.metadata["shop"] == "Ñandú"
        assert not opened.is_live
        capabilities = stand.gateway.capabilities
        assert bool(opened.client_secret) == (Capability.GUESTS_PAGE in capabilities)
        assert bool(opened.redirect_url) == (Capability.HOSTED_PAGE in capabilities)
        assert opened.client_secret is None or opened.client_secret not in repr(opened)
        await stand.pay_as_guest(opened, "no_funds")
        failed = await found(stand, opened)
        assert failed.phase is IntentPhase.FAILED
        assert failed.decline is not None
        assert "enough funds" in failed.decline.message
        await stand.pay_as_guest(opened)
        paid = await found(stand, opened)
        assert (paid.phase, paid.intent.captured_minor, paid.processor_id) == (
            IntentPhase.SUCCEEDED,
            10_000,
            opened.processor_id,
        )
        assert paid.charge_id is not None
        # The key keeps an old answer; what is told is how things are.
        assert (await stand.gateway.create_payment(order)).phase is IntentPhase.SUCCEEDED
        known: SeenIntent | None = None
        for one in (opened, failed, paid, failed):
            known = merge(known, one.intent)
        assert known == paid.intent

    async def test_a_method_pays_at_once(self, stand: Stand) -> None:
        paid = await stand.paid(amount_minor=12_345)
        assert (paid.phase, paid.intent.captured_minor) == (IntentPhase.SUCCEEDED, 12_345)
        assert (paid.refunded_minor, paid.disputed_minor, paid.capturable_minor) == (0, 0, 0)
        assert replace(await found(stand, paid), intent=paid.intent) == paid

    @pytest.mark.parametrize("amount", [10_000, 4_050])
    async def test_authorized_then_taken(self, stand: Stand, amount: int) -> None:
        held = await stand.paid(capture=Capture.MANUAL)
        assert (held.phase, held.capturable_minor, held.intent.captured_minor) == (IntentPhase.AUTHORIZED, 10_000, 0)
        key = uuid4().hex
        taken = [await stand.gateway.capture(held.processor_id, amount, held.currency, key) for _ in range(2)]
        for one in (*taken, await found(stand, held)):
            assert (one.phase, one.intent.captured_minor, one.capturable_minor) == (IntentPhase.SUCCEEDED, amount, 0)
            assert one.intent.refunds == ()
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.capture(held.processor_id, amount, held.currency, uuid4().hex)
        assert refused.value.kind is RefusalKind.STATE

    async def test_more_than_authorized_is_not_taken(self, stand: Stand) -> None:
        held = await stand.paid(capture=Capture.MANUAL)
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.capture(held.processor_id, 10_001, held.currency, uuid4().hex)
        assert refused.value.kind is RefusalKind.AMOUNT
        assert (await found(stand, held)).capturable_minor == 10_000

    async def test_an_authorization_is_let_go(self, stand: Stand) -> None:
        held = await stand.paid(capture=Capture.MANUAL)
        for _ in range(2):
            gone = await stand.gateway.cancel(held.processor_id, uuid4().hex)
            assert (gone.phase, gone.capturable_minor, gone.intent.captured_minor) == (IntentPhase.CANCELLED, 0, 0)
            assert gone.intent.refunds == ()
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.capture(held.processor_id, 10_000, held.currency, uuid4().hex)
        assert refused.value.kind is RefusalKind.STATE

    async def test_what_is_cancelled_cannot_be_paid(self, stand: Stand) -> None:
        opened = await stand.gateway.create_payment(stand.order())
        gone = await stand.gateway.cancel(opened.processor_id, uuid4().hex)
        assert gone.phase is IntentPhase.CANCELLED
        with pytest.raises(AssertionError):
            await stand.pay_as_guest(opened)
        assert (await found(stand, opened)).intent.captured_minor == 0

    async def test_a_declined_payment_is_cancelled(self, stand: Stand) -> None:
        with pytest.raises(Declined) as declined:
            await stand.paid(method_id=await stand.method("no_funds"))
        assert declined.value.snapshot is not None
        gone = await stand.gateway.cancel(declined.value.snapshot.processor_id, uuid4().hex)
        assert (gone.phase, gone.decline) == (IntentPhase.CANCELLED, None)

    async def test_what_is_paid_cannot_be_cancelled(self, stand: Stand) -> None:
        paid = await stand.paid()
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.cancel(paid.processor_id, uuid4().hex)
        assert refused.value.kind is RefusalKind.STATE

    async def test_declined_then_paid(self, stand: Stand) -> None:
        order = stand.order(method_id=await stand.method("no_funds"))
        with pytest.raises(Declined) as declined:
            await stand.gateway.create_payment(order)
        failed = declined.value.snapshot
        assert failed is not None
        assert (failed.phase, failed.payment_id) == (IntentPhase.FAILED, order.payment_id)
        assert declined.value.is_retryable
        assert "enough funds" in declined.value.message
        assert failed.intent.decline_code == declined.value.code == declined.value.decline.code
        # The same key says the same again.
        with pytest.raises(Declined):
            await stand.gateway.create_payment(order)
        stolen = ConfirmOrder(failed.processor_id, await stand.method("stolen"), uuid4().hex, order.return_url)
        with pytest.raises(Declined) as declined:
            await stand.gateway.confirm_payment(stolen)
        assert not declined.value.is_retryable
        good = ConfirmOrder(failed.processor_id, await stand.method("good"), uuid4().hex, order.return_url)
        paid = await stand.gateway.confirm_payment(good)
        assert (paid.phase, paid.intent.captured_minor, paid.decline) == (IntentPhase.SUCCEEDED, 10_000, None)
        assert paid.processor_id == failed.processor_id
        # An old answer to the first attempt does not hide what came after it.
        assert (await stand.gateway.create_payment(order)).phase is IntentPhase.SUCCEEDED

    async def test_another_attempt_at_what_is_paid_is_refused(self, stand: Stand) -> None:
        paid = await stand.paid()
        again = ConfirmOrder(paid.processor_id, await stand.method("good"), uuid4().hex, "https://shop.example/back")
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.confirm_payment(again)
        assert refused.value.kind is RefusalKind.STATE
        assert (await found(stand, paid)).intent.captured_minor == 10_000

    async def test_what_is_not_there(self, stand: Stand) -> None:
        assert await stand.gateway.find_payment("999000999000999") is None
        assert await stand.gateway.look_up_payment(uuid4(), just_now()) is None
        for kind in ObjectKind:
            assert await stand.gateway.payment_of(kind, "999000999000999") is None
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.capture("999000999000999", 1_000, stand.currency, uuid4().hex)
        assert refused.value.kind is RefusalKind.MISSING


class RefundContract:
    """Refunds and disputes."""

    async def test_in_parts_and_not_more_than_was_paid(self, stand: Stand) -> None:
        paid = await stand.paid()
        order = refund_order(paid, 4_001)
        part = await stand.gateway.refund(order)
        assert (part.refund.amount_minor, part.refund.phase) == (4_001, RefundPhase.SUCCEEDED)
        assert (part.processor_id, part.currency) == (paid.processor_id, stand.currency)
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.refund(refund_order(paid, 6_000))
        assert refused.value.kind is RefusalKind.AMOUNT
        assert (await found(stand, paid)).refunded_minor == 4_001
        rest = await stand.gateway.refund(refund_order(paid, 5_999))
        now = await found(stand, paid)
        assert {one.id: one.amount_minor for one in now.intent.refunds} == {
            part.refund.id: 4_001,
            rest.refund.id: 5_999,
        }
        assert (now.phase, now.intent.captured_minor) == (IntentPhase.SUCCEEDED, 10_000)
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.refund(refund_order(paid, 1))
        assert refused.value.kind in {RefusalKind.AMOUNT, RefusalKind.STATE}
        owner = await stand.gateway.payment_of(ObjectKind.REFUND, part.refund.id)
        assert owner is None or owner.processor_id == paid.processor_id
        if Capability.LABELLED_REFUNDS in stand.gateway.capabilities:
            again = await stand.gateway.look_up_refund(paid.processor_id, order.refund_id)
            assert again is not None
            assert (again.refund.id, part.refund_id) == (part.refund.id, order.refund_id)
            assert await stand.gateway.look_up_refund(paid.processor_id, uuid4()) is None

    async def test_after_a_part_was_taken_only_that_goes_back(self, stand: Stand) -> None:
        held = await stand.paid(capture=Capture.MANUAL)
        taken = await stand.gateway.capture(held.processor_id, 6_000, held.currency, uuid4().hex)
        with pytest.raises(GatewayRefused):
            await stand.gateway.refund(refund_order(taken, 6_001))
        await stand.gateway.refund(refund_order(taken, 6_000))
        assert (await found(stand, taken)).refunded_minor == 6_000

    async def test_sixteen_refunds_at_once_with_one_key_are_one(self, stand: Stand) -> None:
        paid = await stand.paid()
        order = refund_order(paid, 1_000)
        answers = await asyncio.gather(*(stand.gateway.refund(order) for _ in range(16)), return_exceptions=True)
        assert {type(one) for one in answers} <= {RefundSnapshot, GatewayUnknown}
        assert (await found(stand, paid)).refunded_minor == 1_000
        assert (await stand.gateway.refund(order)).refund.amount_minor == 1_000

    async def test_a_bank_takes_it_back(self, stand: Stand) -> None:
        paid = await stand.paid()
        await stand.dispute(paid)
        now = await found(stand, paid)
        assert [(one.amount_minor, one.phase) for one in now.intent.disputes] == [(10_000, DisputePhase.OPEN)]
        (dispute,) = [
            one async for one in stand.gateway.list_disputes(just_now()) if one.processor_id == paid.processor_id
        ]
        assert dispute.dispute == now.intent.disputes[0]
        owner = await stand.gateway.payment_of(ObjectKind.DISPUTE, dispute.dispute.id)
        assert owner is not None
        assert (owner.processor_id, owner.disputed_minor) == (paid.processor_id, 10_000)
        await stand.decide(paid, is_won=True)
        assert [one.phase for one in (await found(stand, paid)).intent.disputes] == [DisputePhase.WON]

    async def test_a_lost_dispute(self, stand: Stand) -> None:
        paid = await stand.paid()
        await stand.dispute(paid)
        await stand.decide(paid, is_won=False)
        lost = await found(stand, paid)
        assert ([one.phase for one in lost.intent.disputes], lost.disputed_minor) == ([DisputePhase.LOST], 10_000)


class FaultContract:
    """Answers that do not come."""

    @pytest.mark.parametrize(
        ("kind", "more"), [("lost_answer", {}), ("lost_to_error", {"status": 503}), ("reset", {}), ("error", {})]
    )
    async def test_the_same_key_gives_the_one_payment(self, stand: Stand, kind: str, more: dict[str, Any]) -> None:
        order = stand.order(method_id=await stand.method("good"))
        await stand.fault(kind, stand.creates, **more)
        with pytest.raises(GatewayUnknown):
            await stand.gateway.create_payment(order)
        is_done = kind.startswith("lost")
        looked_up = await stand.gateway.look_up_payment(order.payment_id, just_now())
        assert (looked_up is not None) == is_done
        paid = await stand.gateway.create_payment(order)
        assert paid.phase is IntentPhase.SUCCEEDED
        assert [one.processor_id for one in await listed_of(stand, order.payment_id)] == [paid.processor_id]
        assert looked_up is None or looked_up.processor_id == paid.processor_id

    async def test_the_same_key_gives_the_one_refund(self, stand: Stand) -> None:
        paid = await stand.paid()
        order = refund_order(paid, 2_500)
        await stand.fault("lost_answer", stand.refunds)
        with pytest.raises(GatewayUnknown):
            await stand.gateway.refund(order)
        again = await stand.gateway.refund(order)
        assert [one.id for one in (await found(stand, paid)).intent.refunds] == [again.refund.id]
        made = [one async for one in stand.gateway.list_refunds(just_now()) if one.refund.id == again.refund.id]
        assert [(one.processor_id, one.refund) for one in made] == [(paid.processor_id, again.refund)]

    async def test_what_was_made_before_and_after_is_listed_apart(self, stand: Stand) -> None:
        paid = await stand.paid()
        await stand.gateway.refund(refund_order(paid, 400))
        begin, soon = just_now(), datetime.now(UTC) + timedelta(minutes=1)
        lists = (stand.gateway.list_payments, stand.gateway.list_refunds)
        for since, until, is_in in ((begin, soon, True), (begin - timedelta(hours=1), begin, False)):
            for listing in lists:
                listed = [one.processor_id async for one in listing(since, until)]
                assert (paid.processor_id in listed) is is_in

    async def test_an_answer_that_is_too_late(self, stand: Stand) -> None:
        impatient = stand.made(deadline_s=0.05)
        order = stand.order(method_id=await stand.method("good"))
        await stand.fault("late_answer", stand.creates, seconds=0.3)
        with pytest.raises(GatewayUnknown):
            await impatient.create_payment(order)
        paid = await stand.gateway.create_payment(order)
        assert [one.processor_id for one in await listed_of(stand, order.payment_id)] == [paid.processor_id]
        await impatient.close()

    async def test_sixteen_payments_at_once_with_one_key_are_one(self, stand: Stand) -> None:
        order = stand.order(method_id=await stand.method("good"))
        calls = (stand.gateway.create_payment(order) for _ in range(16))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in answers} <= {PaymentSnapshot, GatewayUnknown}
        assert len(await listed_of(stand, order.payment_id)) == 1

    async def test_not_reached_is_not_done(self, stand: Stand) -> None:
        order = stand.order(method_id=await stand.method("good"))
        await stand.fault("error", stand.creates, status=429)
        with pytest.raises(GatewayUnavailable):
            await stand.gateway.create_payment(order)
        elsewhere = stand.made(url=stand.closed_url)
        with pytest.raises(GatewayUnavailable):
            await elsewhere.create_payment(order)
        await elsewhere.close()
        assert await stand.gateway.look_up_payment(order.payment_id, just_now()) is None

    async def test_a_wrong_key(self, stand: Stand) -> None:
        stranger = stand.made(key="wrong")
        with pytest.raises(GatewayRefused) as refused:
            await stranger.find_payment("999000999000999")
        assert refused.value.kind is RefusalKind.ACCESS
        await stranger.close()
        order = stand.order(method_id=await stand.method("good"), idempotency_key="a line\nbreak")
        with pytest.raises(GatewayRefused):
            await stand.gateway.create_payment(order)


class OfferContract:
    """What only some processors have: it is declared, and what is declared works."""

    async def test_what_is_not_offered_says_so(self, stand: Stand) -> None:
        gateway, some = stand.gateway, uuid4()
        calls = {
            Capability.SAVED_METHODS: (
                gateway.create_customer(CustomerOrder("7", some, uuid4().hex)),
                gateway.start_setup(SetupOrder(some, some, "cus_0", uuid4().hex)),
            ),
            Capability.TRANSFERS: (gateway.look_up_transfers("none"), gateway.find_transfer("tr_0")),
            Capability.ACCOUNTS: (gateway.find_account("acct_0"),),
            Capability.BALANCE: (gateway.balance(),),
        }
        for capability, asked in calls.items():
            for call in asked:
                refusal: GatewayError | None = None
                try:
                    await call
                except GatewayError as error:
                    refusal = error
                is_refused = isinstance(refusal, GatewayRefused) and refusal.kind is RefusalKind.NOT_OFFERED
                assert is_refused == (capability not in gateway.capabilities)

    async def test_currencies(self, stand: Stand) -> None:
        assert stand.gateway.takes_currency(stand.currency)
        assert not stand.gateway.takes_currency("XXX")
        assert not stand.gateway.takes_currency(stand.currency.lower())
        for amount in (0, -1):
            with pytest.raises(GatewayRefused) as refused:
                await stand.paid(amount_minor=amount)
            assert refused.value.kind is RefusalKind.AMOUNT
        with pytest.raises(GatewayRefused) as refused:
            await stand.paid(currency="XXX")
        assert refused.value.kind is RefusalKind.AMOUNT


class WebhookContract:
    """Deliveries: the processor's, whole and new, or not at all."""

    async def test_a_delivery_leads_to_its_payment(self, stand: Stand) -> None:
        paid = await stand.paid()
        while True:
            event = stand.gateway.read_event(await stand.delivered())
            payment = await stand.gateway.payment_of(event.object_kind, event.object_id)
            if payment is not None and payment.processor_id == paid.processor_id:
                break
        assert (payment.phase, payment.payment_id) == (IntentPhase.SUCCEEDED, paid.payment_id)
        assert event.event_id
        assert event.type
        assert not event.is_live
        assert abs(event.created_at - datetime.now(UTC)) < timedelta(minutes=1)

    async def test_secrets_are_exchanged(self, stand: Stand) -> None:
        await stand.paid()
        delivery = await stand.delivered()
        read = stand.made(secrets=("whsec_next", SECRET)).read_event(delivery)
        assert read == stand.gateway.read_event(delivery)
        for secrets in ((OLD_SECRET,), ("",), ()):
            with pytest.raises(BadSignature):
                stand.made(secrets=secrets).read_event(delivery)

    async def test_altered_on_the_way(self, stand: Stand) -> None:
        paid = await stand.paid()
        delivery = await stand.delivered()
        event = stand.gateway.read_event(delivery)
        other = event.object_id[:-1] + ("1" if event.object_id[-1] != "1" else "2")
        assert paid.processor_id
        altered = [
            replace(delivery, body=delivery.body.replace(event.object_id.encode(), other.encode())),
            replace(delivery, body=b"", query=""),
            replace(delivery, headers={}),
            *(
                replace(delivery, headers={**delivery.headers, self.signature_header: text})
                for text in (
                    "",
                    "t=1",
                    "v1=aa",
                    "ts=,v1=",
                    "t=1,v1=zz",
                    "t=9" + "9" * 30 + ",v1=00",
                    "ts=-1,v1=00",
                    "\0",
                    "=,=",
                )
            ),
        ]
        for one in altered:
            with pytest.raises(BadSignature):
                stand.gateway.read_event(one)

    async def test_too_old_and_too_new(self, stand: Stand) -> None:
        await stand.paid()
        delivery = await stand.delivered()
        for later_s in (self.tolerance_s - 30, 30 - self.early_s):
            stand.made(later_s=later_s).read_event(delivery)
        for later_s in (self.tolerance_s + 30, -30 - self.early_s):
            with pytest.raises(BadSignature):
                stand.made(later_s=later_s).read_event(delivery)

    signature_header: str
    tolerance_s: float
    early_s = 300.0


class GatewayContract(PaymentContract, RefundContract, FaultContract, OfferContract, WebhookContract):
    """All of it. The module gives the fixture `stand`."""


def transfer_order(account_id: str, amount_minor: int, **more: Any) -> TransferOrder:
    return replace(TransferOrder(uuid4(), uuid4(), account_id, amount_minor, "EUR", uuid4().hex), **more)


def reversal_order(transfer_processor_id: str, amount_minor: int) -> ReversalOrder:
    return ReversalOrder(uuid4(), transfer_processor_id, amount_minor, "EUR", uuid4().hex)
