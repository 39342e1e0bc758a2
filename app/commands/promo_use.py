"""A booking's promo code: it lowers the price that was locked, and is counted with the booking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, text

from app.core.database import Tx
from app.domain.errors import NotAllowed
from app.domain.price_quote import Quote, apply_promo
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.promo import Promo, PromoRefusal, PromoRefused, PromoUses, check_promo
from app.models import Booking, Hold, PromoCode
from app.queries.promo import count_uses, find_promo_code, promo_of


def locked_quote(hold: Hold) -> Quote:
    """Raises NotAllowed for a hold that was made by a release that knew no codes."""
    if hold.quote is None:
        raise NotAllowed("promo_codes_unavailable", "No promo code can be used with this hold: hold the time again.")
    return quote_from_json(hold.quote)


@dataclass(frozen=True, slots=True)
class LoweredQuote:
    """The locked price with a code that counts for it, whoever the customer is. `check`: once more, with other uses."""

    quote: Quote
    row: PromoCode
    check: Callable[[PromoUses], Promo]


async def lowered_quote(
    tx: Tx, hold: Hold, typed: str, *, now: datetime, path: str = "input.promoCode"
) -> LoweredQuote:
    """One statement. Raises PromoRefused, and as `locked_quote`."""
    locked = locked_quote(hold)
    row = await find_promo_code(tx, hold.organization_id, typed)
    if row is None:
        raise PromoRefused(PromoRefusal.UNKNOWN, path=path)
    promo = promo_of(row)

    def check(uses: PromoUses) -> Promo:
        eligible = locked.eligible_minor(promo)
        return check_promo(promo, now=now, currency=locked.currency, eligible_minor=eligible, uses=uses, path=path)

    check(PromoUses(row.uses))
    lowered = apply_promo(locked, promo)
    if lowered.promo_id != promo.id:
        raise PromoRefused(PromoRefusal.NO_EFFECT, path=path)
    return LoweredQuote(lowered, row, check)


async def check_customer(tx: Tx, lowered: LoweredQuote | None, *, account: UUID | None, email: str | None) -> None:
    """May the customer with this account or e-mail address (both None: not known) use it? One statement at most.

    The last thing to ask: else a booking that cannot be made would tell who was here before, and the time that a
    refusal takes which codes there are. Raises PromoRefused.
    """
    if lowered is not None:
        lowered.check(await count_uses(tx, lowered.row, account=account, email=email))


async def apply_code(tx: Tx, hold: Hold, typed: str | None, *, now: datetime) -> LoweredQuote | None:
    """Brings the code into a hold that belongs to no session: what is made of it costs less. None, and nothing asked,
    without a code.

    The hold's row keeps the price that was locked. `check_customer` comes later. Raises as `lowered_quote`.
    """
    if typed is None:
        return None
    lowered = await lowered_quote(tx, hold, typed, now=now)
    quote = lowered.quote
    hold.quote = quote_to_json(quote)
    hold.price_minor = quote.total_minor
    hold.promo_code_id = quote.promo_id
    if hold.items is not None:
        parts = zip(hold.items, quote.item_totals(), strict=True)
        hold.items = [{**item, "priceMinor": price} for item, price in parts]
    return lowered


_TAKE = text("SELECT take_promo_use(:organization, :promo, :booking, :customer, :discount)").bindparams(
    bindparam("discount", type_=BigInteger)
)


async def count_use(tx: Tx, booking: Booking, lowered: LoweredQuote | None) -> None:
    """Counts the code of a booking that is there: the last statement of its command, as the code's row is everybody's.

    One statement, none without a code. Raises PromoRefused when the last use went to somebody else meanwhile.
    """
    if lowered is None:
        return
    values = {
        "organization": booking.organization_id,
        "promo": lowered.row.id,
        "booking": booking.id,
        "customer": booking.customer_id,
        "discount": lowered.quote.discount_minor,
    }
    if not (await tx.execute(_TAKE, values)).scalar_one():
        raise PromoRefused(PromoRefusal.USED_UP)
