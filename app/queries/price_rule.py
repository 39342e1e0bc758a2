"""An organization's price rules, and the book of all that its prices are computed with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select

from app.core.database import Tx
from app.domain.price_book import PLAIN, PriceBook
from app.domain.price_rule import Between, PriceCaps, PriceRule, Season
from app.domain.rounding import WHOLE_BPS
from app.models import Organization, PaymentSettings
from app.models import PriceRule as PriceRuleRow

KEPT = 256
"""Books of so many organizations stay in memory; of each the one that was read last."""
LISTED = 500
"""Most rules that a list shows; the active ones come first."""

_kept: OrderedDict[UUID, tuple[UUID, PriceBook]] = OrderedDict()


async def get_price_book(tx: Tx, organization_id: UUID, version: UUID | None) -> PriceBook:
    """The book of `Organization.price_version`, as the caller just read it. No statement where it is known.

    At most one statement else, which may find a newer one.
    """
    known = kept_price_book(organization_id, version)
    if known is not None:
        return known
    found, book = await read_price_book(tx, organization_id)
    if found is not None:
        _kept[organization_id] = found, book
        _kept.move_to_end(organization_id)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return book


def kept_price_book(organization_id: UUID, version: UUID | None) -> PriceBook | None:
    """The same where no statement is needed; else none."""
    if version is None:
        return PLAIN
    known = _kept.get(organization_id)
    if known is None or known[0] != version:
        return None
    _kept.move_to_end(organization_id)
    return known[1]


async def read_price_book(tx: Tx, organization_id: UUID) -> tuple[UUID | None, PriceBook]:
    """As it is now, and its version, in one snapshot. One statement."""
    rows: Sequence[Any] = (
        await tx.execute(
            select(Organization.price_version, PaymentSettings, PriceRuleRow)
            .outerjoin(PaymentSettings, PaymentSettings.organization_id == Organization.id)
            .outerjoin(PriceRuleRow, and_(PriceRuleRow.organization_id == Organization.id, PriceRuleRow.is_active))
            .where(Organization.id == organization_id)
        )
    ).all()
    if not rows:
        return None, PLAIN
    version, settings, _ = rows[0]
    return version, book_of(settings, [row[2] for row in rows if row[2] is not None])


async def read_price_books(tx: Tx, organization_ids: Sequence[UUID]) -> dict[UUID, PriceBook]:
    """By organization; one after the other, for there is hardly ever more than one. A statement each."""
    return {one: (await read_price_book(tx, one))[1] for one in dict.fromkeys(organization_ids)}


def book_of(settings: PaymentSettings | None, rules: list[PriceRuleRow]) -> PriceBook:
    """`settings` none: the defaults."""
    found = tuple(rule_of_row(row) for row in rules)
    if settings is None:
        return PriceBook(rules=found)
    return PriceBook(
        rules=found,
        caps=PriceCaps(
            settings.price_floor_bps,
            settings.price_ceiling_bps,
            settings.price_floor_minor,
            settings.price_ceiling_minor,
        ),
        tax_rate_bps=settings.tax_bps,
        tax_is_included=settings.tax_included,
        tax_label=settings.tax_label,
        deposit_bps=WHOLE_BPS if settings.deposit_bps is None else settings.deposit_bps,
        guest_fee_bps=settings.guest_fee_bps,
        member_fee_bps=settings.member_fee_bps,
        processor=settings.processor,
    )


def rule_of_row(row: PriceRuleRow) -> PriceRule:
    hours = None if row.hours_from is None or row.hours_to is None else (row.hours_from, row.hours_to)
    return PriceRule(
        id=row.id,
        label=row.name,
        rate_bps=row.rate_bps,
        amount_minor=row.amount_minor,
        at_most_minor=row.at_most_minor,
        priority=row.priority,
        is_exclusive=row.is_exclusive,
        weekdays=frozenset(row.weekdays),
        hours=hours,
        lead_minutes=_between(row.lead_from_minutes, row.lead_to_minutes),
        occupancy_bps=_between(row.occupancy_from_bps, row.occupancy_to_bps),
        seasons=tuple(season_from_json(one) for one in row.seasons),
        subjects=frozenset((*row.service_ids, *row.activity_ids, *row.provider_ids)),
    )


def _between(low: int | None, high: int | None) -> Between | None:
    return None if low is None and high is None else Between(low, high)


def season_from_json(value: dict[str, Any]) -> Season:
    return Season(date.fromisoformat(value["first"]), date.fromisoformat(value["last"]), value["everyYear"])


def season_to_json(season: Season) -> dict[str, Any]:
    return {"first": season.first.isoformat(), "last": season.last.isoformat(), "everyYear": season.every_year}


async def count_active_rules(tx: Tx, organization_id: UUID) -> int:
    """One statement."""
    query = select(func.count()).where(PriceRuleRow.organization_id == organization_id, PriceRuleRow.is_active)
    return (await tx.execute(query)).scalar_one()


async def list_price_rules(tx: Tx, organization_id: UUID, *, is_active: bool | None = None) -> list[PriceRuleRow]:
    """The active ones first, and among these those that count first: at most LISTED. One statement."""
    query = (
        select(PriceRuleRow)
        .where(PriceRuleRow.organization_id == organization_id)
        .order_by(PriceRuleRow.is_active.desc(), PriceRuleRow.priority.desc(), PriceRuleRow.id)
        .limit(LISTED)
    )
    if is_active is not None:
        query = query.where(PriceRuleRow.is_active.is_(is_active))
    return list((await tx.execute(query)).scalars())
