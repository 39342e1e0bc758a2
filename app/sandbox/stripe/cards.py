"""Stripe's test cards: what each number, and each token that stands for it, does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Authentication(Enum):
    """Whether the bank asks its customer before the payment (3-D Secure)."""

    NEVER = "never"
    UNLESS_SET_UP = "unless_set_up"
    """Not for payments without the customer, once the card was saved for them."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a bank refuses. `decline_code` None: the code says it all."""

    code: str
    message: str
    decline_code: str | None = None


@dataclass(frozen=True, slots=True)
class TestCard:
    """`tokens`: the names that stand for it, without `pm_card_` or `tok_`; the first is shown."""

    number: str
    tokens: tuple[str, ...]
    shows: str
    """What it does, for people."""
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: Decline | None = None
    declines_setup: bool = True
    """Whether saving it is declined too, not only charging it."""
    authentication: Authentication = Authentication.NEVER
    dispute_reason: str | None = None
    is_inquiry: bool = False
    """Its dispute is only a question: no money is taken back."""
    refund: str = "succeeded"
    """What becomes of a refund: succeeded, pending (then succeeded) or failed (after succeeded)."""

    @property
    def last4(self) -> str:
        return self.number[-4:]


_DECLINED = "Your card was declined."


def _declined(decline_code: str, message: str = _DECLINED) -> Decline:
    return Decline("card_declined", message, decline_code)


CARDS: tuple[TestCard, ...] = (
    TestCard("4242424242424242", ("visa", "us"), "Succeeds"),
    TestCard("4000056655665556", ("visa_debit",), "Succeeds (debit)", funding="debit"),
    TestCard("5555555555554444", ("mastercard",), "Succeeds (Mastercard)", brand="mastercard"),
    TestCard("378282246310005", ("amex",), "Succeeds (American Express)", brand="amex"),
    TestCard("4000002760000016", ("de",), "Succeeds (issued in Germany)", country="DE"),
    TestCard("4000000320000021", ("ar",), "Succeeds (issued in Argentina)", country="AR"),
    TestCard("4000000000000077", ("bypassPending",), "Succeeds, and the money is available at once"),
    TestCard("4000000000000002", ("visa_chargeDeclined", "chargeDeclined"), "Declined",
             decline=_declined("generic_decline")),
    TestCard("4000000000009995", ("visa_chargeDeclinedInsufficientFunds", "chargeDeclinedInsufficientFunds"),
             "Declined: insufficient funds",
             decline=_declined("insufficient_funds", "Your card has insufficient funds.")),
    TestCard("4000000000009987", ("visa_chargeDeclinedLostCard",), "Declined: lost card",
             decline=_declined("lost_card")),
    TestCard("4000000000009979", ("visa_chargeDeclinedStolenCard",), "Declined: stolen card",
             decline=_declined("stolen_card")),
    TestCard("4000000000006975", ("visa_chargeDeclinedVelocityLimitExceeded",), "Declined: too many payments",
             decline=_declined("card_velocity_exceeded")),
    TestCard("4000000000000069", ("chargeDeclinedExpiredCard",), "Declined: expired card",
             decline=Decline("expired_card", "Your card has expired.", "expired_card")),
    TestCard("4000000000000127", ("chargeDeclinedIncorrectCvc",), "Declined: wrong security code",
             decline=Decline("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc")),
    TestCard("4000000000000119", ("chargeDeclinedProcessingError",), "Declined: processing error",
             decline=Decline("processing_error", "An error occurred while processing your card. Try again in a "
                             "little bit.", "processing_error")),
    TestCard("4100000000000019", ("radarBlock", "chargeDeclinedFraudulent"), "Blocked as fraudulent",
             decline=_declined("fraudulent")),
    TestCard("4000000000000341", ("chargeCustomerFail", "chargeDeclinedAfterAttach"), "Can be saved, then is declined",
             decline=_declined("generic_decline"), declines_setup=False),
    TestCard("4000000000003220", ("threeDSecure2Required", "threeDSecureRequired"), "Asks for 3-D Secure",
             authentication=Authentication.ALWAYS),
    TestCard("4000002760003184", ("authenticationRequired",), "Asks for 3-D Secure, always",
             country="DE", authentication=Authentication.ALWAYS),
    TestCard("4000002500003155", ("authenticationRequiredOnSetup",), "Asks for 3-D Secure unless it was saved before",
             country="FR", authentication=Authentication.UNLESS_SET_UP),
    TestCard("4000008400001629", ("threeDSecureRequiredChargeDeclined",), "3-D Secure, then declined",
             authentication=Authentication.ALWAYS, decline=_declined("generic_decline")),
    TestCard("4000008260003178", ("authenticationRequiredChargeDeclinedInsufficientFunds",),
             "3-D Secure, then declined: insufficient funds", country="GB", authentication=Authentication.ALWAYS,
             decline=_declined("insufficient_funds", "Your card has insufficient funds.")),
    TestCard("4000000000000259", ("createDispute",), "Succeeds, then is disputed as fraudulent",
             dispute_reason="fraudulent"),
    TestCard("4000000000002685", ("createDisputeProductNotReceived",), "Succeeds, then is disputed: not received",
             dispute_reason="product_not_received"),
    TestCard("4000000000001976", ("createDisputeInquiry",), "Succeeds, then the bank asks about it",
             dispute_reason="fraudulent", is_inquiry=True),
    TestCard("4000000000007726", ("pendingRefund",), "Succeeds; a refund is pending first", refund="pending"),
    TestCard("4000000000005126", ("refundFail",), "Succeeds; a refund fails afterwards", refund="failed"),
)  # fmt: skip

_BY_NUMBER = {card.number: card for card in CARDS}
_BY_TOKEN = {token: card for card in CARDS for token in card.tokens}
INCORRECT_NUMBER = Decline("incorrect_number", "Your card number is incorrect.", "incorrect_number")
_SEPARATORS = re.compile(r"[ \-]")
EXPIRY_YEARS = 4
"""A token's card expires in December this many years ahead."""


def card_of_number(number: str) -> TestCard | Decline:
    """The card, or why there is none. Spaces and hyphens do not matter."""
    digits = _SEPARATORS.sub("", number)
    if digits in _BY_NUMBER:
        return _BY_NUMBER[digits]
    if digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19 and _passes_luhn(digits):
        return _declined(
            "test_mode_live_card",
            "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test "
            "cards, visit: https://stripe.com/docs/testing.",
        )
    return INCORRECT_NUMBER


def card_of_token(token: str) -> TestCard | None:
    """`pm_card_visa`, `tok_visa`."""
    for prefix in ("pm_card_", "tok_"):
        if token.startswith(prefix):
            return _BY_TOKEN.get(token.removeprefix(prefix))
    return None


def _passes_luhn(digits: str) -> bool:
    doubled = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits))]
    return sum(d // 10 + d % 10 for d in doubled) % 10 == 0
