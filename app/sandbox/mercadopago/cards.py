"""MercadoPago's test cards: the number says the brand, the holder's name what becomes of the payment."""

from __future__ import annotations

from dataclasses import dataclass

from app.sandbox.mercadopago.fields import BadRequest, Fields, moment
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.work import Work, fresh_id

TOKEN_S = 7 * 86_400
_YEARS = range(2020, 2100)


@dataclass(frozen=True, slots=True)
class Brand:
    number: str
    method: str
    """`payment_method_id`."""
    kind: str = "credit_card"


BRANDS = (
    Brand("5031755734530604", "master"),
    Brand("4509953566233704", "visa"),
    Brand("371180303257522", "amex"),
    Brand("5287338310253304", "debmaster", "debit_card"),
    Brand("4002768694395619", "debvisa", "debit_card"),
)
_BY_NUMBER = {brand.number: brand for brand in BRANDS}

OUTCOMES: dict[str, tuple[str, str, str]] = {
    "APRO": ("approved", "accredited", "Approved"),
    "OTHE": ("rejected", "cc_rejected_other_reason", "Declined"),
    "CONT": ("in_process", "pending_contingency", "Pending, until it is decided here"),
    "CALL": ("rejected", "cc_rejected_call_for_authorize", "Declined: call the bank"),
    "FUND": ("rejected", "cc_rejected_insufficient_amount", "Declined: insufficient funds"),
    "SECU": ("rejected", "cc_rejected_bad_filled_security_code", "Declined: wrong security code"),
    "EXPI": ("rejected", "cc_rejected_bad_filled_date", "Declined: wrong expiry date"),
    "FORM": ("rejected", "cc_rejected_bad_filled_other", "Declined: an error in the form"),
    "CARD": ("rejected", "cc_rejected_bad_filled_card_number", "Declined: wrong card number"),
    "INST": ("rejected", "cc_rejected_invalid_installments", "Declined: no such installments"),
    "DUPL": ("rejected", "cc_rejected_duplicated_payment", "Declined: paid twice"),
    "LOCK": ("rejected", "cc_rejected_card_disabled", "Declined: card is locked"),
    "CTNA": ("rejected", "cc_rejected_card_type_not_allowed", "Declined: kind of card not allowed"),
    "ATTE": ("rejected", "cc_rejected_max_attempts", "Declined: too many attempts"),
    "BLAC": ("rejected", "cc_rejected_blacklist", "Declined: blacklisted"),
}
"""The holder's name → status, detail, and what it does for people. Any other name is approved."""


def create_token(work: Work, fields: Fields) -> Json:
    """`POST /v1/card_tokens`, as the form in the browser sends it."""
    number = fields.need_text("card_number").replace(" ", "")
    brand = _BY_NUMBER.get(number)
    if brand is None:
        raise BadRequest("invalid parameter cardNumber", "E301")
    month, year = fields.whole("expiration_month"), fields.whole("expiration_year")
    if month is None or not 1 <= month <= 12:
        raise BadRequest("invalid parameter cardExpirationMonth", 325)
    if year is None or year not in _YEARS:
        raise BadRequest("invalid parameter cardExpirationYear", 326)
    if not fields.need_text("security_code").isdigit():
        raise BadRequest("invalid parameter securityCode", "E302")
    holder = fields.section("cardholder").text("name") or ""
    if not holder:
        raise BadRequest("parameter cardholderName can not be null/empty", 221)
    return _save(work, brand, holder, month, year)


def token_of(work: Work, brand: Brand, holder: str) -> Json:
    """What the checkout page's own form makes."""
    return _save(work, brand, holder, 11, 2030)


def use_token(work: Work, token_id: str) -> Json:
    """The token, used up. Raises BadRequest."""
    token = work.find("mp_card_token", token_id)
    if token is None or token["created"] + TOKEN_S <= work.now:
        raise BadRequest("Card Token not found", 2006)
    if token["status"] != "active":
        raise BadRequest("Card token was used, please create a new", 3003)
    work.save({**token, "status": "used"})
    return token


def brand_of(number: str) -> Brand | None:
    return _BY_NUMBER.get(number)


def _save(work: Work, brand: Brand, holder: str, month: int, year: int) -> Json:
    token: Json = {
        "id": fresh_id("", 32)[1:].lower(),
        "object": "mp_card_token",
        "created": work.now,
        "status": "active",
        "first_six_digits": brand.number[:6],
        "last_four_digits": brand.number[-4:],
        "expiration_month": month,
        "expiration_year": year,
        "cardholder": {"name": holder, "identification": {"number": "12345678", "type": "DNI"}},
        "date_created": moment(work.now),
        "date_due": moment(work.now + TOKEN_S),
        "luhn_validation": True,
        "live_mode": False,
        "require_esc": False,
        "_number": brand.number,
    }
    return work.save(token)
