"""What a guest is told of a declined payment: one text for each reason, whatever the processor calls it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from app.gateway import Decline


class Reason(Enum):
    """Text, and whether another attempt (or another card) is worth it."""

    FUNDS = ("The card does not have enough funds. Please try another card.", True)
    EXPIRED = ("The card has expired. Please try another card.", True)
    SECURITY_CODE = ("The card's security code is wrong. Please check it and try again.", True)
    NUMBER = ("The card's number is wrong. Please check it and try again.", True)
    EXPIRY = ("The card's expiry date is wrong. Please check it and try again.", True)
    AUTHENTICATION = ("The bank wants the payment to be confirmed, and it was not. Please try again.", True)
    LIMIT = ("The card has reached its limit. Please try another card, or later again.", True)
    CALL_BANK = ("The bank wants to be asked first. Please call it, or try another card.", True)
    LATER = ("The payment could not be processed. Please try again in a few minutes.", True)
    TWICE = ("A payment like this was made moments ago. Please look whether it went through.", False)
    NOT_SUPPORTED = ("The card cannot be used for this payment. Please try another card.", True)
    # Banks ask that neither the loss nor a suspicion is told to whoever holds the card.
    BLOCKED = ("The payment was declined and cannot be tried again here. Please choose another way to pay.", False)
    DECLINED = ("The bank declined the payment. Please try another card, or ask your bank.", True)

    def decline(self, code: str) -> Decline:
        text, is_retryable = self.value
        return Decline(code, text, is_retryable)


def decline_of(code: str, reasons: Mapping[str, Reason]) -> Decline:
    """`reasons`: by the processor's codes; what is not among them is a plain decline."""
    return reasons.get(code, Reason.DECLINED).decline(code)
