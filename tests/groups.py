"""Groups in a class: what a test says of their people in few words."""

from __future__ import annotations

from typing import Any

from tests.classes import Class
from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Held, Made, booking_input

PEOPLE = "participants(includeRemoved: $removed) { id name email phone status checkedInAt noShowAt removedAt }"
BOOKING = """
  id status version partySize isPrivate price { amountMinor } amountDue { amountMinor } amountPaid { amountMinor }
  tax { amountMinor } paymentStatus session { id capacityRemaining isPrivate }
  priceLines { kind amount { amountMinor } } refunds { amount { amountMinor } status cause }
  participants { id name email phone status checkedInAt noShowAt }
"""
ERRORS = """
  ... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule }
"""
BOOK = f"""
mutation ($input: CreateBookingInput!) {{ createBooking(input: $input) {{ __typename
  ... on CreateBookingPayload {{ accessToken payment {{ id clientSecret }} booking {{ {BOOKING} }} }} {ERRORS} }} }}
"""
READ = f"query ($id: ID!, $token: String) {{ booking(id: $id, accessToken: $token) {{ {BOOKING} }} }}"
ALL = f"""
query ($id: ID!, $token: String, $removed: Boolean!) {{
  booking(id: $id, accessToken: $token) {{ {PEOPLE} }} }}
"""


def document(operation: str) -> str:
    """`addParticipants` → its document."""
    name = operation[0].upper() + operation[1:]
    taken = "... on SlotUnavailable { reason }" if operation == "addParticipants" else ""
    return f"""mutation ($input: {name}Input!) {{ {operation}(input: $input) {{ __typename
        ... on Booking {{ {BOOKING} }} ... on StaleVersion {{ currentVersion }} {taken} {ERRORS} }} }}"""


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


async def booked_as(yoga: Class, held: Held, **extra: Any) -> Made:
    """What was held, booked with `participants` perhaps."""
    answer = await yoga.client(BOOK, {"input": booking_input(held, **extra)})
    assert answer["__typename"] == "CreateBookingPayload", answer
    return Made(answer["booking"]["id"], answer["accessToken"], answer)


async def change(client: GraphQLClient, operation: str, made: Made, **extra: Any) -> Answer:
    """The member of the union; by the booking's secret link, unless somebody signed in asks without it."""
    link = {} if extra.pop("is_staff", False) else {"accessToken": made.token}
    answer: Answer = await client(document(operation), {"input": {"bookingId": made.id, **link, **extra}})
    return answer


async def seen(yoga: Class, made: Made) -> Answer:
    answer: Answer = await yoga.client(READ, {"id": made.id, "token": made.token})
    return answer
