"""`/payments/return`: the guest is back from a processor's page; it asks at once, and tells nobody anything."""

from __future__ import annotations

from uuid import uuid4

import httpx

from app.core.ids import IdKind, encode_id
from app.resolvers.payment_return import MOST_A_MINUTE
from tests.journey import Made
from tests.paying import Payer, Paying
from tests.shop import at


async def back(paying: Paying, booking: str) -> httpx.Response:
    return await paying.http.get(f"{paying.api.url}/payments/return", params={"booking": booking})


async def status_of(paying: Paying, payer: Payer) -> str:
    query = "SELECT status FROM booking WHERE organization_id = :id"
    [row] = await paying.rows(query, id=payer.shop.organization_uuid)
    return str(row["status"])


async def made_and_paid(paying: Paying, payer: Payer) -> Made:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    return made


async def test_what_was_paid_is_ours_at_once_and_the_page_says_nothing_of_it(payer: Payer, paying: Paying) -> None:
    made = await made_and_paid(paying, payer)
    page = await back(paying, made.id)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert await status_of(paying, payer) == "confirmed"
    for other in (encode_id(IdKind.BOOKING, uuid4()), "prv_1", "", "\x00", "<script>"):
        answer = await back(paying, other)
        assert (answer.status_code, answer.content) == (200, page.content)


async def test_while_the_processor_is_away_the_guest_is_thanked_all_the_same(payer: Payer, paying: Paying) -> None:
    made = await made_and_paid(paying, payer)
    await paying.sandbox.control("faults", kind="error", match="GET /v1/payment_intents/*", status=503)
    assert (await back(paying, made.id)).status_code == 200
    assert await status_of(paying, payer) == "pending"


async def test_it_does_not_ask_for_ever(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    for _ in range(MOST_A_MINUTE):
        await back(paying, made.id)
    await paying.pay(made)
    await back(paying, made.id)
    assert await status_of(paying, payer) == "pending"
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
