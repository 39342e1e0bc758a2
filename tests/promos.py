"""Promo codes for tests, made through the public API."""

from __future__ import annotations

from typing import Any

from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Held, rows_of
from tests.shop import Shop

ERRORS = "... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule }"
PROMO = """
  id code note rateBps amount { amountMinor } atMost { amountMinor } minimum { amountMinor currency } serviceIds
  activityIds firstBookingOnly validFrom validUntil totalLimit customerLimit uses isActive
"""
CREATE = f"""
mutation ($input: CreatePromoCodeInput!) {{ createPromoCode(input: $input) {{ __typename
  ... on CreatePromoCodePayload {{ promoCode {{ {PROMO} }} }} {ERRORS} }} }}
"""
UPDATE = f"""
mutation ($input: UpdatePromoCodeInput!) {{ updatePromoCode(input: $input) {{ __typename
  ... on UpdatePromoCodePayload {{ promoCode {{ {PROMO} }} }} {ERRORS} }} }}
"""
CHECK = """
query ($id: ID!, $token: String!, $code: String!) { checkPromoCode(holdId: $id, holdToken: $token, promoCode: $code) {
  isUsable reason message price { amountMinor } discount { amountMinor } dueNow { amountMinor }
  priceLines { kind label amount { amountMinor } } } }
"""
LIST = f"""
query ($id: ID!, $first: Int, $after: String) {{ organization(id: $id) {{
  promoCodes(first: $first, after: $after) {{
    totalCount pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {PROMO} }} }} }} }} }}
"""

WRONG_COUNTS = """
    SELECT count(*) FROM promo_code p WHERE p.uses <> (
        SELECT count(*) FROM promo_use u WHERE u.promo_code_id = p.id AND u.returned_at IS NULL)
      OR p.uses <> (
        SELECT count(*) FROM booking b WHERE b.promo_code_id = p.id AND b.status <> 'expired'
          AND NOT (b.status = 'cancelled' AND b.paid_minor = 0))
"""
"""Codes whose counter is not what their bookings say."""


def owner_client(client: GraphQLClient, shop: Shop) -> GraphQLClient:
    return client.signed_in(shop.owner.token)


async def call(client: GraphQLClient, document: str, **values: Any) -> Answer:
    """The member of the union."""
    answer: Answer = await client(document, {"input": values})
    return answer


async def make_promo(client: GraphQLClient, shop: Shop, code: str = "VERANO20", **values: Any) -> Answer:
    """20 % unless told otherwise. `client`: of anybody."""
    worth = {} if "amountMinor" in values else {"rateBps": 2_000}
    wanted = {"organizationId": shop.organization_id, "code": code, **worth, **values}
    answer = await call(owner_client(client, shop), CREATE, **wanted)
    assert answer["__typename"] == "CreatePromoCodePayload", answer
    made: Answer = answer["promoCode"]
    return made


async def change_promo(client: GraphQLClient, shop: Shop, promo: Answer, **values: Any) -> Answer:
    answer = await call(owner_client(client, shop), UPDATE, promoCodeId=promo["id"], **values)
    assert answer["__typename"] == "UpdatePromoCodePayload", answer
    changed: Answer = answer["promoCode"]
    return changed


async def check(client: GraphQLClient, hold: Held, code: str) -> Answer:
    answer: Answer = await client(CHECK, {"id": hold.id, "token": hold.token, "code": code})
    return answer


async def uses_of(shop: Shop, promo: Answer) -> int:
    """As the counter says; and the counter is what the bookings say."""
    assert (await rows_of(shop, WRONG_COUNTS))[0]["count"] == 0
    [row] = await rows_of(shop, "SELECT uses FROM promo_code WHERE code = :code", code=promo["code"])
    uses: int = row["uses"]
    return uses


def said(answer: Answer) -> list[tuple[str, str]]:
    """Path and text of each violation. Fails on anything but InvalidInput."""
    assert answer["__typename"] == "InvalidInput", answer
    return [(one["path"], one["message"]) for one in answer["violations"]]
