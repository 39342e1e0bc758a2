"""Deposits, balances, cash and fees: what a test says of them in few words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.core.ids import IdKind, decode_id
from app.domain.price_quote import QuoteTerms, quote
from app.domain.price_quote_codec import quote_to_json
from app.domain.price_rule import PricedItem
from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Held, Made, Visitor, booking_input, rows_of
from tests.paying import BOOK, GOOD, Payer, Paying

FEES = "id cause status kept { amountMinor } charged { amountMinor } attempts failure reason"
STATE = f"""
  id status version paymentStatus expiresAt amountDue {{ amountMinor }}
  payment {{ id kind status amount {{ amountMinor }} clientSecret }} fees {{ {FEES} }}
  refunds {{ amount {{ amountMinor }} status cause }} transitions {{ from to actor reason }}
  cancellationTerms {{ refund {{ amountMinor }} fee {{ amountMinor }} }}
"""
_ERRORS = """
  ... on Error { code message } ... on NotAllowed { rule } ... on InvalidInput { violations { path message } }
"""
_CHANGED = f"__typename ... on Booking {{ {STATE} }} ... on StaleVersion {{ currentVersion }} {_ERRORS}"
CASH = f"mutation ($input: RecordCashPaymentInput!) {{ recordCashPayment(input: $input) {{ {_CHANGED} }} }}"
BACK = f"mutation ($input: ReturnCashInput!) {{ returnCash(input: $input) {{ {_CHANGED} }} }}"
WAIVE = f"mutation ($input: WaiveFeeInput!) {{ waiveFee(input: $input) {{ {_CHANGED} }} }}"
BALANCE = f"""
mutation ($input: StartBalancePaymentInput!) {{ startBalancePayment(input: $input) {{ __typename
  ... on PaymentPayload {{ booking {{ {STATE} }} payment {{ id kind amount {{ amountMinor }} clientSecret }} }}
  {_ERRORS}
}} }}
"""
SEEN = f"query ($id: ID!, $token: String) {{ booking(id: $id, accessToken: $token) {{ {STATE} }} }}"
OWED = f"""
query ($organization: ID!, $statuses: [FeeStatus!]) {{
  fees(organizationId: $organization, statuses: $statuses) {{ totalCount edges {{ node {{ {FEES} bookingId }} }} }}
}}
"""


FEE_TERMS = {"no_show_fee_bps": 5_000, "late_fee_bps": 2_500, "card_required_for_arrival": True}
"""Of 10.00: 5.00 for not coming, 2.50 for cancelling late."""


async def set_terms(payer: Visitor, **values: Any) -> None:
    """The shop's terms of payment, from now on."""
    columns = ", ".join(values)
    numbers = ", ".join(f":{name}" for name in values)
    changed = ", ".join(f"{name} = excluded.{name}" for name in values)
    await rows_of(
        payer.shop,
        f"INSERT INTO payment_settings (organization_id, {columns}) VALUES (:organization, {numbers})"
        f" ON CONFLICT (organization_id) DO UPDATE SET {changed} RETURNING 1",
        organization=payer.shop.organization_uuid,
        **values,
    )


async def with_deposit(payer: Visitor, held: Held, bps: int = 3_000, **extra: Any) -> Held:
    """Of the hold's price, so much is due when it is booked. `extra`: of its item (payee_id) and its terms."""
    [row] = await rows_of(payer.shop, "SELECT * FROM hold WHERE id = :id", id=decode_id(IdKind.HOLD, held.id))
    item = PricedItem(
        subject_id=row["service_id"],
        label="Service",
        base_minor=row["price_minor"],
        starts_at=row["starts_at"],
        time_zone=ZoneInfo("UTC"),
        payee_id=extra.pop("payee_id", None),
    )
    locked = quote([item], [], QuoteTerms(row["currency"], deposit_bps=bps, **extra), datetime.now(UTC))
    await rows_of(
        payer.shop,
        "UPDATE hold SET quote = CAST(:quote AS jsonb) WHERE id = :id RETURNING 1",
        quote=json.dumps(quote_to_json(locked)),
        id=row["id"],
    )
    return held


@dataclass(frozen=True, slots=True)
class Desk:
    """The staff at work: each method gives the member of the union."""

    client: GraphQLClient

    async def take(self, made: Made, amount: int | None = None, **extra: Any) -> Answer:
        answer: Answer = await self.client(CASH, {"input": {"bookingId": made.id, "amountMinor": amount, **extra}})
        return answer

    async def hand_back(self, made: Made, amount: int | None = None, **extra: Any) -> Answer:
        wanted = {"bookingId": made.id, "amountMinor": amount, "reason": "By mistake", **extra}
        answer: Answer = await self.client(BACK, {"input": wanted})
        return answer

    async def waive(self, made: Made, **extra: Any) -> Answer:
        answer: Answer = await self.client(
            WAIVE, {"input": {"bookingId": made.id, "reason": "A good customer", **extra}}
        )
        return answer


async def booked_with(payer: Payer, held: Held, **extra: Any) -> Made:
    """Whatever it waits for."""
    answer = await payer.client(BOOK, {"input": booking_input(held, **extra)})
    assert answer["__typename"] == "CreateBookingPayload", answer
    return Made(answer["booking"]["id"], answer["accessToken"], answer)


async def deposited(payer: Payer, paying: Paying, start: datetime, card: str = GOOD, **extra: Any) -> Made:
    """A confirmed booking of 10.00, of which 3.00 are paid."""
    held = await with_deposit(payer, await payer.held(start))
    made = await booked_with(payer, held, paymentMethod="PAY_NOW", **extra)
    await paying.pay(made, card)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    return made


async def with_card(payer: Payer, paying: Paying, start: datetime, card: str = GOOD) -> Made:
    """A confirmed booking that is paid on arrival, with a saved card."""
    made = await booked_with(payer, await payer.held(start), acceptsFees=True)
    await paying.pay(made, card)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    return made


async def balance_of(payer: Payer, made: Made, **extra: Any) -> Answer:
    wanted = {"bookingId": made.id, "accessToken": made.token, **extra}
    answer: Answer = await payer.client(BALANCE, {"input": wanted})
    return answer


async def seen(payer: Visitor, made: Made) -> Answer:
    """As its customer sees it."""
    answer: Answer = await payer.client(SEEN, {"id": made.id, "token": made.token})
    return answer


def intent_of(answer: Answer) -> str:
    """The processor's name of what an answer is paid with."""
    return str(answer["payment"]["clientSecret"]).partition("_secret")[0]
