"""The demo's second guest, who pays online: a card that is refused, one that is not, and where the money is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from app.demo_shops import PASSWORD
from app.demo_teller import CANCEL, HOLD, DemoFailed, Teller, local

OWNER = "martina@barberia-palermo.com"
GUEST = {"name": "Joaquín Sosa", "email": "joaquin.sosa@example.com"}
NO_FUNDS, GOOD = "pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_visa"
"""Test cards, as the processor's form would name them."""
REFUND_TIMEOUT_S = 15.0

BOOK = """mutation ($input: CreateBookingInput!) {
  createBooking(input: $input) {
    __typename ... on Error { code message } ... on NotAllowed { rule }
    ... on CreateBookingPayload {
      accessToken booking { id number status version expiresAt }
      payment { publishableKey amount { amount currency } }
    }
  }
}"""
PAY = """mutation ($input: RetryPaymentInput!) {
  retryPayment(input: $input) {
    __typename ... on Error { code message } ... on PaymentDeclined { declineCode retryable }
    ... on PaymentPayload { booking { status paymentStatus version } }
  }
}"""
SIGN_IN = """mutation ($email: String!, $password: String!) {
  signIn(email: $email, password: $password) {
    __typename ... on Error { code message } ... on AuthSession { accessToken }
  }
}"""
BOOKS = """query ($id: ID!) {
  booking(id: $id) {
    status paymentStatus refunds { status amount { amount currency } }
    ledger { kind entries { account amount { amount currency } } }
  }
}"""


async def pay_and_cancel(teller: Teller, provider: Mapping[str, Any], service: Mapping[str, Any], start: str) -> None:
    """Where nobody can pay online, or with real money alone, this says so. Raises DemoFailed."""
    teller.console.print("[bold]Another guest pays online[/]")
    wanted = {"serviceId": service["id"], "providerId": provider["id"], "startsAt": start}
    held, _ = await teller.ask(HOLD, {"input": {**wanted, "idempotencyKey": str(uuid4())}})
    booked, took = await teller.answer(BOOK, {"input": _booking_input(held)})
    if booked.get("rule") == "pay_now_unavailable":
        teller.console.print("  No payment processor is set up here, so this is left out: see docs/payments.md.")
        return
    teller.refuse_error(booked)
    booking, payment = booked["booking"], booked["payment"]
    due = f"{payment['amount']['amount']} {payment['amount']['currency']}"
    until = local(booking["expiresAt"])
    teller.step(f"Booked: {booking['number']}, {booking['status']}: {due} to be paid until {until}", took)
    if (payment["publishableKey"] or "").startswith("pk_live"):
        teller.console.print("  This is real money, and no place for test cards: left unpaid, it expires by itself.")
        return
    version = await _pay(teller, booking["id"], booked["accessToken"])
    staff = await _signed_in(teller)
    await _tell_ledger(staff, booking["id"])
    cancelled, took = await teller.ask(
        CANCEL,
        {
            "input": {
                "bookingId": booking["id"],
                "accessToken": booked["accessToken"],
                "reason": "Only a demo",
                "expectedVersion": version,
            }
        },
    )
    teller.step(f"Cancelled in time: {cancelled['status']}, all of it goes back", took)
    await _tell_refund(staff, booking["id"])
    await _tell_ledger(staff, booking["id"])


def _booking_input(held: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "holdId": held["hold"]["id"],
        "holdToken": held["holdToken"],
        "customer": GUEST,
        "paymentMethod": "PAY_NOW",
        "idempotencyKey": str(uuid4()),
    }


async def _pay(teller: Teller, booking_id: str, access_token: str) -> int:
    """The booking's version once it is paid."""
    asked = {"bookingId": booking_id, "accessToken": access_token}
    declined, took = await teller.answer(PAY, {"input": {**asked, "paymentMethodId": NO_FUNDS}})
    if declined["__typename"] != "PaymentDeclined":
        raise DemoFailed(f"a card without funds should be declined, not {declined}")
    teller.step(f"A card is declined ({declined['declineCode']}): {declined['message']}", took)
    paid, took = await teller.ask(PAY, {"input": {**asked, "paymentMethodId": GOOD}})
    booking = paid["booking"]
    if booking["status"] != "CONFIRMED":
        raise DemoFailed(f"the payment did not confirm the booking: it is {booking['status']}")
    teller.step(f"Another one is not: {booking['status']}, {booking['paymentStatus']}", took)
    return int(booking["version"])


async def _signed_in(teller: Teller) -> Teller:
    session, took = await teller.ask(SIGN_IN, {"email": OWNER, "password": PASSWORD})
    teller.step(f"The owner signs in ({OWNER}) and looks at the books", took)
    return replace(teller, token=session["accessToken"])


async def _tell_ledger(staff: Teller, booking_id: str) -> None:
    seen, _ = await staff.ask(BOOKS, {"id": booking_id})
    for journal in seen["ledger"]:
        moved = ", ".join(f"{one['account']} {one['amount']['amount']}" for one in journal["entries"])
        staff.console.print(f"    {journal['kind']}: {moved}")


async def _tell_refund(staff: Teller, booking_id: str) -> None:
    """Wait until it has arrived: a worker makes it."""
    try:
        async with asyncio.timeout(REFUND_TIMEOUT_S):
            while True:
                seen, took = await staff.ask(BOOKS, {"id": booking_id})
                if seen["status"] == "REFUNDED":
                    break
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise DemoFailed("the refund was not made: is the worker running?") from None
    amount = seen["refunds"][0]["amount"]
    staff.step(f"{amount['amount']} {amount['currency']} are back: {seen['status']}, {seen['paymentStatus']}", took)
