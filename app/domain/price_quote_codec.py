"""A locked price as JSON, as holds and bookings keep it. Versioned: what was once written can always be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.domain.price_quote import Line, LineKind, Quote, QuotedItem, QuoteTerms

VERSION = 1


def quote_to_json(quote: Quote) -> dict[str, Any]:
    """`{"version": 1, "terms": {…}, "items": […], "lines": […], "totalMinor": …, …}`: amounts are integers, ids texts.

    What can be computed from the rest (due later, payable) is not kept.
    """
    terms = quote.terms
    return {
        "version": VERSION,
        "terms": {
            "currency": terms.currency,
            "taxRateBps": terms.tax_rate_bps,
            "taxIsIncluded": terms.tax_is_included,
            "taxLabel": terms.tax_label,
            "platformFeeBps": terms.platform_fee_bps,
            "depositBps": terms.deposit_bps,
            "minimumChargeMinor": terms.minimum_charge_minor,
        },
        "items": [
            {
                "subjectId": str(item.subject_id),
                "quantity": item.quantity,
                "providerId": _text(item.provider_id),
                "payeeId": _text(item.payee_id),
            }
            for item in quote.items
        ],
        "lines": [
            {
                "kind": line.kind.value,
                "label": line.label,
                "amountMinor": line.amount_minor,
                "item": line.item,
                "sourceId": _text(line.source_id),
                "rateBps": line.rate_bps,
            }
            for line in quote.lines
        ],
        "totalMinor": quote.total_minor,
        "taxMinor": quote.tax_minor,
        "platformFeeMinor": quote.platform_fee_minor,
        "dueNowMinor": quote.due_now_minor,
    }


def quote_from_json(value: Mapping[str, Any]) -> Quote:
    """What `quote_to_json` wrote. Raises ValueError for another version and where the amounts do not add up."""
    if value.get("version") != VERSION:
        raise ValueError(f"a price of version {value.get('version')!r} cannot be read")
    terms = value["terms"]
    return Quote(
        terms=QuoteTerms(
            currency=terms["currency"],
            tax_rate_bps=terms["taxRateBps"],
            tax_is_included=terms["taxIsIncluded"],
            tax_label=terms["taxLabel"],
            platform_fee_bps=terms["platformFeeBps"],
            deposit_bps=terms["depositBps"],
            minimum_charge_minor=terms["minimumChargeMinor"],
        ),
        items=tuple(
            QuotedItem(UUID(item["subjectId"]), item["quantity"], _id(item["providerId"]), _id(item["payeeId"]))
            for item in value["items"]
        ),
        lines=tuple(
            Line(
                LineKind(line["kind"]),
                line["label"],
                line["amountMinor"],
                line["item"],
                _id(line["sourceId"]),
                line["rateBps"],
            )
            for line in value["lines"]
        ),
        total_minor=value["totalMinor"],
        tax_minor=value["taxMinor"],
        platform_fee_minor=value["platformFeeMinor"],
        due_now_minor=value["dueNowMinor"],
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _id(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)
