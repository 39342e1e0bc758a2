"""A provider's statement as a file: its sums, its secret address, and who is given one."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.core.tokens import StatementClaims
from app.queries import statement
from tests.fixtures_api import GraphQLClient
from tests.journey import account
from tests.paying import Paying
from tests.payouts import SHARE, Earner, make_earner
from tests.shop import at

ASK = """
query ($id: ID!, $from: Date!, $to: Date!) { provider(id: $id) { statement(from: $from, to: $to) { url expiresAt } } }
"""


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    return await make_earner(paying, time_zone="America/New_York")


async def ask(client: GraphQLClient, earner: Earner, first: date, last: date) -> Any:
    wanted = {"id": earner.provider_id, "from": first.isoformat(), "to": last.isoformat()}
    return (await client(ASK, wanted))["statement"]


async def address(earner: Earner, first: date, last: date) -> str:
    """The file's own link, on the port of this test."""
    url = (await ask(earner.owner.client, earner, first, last))["url"]
    return f"{earner.paying.api.url}{urlsplit(url).path}"


async def rows(earner: Earner, http: httpx.AsyncClient, first: date, last: date) -> list[dict[str, str]]:
    answer = await http.get(await address(earner, first, last))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["content-disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def cents(text: str) -> int:
    return round(float(text) * 100)


async def test_it_adds_up(earner: Earner, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "PAGE", 2)
    first, _ = await earner.given(at(2, 10), at(2, 11))
    earner.wait()
    await earner.paid_out()
    await earner.returned(first)
    await earner.take_back()
    today = earner.now().date()
    shown = await rows(earner, http, today - timedelta(days=20), today + timedelta(days=1))
    opening, *lines, closing = shown
    assert (opening["what"], closing["what"]) == ("Opening balance", "Closing balance")
    assert [(line["what"], cents(line["amount"])) for line in lines] == [
        ("Service given, or kept after a cancellation", SHARE),
        ("Service given, or kept after a cancellation", SHARE),
        ("Payout", -SHARE),
        ("Payout", -SHARE),
        ("Refund to the customer", -SHARE),
        ("Payout taken back", SHARE),
    ]
    assert {line["payout"] for line in lines if line["what"] == "Payout"} == {"1"}
    balance = cents(opening["balance"])
    for line in lines:
        balance += cents(line["amount"])
        assert cents(line["balance"]) == balance
    assert cents(closing["balance"]) == balance == await earner.owed()
    assert {row["currency"] for row in shown} == {"USD"}


async def test_one_period_begins_where_the_other_ended(earner: Earner, http: httpx.AsyncClient) -> None:
    # 03:30 UTC is the evening before in New York.
    await earner.given(at(2, 3), at(2, 15))
    day = at(2, 0).date()
    before = await rows(earner, http, day - timedelta(days=5), day - timedelta(days=1))
    after = await rows(earner, http, day, day + timedelta(days=5))
    assert [cents(row["balance"]) for row in before] == [0, SHARE, SHARE]
    assert [cents(row["balance"]) for row in after] == [SHARE, 2 * SHARE, 2 * SHARE]
    assert after[1]["date"].startswith(day.isoformat())
    assert await rows(earner, http, day - timedelta(days=50), day - timedelta(days=40)) == []


async def test_the_address_is_a_secret_for_a_while(earner: Earner, paying: Paying, http: httpx.AsyncClient) -> None:
    await earner.given(at(2, 10))
    today = earner.now().date()
    link = await address(earner, today, today)
    assert (await http.get(link)).status_code == 200
    assert (await http.head(link)).status_code == 200
    head, _, token = link.rpartition("/")
    token = token.removesuffix(".csv")
    flipped = token[:-1] + ("A" if token[-1] != "A" else "Q")  # the last two bits of it say nothing
    altered = ("A" if token[0] != "A" else "B") + token[1:]
    for wrong in (f"{flipped}.csv", f"{altered}.csv", f"{token}", f"{token}.ics", ".csv", "é.csv", f"{token}A.csv"):
        assert (await http.get(f"{head}/{wrong}")).status_code == 404, wrong
    paying.api.clock.move(paying.api.clock.offset + timedelta(minutes=11))
    assert (await http.get(link)).status_code == 404


async def test_a_token_says_what_it_opens(earner: Earner) -> None:
    tokens = earner.paying.api.api.services.tokens
    now = earner.now().replace(microsecond=0)
    claims = StatementClaims(earner.provider, date(2026, 1, 1), date(2026, 12, 31), now + timedelta(minutes=1))
    token = tokens.statement_token(claims)
    assert tokens.read_statement_token(token, now) == claims
    assert tokens.read_statement_token(token, now + timedelta(minutes=1)) is None


async def test_who_is_given_one(earner: Earner, paying: Paying) -> None:
    today = earner.now().date()
    stranger = (await account(paying.client, earner.shop, "eve")).client
    elsewhere = (await make_earner(paying, onboarded=False)).owner.client
    for client in (paying.client, stranger, elsewhere):
        assert await ask(client, earner, today, today) is None
    for first, last in ((today, today - timedelta(days=1)), (today, today + timedelta(days=366))):
        wanted = {"id": earner.provider_id, "from": first.isoformat(), "to": last.isoformat()}
        answer = await earner.owner.client.raw(ASK, wanted)
        assert answer["errors"][0]["extensions"]["violations"][0]["path"] == "to"
