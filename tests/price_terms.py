"""Rules of prices and terms of payment for tests, made through the commands; and prices as visitors see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.commands.payment_settings import FORM as SETTINGS
from app.commands.payment_settings import update_payment_settings
from app.commands.price_rule import FORM as RULE
from app.commands.price_rule import create_price_rule, set_price_rule_active, update_price_rule
from app.core.ids import IdKind, encode_id
from app.models import PriceRule
from app.queries.tenancy import bind
from tests.journey import Answer, Visitor
from tests.schema import operations as op
from tests.shop import TEST, Shop, iso

LINES = "priceLines { kind label amount { amountMinor currency } itemIndex ruleId rateBps } tax { amountMinor }"
HOLD = op.HOLD.replace("partySize price {", f"partySize dueNow {{ amountMinor }} {LINES} price {{")
_EMPTY: dict[str, Any] = {
    "rate_bps": 0,
    "amount_minor": 0,
    "at_most_minor": None,
    "priority": 0,
    "is_exclusive": False,
    "weekdays": [],
    "hours": None,
    "lead_time": None,
    "occupancy": None,
    "seasons": [],
    "service_ids": [],
    "activity_ids": [],
    "provider_ids": [],
}


async def add_rule(shop: Shop, name: str = "Rule", **values: Any) -> PriceRule:
    """A rule that counts for everything, but for what `values` say."""
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        facts = RULE.clean({"name": name, **_EMPTY, **values})
        return await create_price_rule(tx, shop.organization_uuid, TEST, facts)


async def change_rule(shop: Shop, rule: PriceRule, **values: Any) -> None:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await update_price_rule(tx, shop.organization_uuid, TEST, rule.id, RULE.clean(values))


async def switch_off(shop: Shop, rule: PriceRule) -> None:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await set_price_rule_active(tx, shop.organization_uuid, TEST, rule.id, False)


async def set_terms(shop: Shop, **values: Any) -> None:
    """Of payment, as updatePaymentSettings does."""
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await update_payment_settings(tx, shop.organization_uuid, TEST, SETTINGS.clean(values))


def rule_id(rule: PriceRule) -> str:
    return encode_id(IdKind.PRICE_RULE, rule.id)


async def priced_hold(visitor: Visitor, start: datetime | None = None, **extra: Any) -> Answer:
    """What the hold says of its price, with `id` and `token`."""
    wanted = {**({} if start is None else {"serviceId": visitor.shop.service_id, "startsAt": iso(start)}), **extra}
    answer: Answer = await visitor.client(HOLD, {"input": wanted})
    assert answer["__typename"] == "HoldSlotPayload", answer
    return {**answer["hold"], "token": answer["holdToken"]}


def total(priced: Answer) -> int:
    """Of a hold or a booking, whose lines must add up to it."""
    found: int = priced["price"]["amountMinor"]
    assert sum(line["amount"]["amountMinor"] for line in priced["priceLines"]) == found, priced
    return found


def lines(priced: Answer) -> list[tuple[str, str, int]]:
    return [(one["kind"], one["label"], one["amount"]["amountMinor"]) for one in priced["priceLines"]]
