"""Pages for developers: what is open, and what can be done about it by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape

from app.sandbox.mercadopago.pages import tables as mercadopago_tables
from app.sandbox.stripe import deliveries
from app.sandbox.stripe.accounts import AccountState
from app.sandbox.stripe.actions import DISPUTE_REASONS
from app.sandbox.stripe.cards import CARDS
from app.sandbox.stripe.errors import Json, missing
from app.sandbox.stripe.html import choice, code, entry, form, link, page, table
from app.sandbox.stripe.store import PLATFORM, Page
from app.sandbox.stripe.work import Work

SHOWN = 25
_WITHOUT_CENTS = frozenset({"clp", "jpy", "krw", "pyg", "vnd"})
_WITH_MILLS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_FINISHED = frozenset({"succeeded", "canceled"})


def overview(work: Work, notice: str) -> bytes:
    """Everything at a glance."""
    intents = work.store.page(PLATFORM, "payment_intent", Page(200))
    waiting = [intent for intent in intents if intent["status"] not in _FINISHED][:SHOWN]
    return page(
        "Overview",
        table("Open payments", ("Payment", "Amount", "State", "Made", "What for"), map(_intent_row, waiting)),
        table("Finished payments", ("Payment", "Amount", "State", "Made", "What for"),
              map(_intent_row, [i for i in intents if i["status"] in _FINISHED][:SHOWN])),
        table("Connected accounts", ("Account", "E-mail", "Can be paid out", "Balance"),
              (_account_row(work, one) for one in work.store.page(PLATFORM, "account", Page(SHOWN)))),
        table("Disputes", ("Dispute", "Amount", "Reason", "State", "Decide"),
              map(_dispute_row, work.store.page(PLATFORM, "dispute", Page(SHOWN)))),
        mercadopago_tables(work),
        _deliveries(work),
        _faults(work),
        notice=notice,
    )  # fmt: skip


def intent_page(work: Work, intent_id: str, notice: str) -> bytes:
    """One payment (or saved card): pay it, fail it, authenticate, dispute."""
    intent = _need(work, intent_id, ("payment_intent", "setup_intent"))
    parts = [f"<p>State: <strong>{escape(intent['status'])}</strong>{_last_error(intent)}</p>"]
    if intent["object"] == "payment_intent":
        parts.insert(0, f"<p>{escape(money(intent['amount'], intent['currency']))}, {_what_for(intent)}</p>")
    if intent["status"] in {"requires_payment_method", "requires_confirmation"}:
        parts.append(_payment_forms(intent))
    if intent["status"] == "requires_action":
        parts.append(f"<p>{link(f'authenticate/{intent_id}', 'The bank asks: go to 3-D Secure')}</p>")
    if intent["status"] == "requires_capture":
        parts.append(form(f"intents/{intent_id}/expire", "Let the authorization run out", is_quiet=True))
    if intent["status"] == "succeeded" and intent["object"] == "payment_intent":
        parts.append(_dispute_form(intent["latest_charge"]))
    back = intent.get("_return_url")
    if back and not back.startswith(work.settings.public_url):
        parts.append(f'<p><a href="{escape(return_address(intent))}">Back to the shop</a></p>')
    return page(f"Payment {intent_id}" if "amount" in intent else f"Card {intent_id}", *parts, notice=notice)


def authentication_page(work: Work, intent_id: str, notice: str) -> bytes:
    """What a bank shows its customer."""
    intent = _need(work, intent_id, ("payment_intent", "setup_intent"))
    if intent["status"] != "requires_action":
        return intent_page(work, intent_id, "Nobody is asked to authenticate this any more.")
    what = money(intent["amount"], intent["currency"]) if "amount" in intent else "saving the card"
    action = f"intents/{intent_id}/authenticate"
    return page(
        "3-D Secure",
        f"<p>A bank would ask its customer here to confirm: {escape(what)}.</p>",
        form(action, "Complete authentication", hidden={"outcome": "complete"}),
        form(action, "Fail authentication", hidden={"outcome": "fail"}, is_quiet=True),
        notice=notice,
    )


def onboarding_page(work: Work, link_id: str, notice: str) -> bytes:
    """What a provider fills in at Stripe."""
    made = work.find("account_link", link_id)
    if made is None:
        raise missing("account_link", link_id[:80])
    if made["_is_used"] or made["expires_at"] <= work.now:
        text = "<p>This link was used or is too old.</p>"
        return page("Onboarding", text, f'<p><a href="{escape(made["_refresh_url"])}">Get a new one</a></p>')
    return page(
        "Onboarding",
        f"<p>Account {code(made['_account'])} would give its name, its bank account and its papers here.</p>",
        form(f"onboard/{link_id}/finish", "Complete onboarding", hidden={"outcome": "complete"}),
        form(f"onboard/{link_id}/finish", "Leave without completing", hidden={"outcome": "leave"}, is_quiet=True),
        notice=notice,
    )


def account_page(work: Work, account_id: str, notice: str) -> bytes:
    """A connected account: its state, money and payouts."""
    account = _need(work, account_id, ("account",))
    there = work.of(account_id)
    sums = there.store.funds(account_id, work.now)
    return page(
        f"Account {account_id}",
        f"<p>{escape(account['email'] or 'No e-mail')}; payouts {_enabled(account)}.</p>",
        form(f"accounts/{account_id}/state", "Put into this state",
             choice("state", "State", [(state.value, state.value) for state in AccountState])),
        table("Balance", ("Currency", "Available", "Pending"),
              ([escape(name), escape(money(now, name)), escape(money(later, name))]
               for name, (now, later) in sums.items())),
        table("Payouts", ("Payout", "Amount", "State", "Finish"),
              map(_payout_row, work.store.page(account_id, "payout", Page(SHOWN)))),
        notice=notice,
    )  # fmt: skip


PAGES: dict[str, Callable[[Work, str, str], bytes]] = {
    "pay": intent_page,
    "intents": intent_page,
    "authenticate": authentication_page,
    "onboard": onboarding_page,
    "accounts": account_page,
}
"""`GET /_sandbox/NAME/ID`."""


def return_address(intent: Json) -> str:
    """The shop's page after a payment, with what Stripe adds to it."""
    kind = intent["object"]
    mark = "&" if "?" in intent["_return_url"] else "?"
    status = "succeeded" if intent["status"] in {"succeeded", "requires_capture"} else "failed"
    return (
        f"{intent['_return_url']}{mark}{kind}={intent['id']}&{kind}_client_secret={intent['client_secret']}"
        f"&redirect_status={status}"
    )


def money(amount: int, currency: str) -> str:
    """Minor units as people write them."""
    places = 0 if currency in _WITHOUT_CENTS else 3 if currency in _WITH_MILLS else 2
    return f"{amount / 10**places:,.{places}f} {currency.upper()}"


def _intent_row(intent: Json) -> list[str]:
    return [
        link(f"intents/{intent['id']}", intent["id"]),
        escape(money(intent["amount"], intent["currency"])),
        escape(intent["status"]),
        _time(intent["created"]),
        _what_for(intent),
    ]


def _account_row(work: Work, account: Json) -> list[str]:
    sums = work.store.funds(account["id"], work.now)
    held = ", ".join(money(now + later, name) for name, (now, later) in sums.items())
    return [
        link(f"accounts/{account['id']}", account["id"]),
        escape(account["email"] or "none"),
        _enabled(account),
        escape(held or "none"),
    ]


def _dispute_row(dispute: Json) -> list[str]:
    action, name = f"disputes/{dispute['id']}/decide", dispute["id"]
    is_open = dispute["status"] not in {"won", "lost", "warning_closed"}
    buttons = [
        form(action, label, hidden={"outcome": outcome}, is_quiet=True, about=name)
        for outcome, label in (("won", "Shop wins"), ("lost", "Shop loses"))
    ]
    return [
        code(dispute["id"]),
        escape(money(dispute["amount"], dispute["currency"])),
        escape(dispute["reason"]),
        escape(dispute["status"]),
        "".join(buttons) if is_open else "decided",
    ]


def _payout_row(payout: Json) -> list[str]:
    action = f"payouts/{payout['id']}/finish"
    can_fail = payout["status"] in {"pending", "in_transit", "paid"}
    fails = form(action, "Let it fail", hidden={"outcome": "failed"}, is_quiet=True, about=payout["id"])
    amount = escape(money(payout["amount"], payout["currency"]))
    return [code(payout["id"]), amount, escape(payout["status"]), fails if can_fail else "finished"]


def _deliveries(work: Work) -> str:
    rows = (
        [
            code(one.event),
            escape(one.event_type),
            escape(f"{one.state}, {one.attempts} attempts"),
            escape(str(one.status or one.error or "not tried")),
            form(f"deliveries/{one.seq}/resend", "Resend", is_quiet=True, about=f"{one.event_type} {one.event}"),
        ]
        for one in deliveries.latest(work.store, SHOWN)
    )
    return table("Latest webhooks", ("Event", "Type", "State", "Last answer", "Again"), rows)


def _faults(work: Work) -> str:
    rows = (
        [code(one["id"]), escape(one["kind"]), code(one["match"]), f"{one['hit']} of {one['seen']} seen"]
        for one in work.faults.listed()
    )
    return table("Faults in force", ("Rule", "Kind", "Matches", "Struck"), rows)


def _payment_forms(intent: Json) -> str:
    cards = [(f"pm_card_{card.tokens[0]}", f"{card.number} · {card.shows}") for card in CARDS]
    pay = form(
        f"intents/{intent['id']}/pay",
        "Pay" if "amount" in intent else "Save the card",
        choice("card", "Test card", cards),
        entry("number", "or a card number"),
        hidden={"return_url": intent["_return_url"]} if intent.get("_return_url") else None,
    )
    if "amount" not in intent:
        return pay
    return pay + form(f"intents/{intent['id']}/fail", "Fail the payment", is_quiet=True)


def _dispute_form(charge_id: str) -> str:
    reasons = [(reason, reason.replace("_", " ")) for reason in DISPUTE_REASONS]
    return form(f"charges/{charge_id}/dispute", "Open a dispute", choice("reason", "Reason", reasons), is_quiet=True)


def _last_error(intent: Json) -> str:
    error = intent.get("last_payment_error") or intent.get("last_setup_error")
    return f". Last attempt: {escape(error['message'])}" if error else ""


def _what_for(intent: Json) -> str:
    facts = [intent["description"] or "", *(f"{name}={value}" for name, value in intent["metadata"].items())]
    return escape(", ".join(fact for fact in facts if fact)[:300]) or "no description"


def _enabled(account: Json) -> str:
    return "enabled" if account["payouts_enabled"] else "not enabled"


def _time(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M:%S} UTC</time>'


def _need(work: Work, object_id: str, kinds: tuple[str, ...]) -> Json:
    found = work.store.find(object_id)
    if found is None or found[1]["object"] not in kinds:
        raise missing(kinds[0], object_id[:80])
    return found[1]
