"""The developer's pages: what they show, what their forms do, who may not send them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import stripe

from tests.sandbox.running import Sandbox, running


class Outline(HTMLParser):
    """What a reader needs: labels, headings, no scripts, nothing from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.unlabelled: list[str] = []
        self.outside: list[str] = []
        self._labels = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self._labels += tag == "label"
        if tag in {"input", "select"} and found.get("type") != "hidden" and not self._labels:
            self.unlabelled.append(str(found))
        for name in ("src", "href"):
            if (found.get(name) or "").startswith(("http", "//")):
                self.outside.append(f"{tag} {found[name]}")

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"


async def page(sandbox: Sandbox, path: str) -> str:
    answer = await sandbox.http.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    outline = Outline(answer.text)
    assert outline.unlabelled == outline.outside == []
    assert outline.tags.count("h1") == 1 == outline.tags.count("main")
    assert "script" not in outline.tags
    assert '<html lang="en">' in answer.text
    return answer.text


async def test_the_overview_shows_what_is_open_without_believing_it(sandbox: Sandbox) -> None:
    await sandbox.paid()
    intent = await sandbox.v1.payment_intents.create_async(
        {"amount": 123_456, "currency": "jpy", "description": "<script>alert(1)</script>", "metadata": {"a": '"><b>'}}
    )
    account = await sandbox.account(email="ana@example.com")
    await sandbox.control("faults", kind="delay", match="GET /v1/<nothing>")
    text = await page(sandbox, "/_sandbox/?notice=%3Cb%3Ehello")
    assert "123,456 JPY" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;hello" in text
    assert account in text
    assert intent.client_secret not in text
    assert (await sandbox.http.get("/")).headers["location"] == "/_sandbox/"


async def test_pays_by_hand_and_goes_back_to_the_shop(sandbox: Sandbox) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur"})
    path = f"/_sandbox/intents/{intent.id}"
    assert "Declined: insufficient funds" in await page(sandbox, path)
    declined = await sandbox.http.post(f"{path}/pay", data={"card": "pm_card_chargeDeclined", "number": ""})
    assert declined.headers["location"] == f"{path}?notice=Your%20card%20was%20declined."
    assert "Your card was declined." in await page(sandbox, declined.headers["location"])
    shop = "https://shop.example/back"
    asked = await sandbox.http.post(f"{path}/pay", data={"number": "4000 0000 0000 3220", "return_url": shop})
    assert asked.headers["location"].startswith(f"/_sandbox/authenticate/{intent.id}")
    await page(sandbox, asked.headers["location"])
    paid = await sandbox.http.post(f"{path}/authenticate", data={"outcome": "complete"})
    assert paid.status_code == 303
    assert paid.headers["location"].startswith(f"{shop}?payment_intent={intent.id}&payment_intent_client_secret=")
    finished = await sandbox.http.get(path)
    assert "Open a dispute" in finished.text
    assert "Back to the shop" in finished.text


async def test_fails_by_hand(sandbox: Sandbox) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur"})
    failed = await sandbox.control(f"intents/{intent.id}/fail")
    assert failed["last_payment_error"]["code"] == "card_declined"
    waiting = await sandbox.paid(payment_method="pm_card_threeDSecure2Required")
    failed = await sandbox.control(f"intents/{waiting.id}/fail")
    assert failed["status"] == "requires_payment_method"
    paid = await sandbox.control(f"intents/{waiting.id}/pay")
    assert paid["status"] == "succeeded"
    late = await sandbox.http.post(f"/_sandbox/intents/{waiting.id}/fail", json={})
    assert late.json()["error"]["code"] == "payment_intent_unexpected_state"


async def test_saves_a_card_by_hand(sandbox: Sandbox) -> None:
    setup = await sandbox.v1.setup_intents.create_async({})
    assert "Save the card" in await page(sandbox, f"/_sandbox/pay/{setup.id}")
    await sandbox.control(f"intents/{setup.id}/pay", card="pm_card_visa")
    assert (await sandbox.v1.setup_intents.retrieve_async(setup.id)).status == "succeeded"


async def test_pages_of_accounts_and_disputes(package_http: stripe.HTTPXClient) -> None:
    async with running(package_http) as sandbox:
        account = await sandbox.account()
        intent = await sandbox.paid()
        await sandbox.v1.transfers.create_async({"amount": 2_500, "currency": "eur", "destination": account})
        await sandbox.v1.payouts.create_async({"amount": 500, "currency": "eur"}, {"stripe_account": account})
        text = await page(sandbox, f"/_sandbox/accounts/{account}")
        assert "20.00 EUR" in text
        assert "Let it fail" in text
        disputed = await sandbox.http.post(
            f"/_sandbox/charges/{intent.latest_charge}/dispute", data={"reason": "duplicate"}
        )
        assert disputed.status_code == 303
        text = await page(sandbox, disputed.headers["location"])
        found = re.search(r'action="(/_sandbox/disputes/du_\w+/decide)"', text)
        assert found is not None
        assert (await sandbox.http.post(found[1], data={"outcome": "won"})).status_code == 303
        assert ">won</td>" in await page(sandbox, "/_sandbox/")


@pytest.mark.parametrize(
    "path",
    [
        "/_sandbox/nothing",
        "/_sandbox/intents/pi_nope",
        "/_sandbox/onboard/link_nope",
        "/_sandbox/accounts/cus_nope",
        "/_sandbox/intents/<script>",
        "/_sandbox/faults/1",
    ],
)
async def test_what_is_not_there(sandbox: Sandbox, path: str) -> None:
    answer = await sandbox.http.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert (await sandbox.http.post(f"{path}/pay", json={})).status_code in {400, 404}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("intents/{}/pay", b"{"),
        ("intents/{}/pay", b"[]"),
        ("intents/{}/pay", b'{"card": 1}'),
        ("intents/{}/pay", b'{"card": "pm_card_nope"}'),
        ("intents/{}/pay", b'{"return_url": "javascript:alert(1)"}'),
        ("intents/{}/pay", b'{"number": "' + b"4" * 3_000 + b'"}'),
        ("intents/{}/authenticate", b'{"outcome": "maybe"}'),
        ("intents/{}/expire", b"{}"),
        ("charges/{}/dispute", b"{}"),
        ("deliveries/x/resend", b"{}"),
        ("deliveries/99999999/resend", b"{}"),
        ("faults", b"\xff"),
    ],
)
async def test_actions_that_make_no_sense(sandbox: Sandbox, path: str, body: bytes) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur"})
    answer = await sandbox.http.post(f"/_sandbox/{path.format(intent.id)}", content=body)
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_other_pages_cannot_send_its_forms(sandbox: Sandbox, origin: str) -> None:
    intent = await sandbox.v1.payment_intents.create_async({"amount": 1_000, "currency": "eur"})
    path = f"/_sandbox/intents/{intent.id}/pay"
    answer = await sandbox.http.post(path, data={"card": "pm_card_visa"}, headers={"Origin": origin})
    assert answer.status_code == 403
    own = await sandbox.http.post(path, data={"card": "pm_card_visa"}, headers={"Origin": sandbox.url})
    assert own.status_code == 303
