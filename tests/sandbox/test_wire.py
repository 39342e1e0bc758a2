"""The wire: keys, versions, forms, lists, search, expansion, and whatever a hostile client sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import stripe

from app.sandbox.stripe import API_VERSION
from app.sandbox.stripe.errors import Refusal
from app.sandbox.stripe.forms import decode, encode
from tests.sandbox.running import KEY, Sandbox, running


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        ("Bearer", 401),
        ("Bearer sk_test_anything", 200),
        ("Bearer rk_test_anything", 200),
        ("Basic c2tfdGVzdF8xOg==", 200),
        ("Basic !!!", 401),
        ("Bearer sk_live_0123456789", 401),
        ("Bearer whatever", 401),
        ("Bearer sk_test_\xe9", 200),
        ("Digest x", 401),
    ],
)
async def test_keys(sandbox: Sandbox, header: str, status: int) -> None:
    answer = await sandbox.http.get("/v1/balance", headers={b"Authorization": header.encode("latin-1")})
    assert answer.status_code == status
    assert answer.headers["request-id"].startswith("req_")
    if status == 401:
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "0123456789" not in answer.text


async def test_one_key_alone_when_it_is_set(package_http: stripe.HTTPXClient) -> None:
    async with running(package_http, api_key=KEY) as sandbox:
        assert await sandbox.balance() == 0
        other = {"Authorization": "Bearer sk_test_54321"}
        assert (await sandbox.http.get("/v1/balance", headers=other)).status_code == 401


async def test_versions(sandbox: Sandbox) -> None:
    answer = await sandbox.http.get("/v1/balance")
    assert answer.headers["stripe-version"] == API_VERSION
    old = await sandbox.http.get("/v1/balance", headers={"Stripe-Version": "2020-08-27"})
    assert (old.status_code, "Invalid Stripe API version" in old.text) == (400, True)


async def test_unknown_addresses_and_objects(sandbox: Sandbox) -> None:
    for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/refunds/re_1"), ("GET", "/v1/"), ("GET", "/v2/x")):
        answer = await sandbox.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await sandbox.v1.payment_intents.retrieve_async("pi_nope")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert missing.value.user_message == "No such payment_intent: 'pi_nope'"
    with pytest.raises(stripe.InvalidRequestError) as named:
        await sandbox.v1.refunds.create_async({"charge": "ch_nope"})
    assert (named.value.http_status, named.value.code, named.value.param) == (400, "resource_missing", "charge")


async def test_accounts_are_strangers_to_each_other(sandbox: Sandbox) -> None:
    mine, other = await sandbox.account(), await sandbox.account()
    with pytest.raises(stripe.PermissionError) as unknown:
        await sandbox.v1.balance.retrieve_async({}, {"stripe_account": "acct_nope"})
    assert unknown.value.error is not None
    assert unknown.value.error.code == "account_invalid"
    customer = await sandbox.v1.customers.create_async({}, {"stripe_account": mine})
    for options in ({}, {"stripe_account": other}):
        with pytest.raises(stripe.InvalidRequestError):
            await sandbox.v1.customers.retrieve_async(customer.id, {}, options)
    with pytest.raises(stripe.InvalidRequestError):
        await sandbox.v1.accounts.retrieve_async(mine, {}, {"stripe_account": other})
    own = await sandbox.v1.accounts.retrieve_current_async({}, {"stripe_account": mine})
    assert own.id == mine


def test_forms_are_nested() -> None:
    tree = decode(b"a[b][c]=1&a[b][d]=x+y%26&list[0]=p&list[1]=q&tail[]=1&tail[]=2&empty=&plus=%2B")
    assert tree == {
        "a": {"b": {"c": "1", "d": "x y&"}},
        "list": {"0": "p", "1": "q"},
        "tail": {"0": "1", "1": "2"},
        "empty": "",
        "plus": "+",
    }
    assert encode(decode(b"b=2&a[y]=1&a[x]=0")) == [("a[x]", "0"), ("a[y]", "1"), ("b", "2")]


@pytest.mark.parametrize(
    "body",
    [
        b"a=%ff",
        b"a=%00",
        b"%00=a",
        b"a[b=1",
        b"[a]=1",
        b"a[b]c=1",
        b"a[b[c]]=1",
        b"a=1&a[b]=2",
        b"a[b]=1&a=2",
        b"a" + b"[b]" * 9 + b"=1",
        b"a" * 500 + b"=1",
        b"&".join(b"a%d=1" % number for number in range(1_001)),
        b"=1",
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decode(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "form",
    [
        {"amount": "-5"},
        {"amount": "0"},
        {"amount": "49"},
        {"amount": "1.5"},
        {"amount": "1e3"},
        {"amount": "٣٣٣"},
        {"amount": "100000000"},
        {"amount": "9" * 5_000},
        {"amount": ""},
        {"amount[x]": "5"},
        {"currency": "xyz"},
        {"currency": "eu\u00fc"},
        {"currency": ""},
        {"confirm": "yes"},
        {"capture_method": "sometimes"},
        {"description": "x" * 5_001},
        {"metadata": "x"},
        {"metadata[a][b]": "x"},
        {"metadata[" + "k" * 41 + "]": "x"},
        {"metadata[a]": "x" * 501},
        {f"metadata[{number}]": "x" for number in range(51)},
        {"customer": "cus_nope"},
        {"payment_method": "pm_nope"},
        {"payment_method": "pm_card_nope"},
        {"payment_method_types": "card"},
        {"payment_method_types[]": "cash"},
        {"payment_method_types[x]": "card"},
        {"transfer_data[destination]": "acct_nope"},
        {"application_fee_amount": "1001"},
        {"return_url": "https://shop.example/"},
        {"confirm": "true", "payment_method": "pm_card_visa", "return_url": "javascript:alert(1)"},
        {"confirm": "true", "payment_method": "pm_card_visa", "return_url": "https://x.example/\r\nSet-Cookie: a=b"},
        {"object": "payment_intent"},
        {"_number": "1"},
        {"expand": "x"},
        {"expand[]": "client_secret"},
        {"expand[]": "a.b.c.d.e"},
        {"expand[]": "customer."},
        {"expand[]": "_number"},
        {"expand[]": "nothing"},
    ],
)
async def test_a_payment_that_makes_no_sense_is_refused(sandbox: Sandbox, form: dict[str, str]) -> None:
    answer = await sandbox.post("/v1/payment_intents", {"amount": "1000", "currency": "eur", **form})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 700


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers?limit=0",
        "/v1/customers?limit=101",
        "/v1/customers?limit=x",
        "/v1/customers?starting_after=cus_nope",
        "/v1/customers?nothing=1",
        "/v1/customers?created[gte]=soon",
        "/v1/customers?created[since]=1",
        "/v1/customers/%00",
        "/v1/customers/%2e%2e%2f",
        f"/v1/customers/{'x' * 300}",
        "/v1/customers?limit=%ff",
        "/v1/payment_intents/search",
        "/v1/payment_intents/search?query=",
        "/v1/payment_intents/search?query=status",
        "/v1/payment_intents/search?query=status:'a' AND",
        "/v1/payment_intents/search?query=status:'a' AND status:'b' OR status:'c'",
        "/v1/payment_intents/search?query=secret:'a'",
        "/v1/payment_intents/search?query=metadata:'a'",
        "/v1/payment_intents/search?query=amount>'x'",
        "/v1/payment_intents/search?query=status:'a'&page=x",
        "/v1/payment_intents/search?query=" + "((" * 200,
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(sandbox: Sandbox, path: str) -> None:
    answer = await sandbox.http.get(path)
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["message"]


async def test_bodies_that_are_no_form(sandbox: Sandbox) -> None:
    for body in (b'{"amount": 1}', b"[1]", b"\xff\xfe", b"a" * 2_000):
        assert (await sandbox.http.post("/v1/customers", content=body)).status_code == 400
    assert (await sandbox.http.post("/v1/customers", content=b"a=" + b"x" * 1_100_000)).status_code == 413


async def test_lists_page_forwards_and_back(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    there: Any = {"stripe_account": account}
    made = [(await sandbox.v1.customers.create_async({"email": f"{n}@x.example"}, there)).id for n in range(5)]
    newest = made[::-1]
    listed = await sandbox.v1.customers.list_async({"limit": 2}, there)
    assert ([one.id for one in listed.data], listed.has_more) == (newest[:2], True)
    assert [one.id async for one in listed.auto_paging_iter()] == newest
    back = await sandbox.v1.customers.list_async({"limit": 2, "ending_before": newest[4]}, there)
    assert ([one.id for one in back.data], back.has_more) == (newest[2:4], True)
    first = await sandbox.v1.customers.list_async({"limit": 4, "ending_before": newest[2]}, there)
    assert ([one.id for one in first.data], first.has_more) == (newest[:2], False)
    one = await sandbox.v1.customers.list_async({"email": "3@x.example"}, there)
    assert [customer.id for customer in one.data] == [made[3]]
    none = await sandbox.v1.customers.list_async({"created": {"lt": 1_000}}, there)
    assert (none.data, none.has_more) == ([], False)
    now = await sandbox.v1.customers.list_async({"created": {"gte": 1_000, "lte": 99_999_999_999}}, there)
    assert len(now.data) == 5


async def test_events_are_found_by_type_and_by_delivery(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    there: Any = {"stripe_account": account}
    for name in ("a", "b"):
        customer = await sandbox.v1.customers.create_async({}, there)
        await sandbox.v1.customers.update_async(customer.id, {"name": name}, there)
        await sandbox.v1.customers.delete_async(customer.id, {}, there)
    gone = await sandbox.v1.customers.retrieve_async(customer.id, {}, there)
    assert gone.deleted is True
    both = await sandbox.v1.events.list_async({"types": ["customer.updated", "customer.deleted"], "limit": 3}, there)
    assert [event.type for event in both.data] == ["customer.deleted", "customer.updated", "customer.deleted"]
    assert both.has_more
    assert len((await sandbox.v1.events.list_async({"type": "customer.created"}, there)).data) == 2
    assert (await sandbox.v1.events.list_async({"delivery_success": False}, there)).data == []


async def test_search_by_metadata(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    there: Any = {"stripe_account": account}
    fields = {"currency": "eur", "payment_method_types": ["card"]}
    intents = [
        await sandbox.v1.payment_intents.create_async(
            {**fields, "amount": 1_000 + number, "metadata": {"booking": f"it's {number % 2}"}}, there
        )
        for number in range(5)
    ]

    async def found(query: str, **more: Any) -> list[int]:
        result = await sandbox.v1.payment_intents.search_async({"query": query, **more}, there)
        return [one.amount - 1_000 async for one in result.auto_paging_iter()]

    assert await found(r"metadata['booking']:'it\'s 1'") == [3, 1]
    assert await found("""metadata["booking"]:"it's 0" AND amount>1001""", limit=1) == [4, 2]
    assert await found("status:'requires_payment_method' AND -metadata['booking']~'S 1'") == [4, 2, 0]
    assert await found("amount<1001 OR amount>=1004") == [4, 0]
    assert await found("metadata['other']:null", limit=2) == [4, 3, 2, 1, 0]
    assert await found("metadata['booking']:\"it's\"") == []
    await sandbox.v1.payment_intents.update_async(intents[1].id, {"metadata": {"booking": ""}}, there)
    assert await found(r"metadata['booking']:'it\'s 1'") == [3]


async def test_search_may_lag(package_http: stripe.HTTPXClient) -> None:
    now = [1_790_000_000.0]
    async with running(package_http, search_lag_s=60, clock=lambda: now[0]) as sandbox:
        intent = await sandbox.paid(metadata={"booking": "1"})
        query = {"query": "metadata['booking']:'1'"}
        assert (await sandbox.v1.payment_intents.search_async(query)).data == []
        now[0] += 60
        assert (await sandbox.v1.payment_intents.search_async(query)).data[0].id == intent.id


async def test_expands_deeply_and_in_lists(sandbox: Sandbox) -> None:
    customer = await sandbox.v1.customers.create_async({"name": "Ana"})
    intent = await sandbox.paid(customer=customer.id)
    expansions = ["customer", "latest_charge.balance_transaction.source", "payment_method", "latest_charge.refunds"]
    found = await sandbox.v1.payment_intents.retrieve_async(intent.id, {"expand": expansions})
    assert (found.customer.name, found.payment_method.card.last4) == ("Ana", "4242")
    assert found.latest_charge.balance_transaction.source.id == found.latest_charge.id
    assert found.latest_charge.refunds.data == []
    listed = await sandbox.v1.payment_intents.list_async({"customer": customer.id, "expand": ["data.customer"]})
    assert listed.data[0].customer.name == "Ana"
    assert "_number" not in (await sandbox.http.get(f"/v1/payment_methods/{intent.payment_method}")).json()


async def test_many_at_once_leave_whole_books(package_http: stripe.HTTPXClient) -> None:
    """Captures, refunds and transfers race: each sum is used once."""
    async with running(package_http) as sandbox:
        account = await sandbox.account()
        held = await sandbox.paid(capture_method="manual")
        path = f"/v1/payment_intents/{held.id}"
        answers = await asyncio.gather(
            *(sandbox.post(f"{path}/capture") for _ in range(5)), *(sandbox.post(f"{path}/cancel") for _ in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
        intent = await sandbox.paid()
        part = {"payment_intent": intent.id, "amount": "3000"}
        wish = {"amount": "4000", "currency": "eur", "destination": account, "source_transaction": intent.latest_charge}
        refunds = await asyncio.gather(*(sandbox.post("/v1/refunds", part) for _ in range(8)))
        transfers = await asyncio.gather(*(sandbox.post("/v1/transfers", wish) for _ in range(8)))
        assert sum(answer.status_code == 200 for answer in refunds) == 3
        assert sum(answer.status_code == 200 for answer in transfers) == 2
        assert await sandbox.balance(account) == 8_000


async def test_the_answer_to_head_and_other_methods(sandbox: Sandbox) -> None:
    assert (await sandbox.http.head("/_sandbox/")).content == b""
    assert (await sandbox.http.put("/v1/customers")).status_code == 404
    assert (await sandbox.http.put("/_sandbox/")).status_code == 404
