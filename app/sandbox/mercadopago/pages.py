"""MercadoPago's checkout page, and its part of the overview."""

from __future__ import annotations

from html import escape

from app.sandbox.mercadopago import ACCOUNT
from app.sandbox.mercadopago.cards import OUTCOMES
from app.sandbox.mercadopago.fields import BadRequest, Fields
from app.sandbox.mercadopago.preferences import get_preference, is_over, total
from app.sandbox.stripe.errors import Json, Refusal
from app.sandbox.stripe.html import choice, code, form, link, page, table
from app.sandbox.stripe.store import Page
from app.sandbox.stripe.work import Work

_SHOWN = 25


def checkout_page(work: Work, preference_id: str, notice: str) -> bytes:
    """What a guest pays on: choose what becomes of it."""
    there = work.of(ACCOUNT)
    try:
        preference = get_preference(there, Fields({}), preference_id)
    except BadRequest as refusal:
        raise Refusal(str(refusal), status=refusal.status) from refusal
    item = preference["items"][0]
    parts = [f"<p>{escape(_money(total(preference), item['currency_id']))}, {escape(item['title'])}</p>"]
    if is_over(there, preference):
        parts.append("<p>This checkout is over: nothing can be paid here any more.</p>")
    else:
        holders = [(name, f"{name} · {text}") for name, (_, _, text) in OUTCOMES.items()]
        parts.append(form(f"checkout/{preference_id}/pay", "Pay", choice("holder", "Name on the card", holders)))
    back = preference["back_urls"]["failure"]
    if back:
        parts.append(f'<p><a href="{escape(back)}">Back to the shop</a></p>')
    return page("MercadoPago checkout", *parts, notice=notice)


def tables(work: Work) -> str:
    """Open checkouts and latest payments; nothing where MercadoPago was not used."""
    there = work.of(ACCOUNT)
    preferences = there.store.page(ACCOUNT, "mp_preference", Page(_SHOWN))
    payments = there.store.page(ACCOUNT, "mp_payment", Page(_SHOWN))
    if not preferences and not payments:
        return ""
    checkouts = (
        [
            link(f"checkout/{one['id']}", one["id"]),
            escape(_money(total(one), one["items"][0]["currency_id"])),
            escape(one["items"][0]["title"]),
            "over" if is_over(there, one) else "open",
        ]
        for one in preferences
    )
    return table("MercadoPago checkouts", ("Checkout", "Amount", "What for", "State"), checkouts) + table(
        "MercadoPago payments", ("Payment", "Amount", "State", "Act"), map(_payment_row, payments)
    )


def _payment_row(payment: Json) -> list[str]:
    name, status = payment["id"], payment["status"]
    buttons = []
    if status == "in_process":
        buttons = [("review", "outcome", "approved", "Approve"), ("review", "outcome", "rejected", "Reject")]
    elif status == "approved":
        buttons = [("dispute", "reason", "general", "Charge back")]
    elif status == "charged_back" and payment["status_detail"] == "in_process":
        buttons = [("decide", "outcome", "won", "Shop wins"), ("decide", "outcome", "lost", "Shop loses")]
    acts = "".join(
        form(f"mercadopago/{name}/{verb}", label, hidden={field: value}, is_quiet=True, about=name)
        for verb, field, value, label in buttons
    )
    state = f"{status} ({payment['status_detail']})"
    amount = _money(payment["transaction_amount"], payment["currency_id"])
    return [code(name), escape(amount), escape(state), acts or "none"]


def _money(hundredths: int, currency: str) -> str:
    return f"{hundredths / 100:,.2f} {currency}"
