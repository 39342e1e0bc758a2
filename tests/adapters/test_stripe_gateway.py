"""Stripe's adapter against the local Stripe: the common contract, then what Stripe alone offers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
import stripe

from app.adapters.stripe_amounts import from_stripe, is_taken, to_stripe
from app.adapters.stripe_connection import API_VERSION, StripeConnection
from app.adapters.stripe_gateway import StripeGateway
from app.adapters.stripe_webhooks import TOLERANCE_S
from app.domain.money import EXPONENTS
from app.domain.payment import IntentPhase, RefundPhase
from app.gateway import (
    AccountOrder,
    Capability,
    ConfirmOrder,
    CustomerOrder,
    Declined,
    GatewayRefused,
    GatewayUnknown,
    ObjectKind,
    PaymentSnapshot,
    RefusalKind,
    SetupOrder,
    SetupPhase,
    TransferSnapshot,
)
from app.sandbox.settings import ConfiguredEndpoint
from tests.adapters.gateway_contract import (
    SECRET,
    GatewayContract,
    Stand,
    found,
    just_now,
    refund_order,
    reversal_order,
    transfer_order,
)
from tests.sandbox.running import KEY, Hooks, Sandbox, receiving, running

CARDS = {
    "good": "pm_card_visa",
    "no_funds": "pm_card_visa_chargeDeclinedInsufficientFunds",
    "stolen": "pm_card_visa_chargeDeclinedStolenCard",
}


class StripeStand(Stand):
    currency = "EUR"
    creates = "POST /v1/payment_intents"
    refunds = "POST /v1/refunds"

    def __init__(self, http: stripe.HTTPXClient, sandbox: Sandbox, hooks: Hooks) -> None:
        self._http = http
        self.sandbox, self.hooks = sandbox, hooks
        self.gateway = self.made()

    def made(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        deadline_s: float = 5,
        secrets: Sequence[str] = (SECRET,),
        later_s: float = 0,
    ) -> StripeGateway:
        connection = StripeConnection(
            KEY if key is None else key, base_url=url or self.sandbox.url, http=self._http, deadline_s=deadline_s
        )
        return StripeGateway(connection, secrets, wall=lambda: time.time() + later_s)

    async def method(self, kind: str) -> str:
        return CARDS[kind]

    async def pay_as_guest(self, opened: PaymentSnapshot, kind: str = "good") -> None:
        await self.sandbox.control(f"intents/{opened.processor_id}/pay", card=CARDS[kind])

    async def dispute(self, paid: PaymentSnapshot) -> None:
        await self.sandbox.control(f"charges/{paid.charge_id}/dispute")

    async def decide(self, paid: PaymentSnapshot, *, is_won: bool) -> None:
        (dispute,) = (await found(self, paid)).intent.disputes
        await self.sandbox.control(f"disputes/{dispute.id}/decide", outcome="won" if is_won else "lost")


@pytest.fixture(scope="session")
async def shared(http: stripe.HTTPXClient) -> AsyncIterator[StripeStand]:
    async with (
        receiving() as hooks,
        running(http, endpoints=(ConfiguredEndpoint(hooks.url, SECRET),)) as sandbox,
    ):
        yield StripeStand(http, sandbox, hooks)


@pytest.fixture
async def stand(shared: StripeStand) -> AsyncIterator[StripeStand]:
    """Shared; the faults that a test made end with it."""
    yield shared
    await shared.sandbox.http.delete("/_sandbox/faults")


class TestContract(GatewayContract):
    signature_header = "stripe-signature"
    tolerance_s = TOLERANCE_S


# ── transfers ─────────────────────────────────────────────────────────────────────────────────────────


async def provider(stand: StripeStand) -> str:
    """An onboarded account."""
    made = await stand.gateway.create_account(AccountOrder(uuid4(), uuid4(), "DE", uuid4().hex, "ana@example.com"))
    await stand.sandbox.control(f"accounts/{made.account_id}/state", state="onboarded")
    return made.account_id


async def test_a_payment_is_sent_on_once_however_often_it_is_asked(stand: StripeStand) -> None:
    group, account = f"booking_{uuid4()}", await provider(stand)
    paid = await stand.paid(transfer_group=group)
    assert (paid.transfer_group, paid.charge_id is not None) == (group, True)
    order = transfer_order(account, 8_000, charge_id=paid.charge_id, transfer_group=group, description="May")
    await stand.fault("delay", "POST /v1/transfers", seconds=0.3)
    answers = await asyncio.gather(*(stand.gateway.transfer(order) for _ in range(16)), return_exceptions=True)
    assert {type(one) for one in answers} == {TransferSnapshot, GatewayUnknown}
    await stand.fault("lost_answer", "POST /v1/transfers")
    with pytest.raises(GatewayUnknown):
        await stand.gateway.transfer(order)
    sent = await stand.gateway.transfer(order)
    assert await stand.gateway.look_up_transfers(group) == (sent,)
    assert (sent.transfer_id, sent.account_id, sent.amount_minor) == (order.transfer_id, account, 8_000)
    assert (sent.charge_id, sent.reversed_minor, sent.currency) == (paid.charge_id, 0, "EUR")
    assert [one async for one in stand.gateway.list_transfers(just_now()) if one.account_id == account] == [sent]
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.transfer(transfer_order(account, 2_001, charge_id=paid.charge_id))
    assert refused.value.kind is RefusalKind.AMOUNT


async def test_a_transfer_is_taken_back_in_parts(stand: StripeStand) -> None:
    account = await provider(stand)
    paid = await stand.paid()
    sent = await stand.gateway.transfer(transfer_order(account, 8_000, charge_id=paid.charge_id))
    order = reversal_order(sent.processor_id, 3_000)
    parts = [await stand.gateway.reverse_transfer(order) for _ in range(2)]
    assert parts[0] == parts[1]
    assert (parts[0].reversal_id, parts[0].amount_minor) == (order.reversal_id, 3_000)
    now = await stand.gateway.find_transfer(sent.processor_id)
    assert now is not None
    assert (now.reversed_minor, now.reversals) == (3_000, (parts[0],))
    for amount in (5_001, 8_000):
        with pytest.raises(GatewayRefused) as refused:
            await stand.gateway.reverse_transfer(reversal_order(sent.processor_id, amount))
        assert refused.value.kind is RefusalKind.AMOUNT
    await stand.gateway.reverse_transfer(reversal_order(sent.processor_id, 5_000))
    with pytest.raises(GatewayRefused):
        await stand.gateway.reverse_transfer(reversal_order(sent.processor_id, 1))


async def test_what_is_paid_out_does_not_come_back(stand: StripeStand) -> None:
    account = await provider(stand)
    paid = await stand.paid()
    sent = await stand.gateway.transfer(transfer_order(account, 8_000, charge_id=paid.charge_id))
    await stand.sandbox.v1.payouts.create_async({"amount": 8_000, "currency": "eur"}, {"stripe_account": account})
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.reverse_transfer(reversal_order(sent.processor_id, 8_000))
    assert refused.value.kind is RefusalKind.FUNDS


async def test_the_balance_has_to_cover_it(stand: StripeStand) -> None:
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.transfer(transfer_order(await provider(stand), 99_000_000))
    assert refused.value.kind is RefusalKind.FUNDS
    before = {one.currency: one.available_minor for one in await stand.gateway.balance()}
    await stand.paid(amount_minor=777)
    after = {one.currency: one.available_minor for one in await stand.gateway.balance()}
    assert after["EUR"] == before.get("EUR", 0) + 777


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_is_onboarded(stand: StripeStand) -> None:
    order = AccountOrder(uuid4(), uuid4(), "DE", uuid4().hex)
    made = await stand.gateway.create_account(order)
    assert await stand.gateway.create_account(order) == made
    assert (made.provider_id, made.can_receive, made.payouts_enabled) == (order.provider_id, False, False)
    assert made.requirements
    link = await stand.gateway.onboarding_link(
        made.account_id, return_url="https://shop.example/b", refresh_url="https://shop.example/r"
    )
    assert link.url.startswith(stand.sandbox.url)
    await stand.sandbox.control(f"onboard/{link.url.rpartition('/')[2]}/finish", outcome="complete")
    ready = await stand.gateway.find_account(made.account_id)
    assert ready is not None
    assert (ready.can_receive, ready.payouts_enabled, ready.details_submitted) == (True, True, True)
    assert (ready.requirements, ready.disabled_reason) == ((), None)
    event = stand.gateway.read_event(await stand.delivered("account.updated"))
    assert (event.object_kind, event.account) == (ObjectKind.ACCOUNT, event.object_id)
    assert await stand.gateway.find_account("acct_nobody") is None


# ── saved methods ─────────────────────────────────────────────────────────────────────────────────────


async def saved(stand: StripeStand, card: str) -> tuple[str, str]:
    """A customer and a card of theirs, saved without a payment."""
    customer = await stand.gateway.create_customer(
        CustomerOrder(str(uuid4()), uuid4(), uuid4().hex, "guest@example.com", "Ana")
    )
    setup = await stand.gateway.start_setup(SetupOrder(uuid4(), uuid4(), customer, uuid4().hex))
    assert (setup.phase, setup.method_id, setup.customer_id) == (SetupPhase.CREATED, None, customer)
    await stand.sandbox.control(f"intents/{setup.processor_id}/pay", card=card)
    done = await stand.gateway.find_setup(setup.processor_id)
    assert done is not None
    if done.phase is SetupPhase.NEEDS_ACTION:
        assert done.redirect_url
        await stand.sandbox.control(f"intents/{setup.processor_id}/authenticate", outcome="complete")
        done = await stand.gateway.find_setup(setup.processor_id)
    assert done is not None
    assert (done.phase, done.method_id is not None) == (SetupPhase.SUCCEEDED, True)
    return customer, str(done.method_id)


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_authenticationRequiredOnSetup"])
async def test_a_fee_is_charged_while_the_guest_is_away(stand: StripeStand, card: str) -> None:
    customer, method = await saved(stand, card)
    fee = await stand.paid(customer_id=customer, method_id=method, is_off_session=True, return_url=None)
    assert (fee.phase, fee.customer_id, fee.method_id) == (IntentPhase.SUCCEEDED, customer, method)


async def test_a_bank_that_wants_its_customer_declines_while_the_guest_is_away(stand: StripeStand) -> None:
    customer, method = await saved(stand, "pm_card_authenticationRequired")
    with pytest.raises(Declined) as declined:
        await stand.paid(customer_id=customer, method_id=method, is_off_session=True)
    assert declined.value.code == "authentication_required"
    assert declined.value.snapshot is not None
    # Back on the page, the guest answers the bank.
    processor_id = declined.value.snapshot.processor_id
    again = ConfirmOrder(processor_id, method, uuid4().hex, "https://shop.example/back")
    asked = await stand.gateway.confirm_payment(again)
    assert (asked.phase, bool(asked.redirect_url)) == (IntentPhase.NEEDS_ACTION, True)
    await stand.sandbox.control(f"intents/{processor_id}/authenticate", outcome="complete")
    assert (await found(stand, asked)).phase is IntentPhase.SUCCEEDED


async def test_a_card_that_cannot_be_saved(stand: StripeStand) -> None:
    customer = await stand.gateway.create_customer(CustomerOrder("7", uuid4(), uuid4().hex))
    setup = await stand.gateway.start_setup(SetupOrder(uuid4(), uuid4(), customer, uuid4().hex))
    await stand.sandbox.control(f"intents/{setup.processor_id}/pay", card="pm_card_visa_chargeDeclined")
    failed = await stand.gateway.find_setup(setup.processor_id)
    assert failed is not None
    assert (failed.phase, failed.decline is not None) == (SetupPhase.FAILED, True)


async def test_a_card_is_saved_with_a_payment(stand: StripeStand) -> None:
    customer = await stand.gateway.create_customer(CustomerOrder("8", uuid4(), uuid4().hex))
    paid = await stand.paid(customer_id=customer, save_method=True)
    assert paid.method_id is not None
    again = await stand.paid(customer_id=customer, method_id=paid.method_id, is_off_session=True)
    assert again.phase is IntentPhase.SUCCEEDED


# ── the rest ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_is_for_one_order(stand: StripeStand) -> None:
    order = stand.order()
    await stand.gateway.create_payment(order)
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.create_payment(stand.order(idempotency_key=order.idempotency_key))
    assert refused.value.kind is RefusalKind.KEY_REUSED


@pytest.mark.parametrize(
    ("card", "last"), [("pendingRefund", RefundPhase.SUCCEEDED), ("refundFail", RefundPhase.FAILED)]
)
async def test_a_refund_settles_later(stand: StripeStand, card: str, last: RefundPhase) -> None:
    paid = await stand.paid(method_id=f"pm_card_{card}")
    refund = await stand.gateway.refund(refund_order(paid, 4_000))
    await stand.sandbox.until("refunds", refund.refund.id, last.value)
    now = await found(stand, paid)
    assert [(one.id, one.phase) for one in now.intent.refunds] == [(refund.refund.id, last)]
    assert now.refunded_minor == (0 if last is RefundPhase.FAILED else 4_000)


async def test_more_refunds_than_one_page_shows(stand: StripeStand) -> None:
    paid = await stand.paid()
    await asyncio.gather(*(stand.gateway.refund(refund_order(paid, 100)) for _ in range(12)))
    assert (await found(stand, paid)).refunded_minor == 1_200


async def test_a_question_of_the_bank_is_no_dispute(stand: StripeStand) -> None:
    paid = await stand.paid(method_id="pm_card_createDisputeInquiry")
    event = stand.gateway.read_event(await stand.delivered("charge.dispute.created"))
    assert event.object_kind is ObjectKind.DISPUTE
    assert (await found(stand, paid)).intent.disputes == ()


async def test_a_payment_is_found_by_its_charge(stand: StripeStand) -> None:
    paid = await stand.paid()
    by_charge = await stand.gateway.payment_of(ObjectKind.CHARGE, str(paid.charge_id))
    assert by_charge is not None
    assert by_charge.processor_id == paid.processor_id


async def test_the_version_is_the_packages(stand: StripeStand) -> None:
    assert stripe.api_version == API_VERSION
    assert stand.gateway.capabilities >= {Capability.TRANSFERS, Capability.ACCOUNTS}
    assert not StripeConnection(KEY, http=stand._http).is_live
    assert StripeConnection("sk_live_0", http=stand._http).is_live


@pytest.mark.parametrize(
    ("minor", "currency", "there"),
    [
        (1_250, "EUR", 1_250),
        (1_250, "JPY", 1_250),
        (5, "ISK", 500),
        (5, "UGX", 500),
        (500, "MGA", 5),
        (12_340, "KWD", 12_340),
        (123_456_789_00, "ARS", 123_456_789_00),
    ],
)
def test_amounts_as_stripe_wants_them(minor: int, currency: str, there: int) -> None:
    assert to_stripe(minor, currency) == there
    assert from_stripe(there, currency.lower()) == minor


@pytest.mark.parametrize(("minor", "currency"), [(12_345, "KWD"), (550, "MGA"), (0, "EUR"), (-5, "ISK"), (5, "CLF")])
def test_amounts_that_cannot_be_charged(minor: int, currency: str) -> None:
    with pytest.raises(GatewayRefused) as refused:
        to_stripe(minor, currency)
    assert refused.value.kind is RefusalKind.AMOUNT


def test_every_currency_that_is_taken_goes_there_and_back() -> None:
    taken = [code for code in EXPONENTS if is_taken(code)]
    assert len(taken) > 130
    for code in taken:
        assert from_stripe(to_stripe(12_300, code), code) == 12_300
