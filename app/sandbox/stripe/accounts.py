"""Connected accounts: made by the platform, onboarded on a page, able to be paid."""

from __future__ import annotations

from enum import StrEnum

from app.sandbox.stripe.errors import Json, Refusal, missing
from app.sandbox.stripe.events import emit
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params, merge_metadata
from app.sandbox.stripe.store import PLATFORM
from app.sandbox.stripe.work import Work, fresh_id, stamp

LINK_S = 300
"""An onboarding link's life."""
PLATFORM_ACCOUNT = "acct_sandbox0000000"
_WANTED = ("business_profile.url", "external_account", "individual.first_name", "individual.last_name")
_CURRENCIES = {"AR": "ars", "BR": "brl", "CH": "chf", "CL": "clp", "GB": "gbp", "JP": "jpy", "MX": "mxn", "US": "usd"}


class AccountState(StrEnum):
    """What an account can be put into by hand."""

    ONBOARDED = "onboarded"
    RESTRICTED = "restricted"
    """More is asked of it before it is paid out."""
    REJECTED = "rejected"
    NEW = "new"


def create_account(work: Work, params: Params) -> Json:
    if work.account != PLATFORM:
        raise Refusal("Connected accounts cannot create accounts of their own.")
    country = (params.text("country", longest=2) or work.settings.country).upper()
    account = _blank(work, fresh_id("acct", 16), country)
    account["email"] = params.text("email") or None
    account["type"] = params.text("type", choices=("custom", "express", "standard")) or "none"
    _read(account, params)
    params.done()
    put_into(account, AccountState.NEW)
    work.save(account)
    return account


def get_account(work: Work, params: Params, account_id: str) -> Json:
    params.done()
    return _platform(work) if account_id == PLATFORM_ACCOUNT else _need(work, account_id)


def get_own_account(work: Work, params: Params) -> Json:
    params.done()
    return _platform(work) if work.account == PLATFORM else _need(work, work.account)


def update_account(work: Work, params: Params, account_id: str) -> Json:
    account = _need(work, account_id)
    before = dict(account)
    email = params.text("email")
    account["email"] = account["email"] if email is None else email or None
    _read(account, params)
    params.done()
    save_account(work, account, before)
    return account


def delete_account(work: Work, params: Params, account_id: str) -> Json:
    params.done()
    account = _need(work, account_id)
    sums = work.store.funds(account_id, work.now)
    if any(available or pending for available, pending in sums.values()):
        raise Refusal("Accounts with a balance cannot be deleted.")
    work.store.remove(account["id"])
    return {"id": account_id, "object": "account", "deleted": True}


def list_accounts(work: Work, params: Params) -> Json:
    return list_objects(work, params, "account")


def create_account_link(work: Work, params: Params) -> Json:
    account_id = params.need_text("account")
    params.need_text("type", choices=("account_onboarding", "account_update"))
    urls = {name: params.need_url(name) for name in ("refresh_url", "return_url")}
    params.ignore("collect", "collection_options")
    params.done()
    _need(work, account_id, "account", 400)
    link = stamp(work, "account_link", "link", 32, expires_at=work.now + LINK_S, _account=account_id, _is_used=False)
    work.save({**link, **{f"_{name}": url for name, url in urls.items()}})
    return {
        "object": "account_link",
        "created": link["created"],
        "expires_at": link["expires_at"],
        "url": work.page_url(f"onboard/{link['id']}"),
    }


def create_login_link(work: Work, params: Params, account_id: str) -> Json:
    params.done()
    _need(work, account_id)
    return {"object": "login_link", "created": work.now, "url": work.page_url(f"accounts/{account_id}")}


def put_into(account: Json, state: AccountState) -> None:
    """Set what the account can do, and what is asked of it."""
    is_ready = state is AccountState.ONBOARDED
    wanted = {
        AccountState.NEW: list(_WANTED),
        AccountState.RESTRICTED: ["individual.verification.document"],
        AccountState.REJECTED: [],
        AccountState.ONBOARDED: [],
    }[state]
    reason = {AccountState.REJECTED: "rejected.other", AccountState.ONBOARDED: None}.get(state, "requirements.past_due")
    account["capabilities"] = dict.fromkeys(account["capabilities"], "active" if is_ready else "inactive")
    account |= {
        "charges_enabled": is_ready and "card_payments" in account["capabilities"],
        "payouts_enabled": is_ready,
        "details_submitted": state is not AccountState.NEW,
        "requirements": {
            **_no_requirements(),
            "currently_due": wanted,
            "eventually_due": wanted,
            "past_due": wanted,
            "disabled_reason": reason,
        },
    }


def save_account(work: Work, account: Json, before: Json) -> None:
    """Save it, and tell the platform: the event is one of the connected account."""
    work.save(account)
    emit(work.of(account["id"]), "account.updated", account, before)


def _need(work: Work, account_id: str, param: str = "account", status: int = 404) -> Json:
    """One of the platform's accounts; an account itself sees itself alone."""
    account = work.store.get(PLATFORM, "account", account_id)
    if account is None or work.account not in {PLATFORM, account_id}:
        raise missing("account", account_id, param, status)
    return account


def _read(account: Json, params: Params) -> None:
    account["metadata"] = merge_metadata(account["metadata"], params.metadata())
    account["business_type"] = params.text("business_type") or account["business_type"]
    for name in ("business_profile", "company", "individual", "settings", "controller"):
        sent = params.anything(name)
        if sent and name in account:
            account[name] = _merged(account[name], sent)
    for name, wish in (params.anything("capabilities") or {}).items():
        if isinstance(wish, dict) and wish.get("requested") == "true":
            account["capabilities"] = {**account["capabilities"], name: account["capabilities"].get(name, "inactive")}
    params.ignore("default_currency", "external_account", "tos_acceptance")


def _merged(kept: Json, sent: Json) -> Json:
    result = dict(kept)
    for name, value in sent.items():
        old = result.get(name)
        result[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _blank(work: Work, account_id: str, country: str) -> Json:
    account = stamp(
        work,
        "account",
        "acct",
        business_profile={"mcc": None, "name": None, "product_description": None, "support_email": None, "url": None},
        business_type=None,
        capabilities={},
        charges_enabled=False,
        controller={
            "fees": {"payer": "application"},
            "is_controller": True,
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
            "type": "application",
        },
        country=country,
        default_currency=_CURRENCIES.get(country, "eur"),
        details_submitted=False,
        email=None,
        external_accounts={
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{account_id}/external_accounts",
        },
        future_requirements=_no_requirements(),
        metadata={},
        payouts_enabled=False,
        requirements=_no_requirements(),
        settings={
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {
                "decline_on": {"avs_failure": False, "cvc_failure": False},
                "statement_descriptor_prefix": None,
                "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
            "payments": {
                "statement_descriptor": None,
                "statement_descriptor_kana": None,
                "statement_descriptor_kanji": None,
            },
            "payouts": {
                "debit_negative_balances": False,
                "schedule": {"delay_days": 2, "interval": "manual"},
                "statement_descriptor": None,
            },
        },
        tos_acceptance={"date": None, "ip": None, "user_agent": None},
        type="none",
    )
    # Accounts do not tell a mode.
    del account["livemode"]
    return {**account, "id": account_id}


def _platform(work: Work) -> Json:
    account = _blank(work, PLATFORM_ACCOUNT, work.settings.country.upper())
    account["capabilities"] = {"card_payments": "inactive", "transfers": "inactive"}
    put_into(account, AccountState.ONBOARDED)
    return {**account, "type": "standard", "created": 1_700_000_000}


def _no_requirements() -> Json:
    lists = ("alternatives", "currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    return {"current_deadline": None, "disabled_reason": None} | {name: [] for name in lists}
