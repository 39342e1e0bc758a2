"""The price of a booking that is being made: that of its hold, whatever rules, terms and prices became meanwhile."""

from __future__ import annotations

from uuid import UUID

from app.commands.booking_payment import FrozenTerms
from app.domain.errors import NotAllowed
from app.domain.money import format_amount
from app.domain.price_quote import FeeRates, with_platform_fee
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.models import Hold
from app.queries.payment_terms import PaymentTerms


def set_platform_fee(hold: Hold, account: UUID | None, terms: PaymentTerms, fees: FeeRates) -> None:
    """Whoever held as a guest may book as a member, and staff hold for guests: the platform's part follows who books.

    The customer pays the same. `hold` belongs to no session; its row keeps what was locked.
    """
    if hold.quote is None or (account is not None) == (hold.user_id is not None):
        return
    fee_bps = terms.fee_bps(fees, is_member=account is not None)
    hold.quote = quote_to_json(with_platform_fee(quote_from_json(hold.quote), fee_bps))


def check_chargeable(frozen: FrozenTerms, terms: PaymentTerms) -> None:
    """Raises NotAllowed for less than the processor charges at once."""
    quote = frozen.quote
    if quote is not None and 0 < frozen.due_minor < quote.terms.minimum_charge_minor:
        least = format_amount(quote.terms.minimum_charge_minor, quote.currency)
        otherwise = ": choose PAY_ON_ARRIVAL." if terms.accepts_pay_on_arrival else "."
        message = f"Less than {least} {quote.currency} cannot be paid online{otherwise}"
        raise NotAllowed("pay_now_too_little", message)
