"""What a locked price consists of, as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry

from app.core.ids import IdKind
from app.domain import price_quote
from app.domain.price_quote import Line, LineKind
from app.domain.price_quote_codec import quote_from_json
from app.schema.ids import public_id
from app.schema.node import Money

PriceLineKind = strawberry.enum(
    price_quote.LineKind,
    name="PriceLineKind",
    description="BASE, RULE, CAP and PROMO belong to an item; TAX is there where it is added to prices. KEPT: for "
    "people who were removed from a booking after its notice.",
)


@strawberry.type(description="One part of a price; all of them add up to it.")
class PriceLine:
    kind: LineKind
    label: str
    amount: Money
    item_index: int | None = strawberry.field(description="Which service of a visit, from 0.")
    rule_id: strawberry.ID | None = strawberry.field(description="Of a RULE: the rule as it was then.")
    rate_bps: int | None = strawberry.field(description="Of a rule, a code or a tax that goes by a rate.")

    @classmethod
    def from_domain(cls, line: Line, currency: str) -> PriceLine:
        rule_id = line.source_id if line.kind is LineKind.RULE else None
        return cls(
            kind=line.kind,
            label=line.label,
            amount=Money.of(line.amount_minor, currency),
            item_index=line.item,
            rule_id=None if rule_id is None else public_id(IdKind.PRICE_RULE, rule_id),
            rate_bps=line.rate_bps,
        )


def price_lines(quote: Mapping[str, Any] | None) -> list[PriceLine]:
    """Of what was locked before there were explanations: none."""
    if quote is None:
        return []
    read = quote_from_json(quote)
    return [PriceLine.from_domain(line, read.currency) for line in read.lines]


def tax_of(quote: Mapping[str, Any] | None, currency: str) -> Money:
    return Money.of(0 if quote is None else quote["taxMinor"], currency)
