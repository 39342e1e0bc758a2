"""Rules that change prices, as staff see them."""

from __future__ import annotations

from datetime import date, datetime

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.price_rule import DAY_MINUTES
from app.domain.price_rule import Season as SeasonOfRule
from app.queries.price_rule import season_from_json
from app.schema.hours import Weekday
from app.schema.ids import public_id
from app.schema.node import Node
from app.schema.scalars import LocalTime, Minor


@strawberry.type(description="Local times in which the service begins; with `to` not after `from` they cross midnight.")
class StartHours:
    from_: LocalTime = strawberry.field(name="from")
    to: LocalTime = strawberry.field(description='Not included. "24:00" is midnight.')

    @classmethod
    def of(cls, record: models.PriceRule) -> StartHours | None:
        if record.hours_from is None or record.hours_to is None:
            return None
        return cls(from_=_clock(record.hours_from), to=_clock(record.hours_to))


@strawberry.type(description="From the moment of the hold to the start, in minutes.")
class LeadTime:
    from_minutes: int | None
    to_minutes: int | None = strawberry.field(description="Not included.")

    @classmethod
    def of(cls, record: models.PriceRule) -> LeadTime | None:
        low, high = record.lead_from_minutes, record.lead_to_minutes
        return None if low is None and high is None else cls(from_minutes=low, to_minutes=high)


@strawberry.type(
    description="How full it is before this booking, in basis points: a session's places that are sold or held, or the"
    " provider's open minutes of that day that are."
)
class OccupancyRange:
    from_bps: int | None
    to_bps: int | None = strawberry.field(description="Not included.")

    @classmethod
    def of(cls, record: models.PriceRule) -> OccupancyRange | None:
        low, high = record.occupancy_from_bps, record.occupancy_to_bps
        return None if low is None and high is None else cls(from_bps=low, to_bps=high)


@strawberry.type(description="Local dates, both included.")
class Season:
    first: date
    last: date
    every_year: bool = strawberry.field(description="Month and day count alone; it may go beyond the end of a year.")

    @classmethod
    def from_domain(cls, season: SeasonOfRule) -> Season:
        return cls(first=season.first, last=season.last, every_year=season.every_year)


@strawberry.type(
    description="Changes prices where all its conditions hold; one that is empty always does. Of several rules each"
    " changes the price by its share of the base price; the order in which they are listed is that of their priority."
)
class PriceRule(Node):
    name: str = strawberry.field(description="Customers see it in the explanation of a price.")
    is_active: bool
    priority: int
    is_exclusive: bool = strawberry.field(
        description="It stands alone: it counts only where no rule of a higher priority does, and then no other does."
    )
    rate_bps: int = strawberry.field(description="Of the base price; negative: a discount. 0: by `amountMinor`.")
    amount_minor: Minor = strawberry.field(description="For each place, in the organization's currency.")
    at_most_minor: Minor | None = strawberry.field(description="One place changes by no more than this, up or down.")
    weekdays: list[Weekday]
    hours: StartHours | None
    lead_time: LeadTime | None
    occupancy: OccupancyRange | None
    seasons: list[Season]
    service_ids: list[strawberry.ID] = strawberry.field(
        description="What it is about: any of these services, activities and providers. None at all: everything."
    )
    activity_ids: list[strawberry.ID]
    provider_ids: list[strawberry.ID]
    version: int = strawberry.field(description="Counts its changes.")
    created_at: datetime

    @classmethod
    def from_model(cls, record: models.PriceRule) -> PriceRule:
        return cls(
            id=public_id(IdKind.PRICE_RULE, record.id),
            name=record.name,
            is_active=record.is_active,
            priority=record.priority,
            is_exclusive=record.is_exclusive,
            rate_bps=record.rate_bps,
            amount_minor=Minor(record.amount_minor),
            at_most_minor=None if record.at_most_minor is None else Minor(record.at_most_minor),
            weekdays=[Weekday(one) for one in record.weekdays],
            hours=StartHours.of(record),
            lead_time=LeadTime.of(record),
            occupancy=OccupancyRange.of(record),
            seasons=[Season.from_domain(season_from_json(one)) for one in record.seasons],
            service_ids=[public_id(IdKind.SERVICE, one) for one in record.service_ids],
            activity_ids=[public_id(IdKind.ACTIVITY, one) for one in record.activity_ids],
            provider_ids=[public_id(IdKind.PROVIDER, one) for one in record.provider_ids],
            version=record.version,
            created_at=record.created_at,
        )


def _clock(minute: int) -> LocalTime:
    return LocalTime("24:00") if minute == DAY_MINUTES else LocalTime(f"{minute // 60:02}:{minute % 60:02}")
