"""Making and changing rules of prices."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import strawberry

from app.commands.price_rule import SUBJECTS_MAXIMUM
from app.core.ids import IdKind
from app.domain import price_rule as domain
from app.domain.schedule import parse_local_time
from app.resolvers import price_rule as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.hours import Weekday
from app.schema.ids import read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.price_rule import PriceRule
from app.schema.scalars import LocalTime, Minor


@strawberry.input(
    description="Local times in which the service begins; with `to` not after `from` they cross midnight."
)
class StartHoursInput:
    from_: LocalTime = strawberry.field(name="from")
    to: LocalTime = strawberry.field(description='Not included. "24:00" is midnight.')


@strawberry.input(description="From the moment of the hold to the start, in minutes: `from` ≤ lead < `to`.")
class LeadTimeInput:
    from_minutes: int | None = None
    to_minutes: int | None = None


@strawberry.input(description="How full it is before this booking: `from` ≤ occupancy < `to`, 0 to 10000.")
class OccupancyRangeInput:
    from_bps: int | None = None
    to_bps: int | None = None


@strawberry.input(description="Local dates, both included.")
class SeasonInput:
    first: date
    last: date
    every_year: bool = strawberry.field(
        default=False, description="Month and day count alone; it may go beyond the end of a year."
    )


@strawberry.input(description="Either `rateBps` or `amountMinor` is not 0. A condition that is left out always holds.")
class CreatePriceRuleInput:
    organization_id: strawberry.ID
    name: str
    rate_bps: int = strawberry.field(default=0, description="-10000 to 100000, of the base price.")
    amount_minor: Minor = Minor(0)
    at_most_minor: Minor | None = None
    priority: int = strawberry.field(default=0, description="-1000 to 1000; the highest counts first.")
    is_exclusive: bool = False
    weekdays: list[Weekday] = strawberry.field(default_factory=list)
    hours: StartHoursInput | None = None
    lead_time: LeadTimeInput | None = None
    occupancy: OccupancyRangeInput | None = None
    seasons: list[SeasonInput] = strawberry.field(default_factory=list, description="Any of them; at most 20.")
    service_ids: list[strawberry.ID] = strawberry.field(default_factory=list, description="At most 100.")
    activity_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    provider_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is. What was held or booked keeps its price.")
class UpdatePriceRuleInput:
    price_rule_id: strawberry.ID
    name: str | None = strawberry.UNSET
    rate_bps: int | None = strawberry.UNSET
    amount_minor: Minor | None = strawberry.UNSET
    at_most_minor: Minor | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    priority: int | None = strawberry.UNSET
    is_exclusive: bool | None = strawberry.UNSET
    weekdays: list[Weekday] | None = strawberry.UNSET
    hours: StartHoursInput | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    lead_time: LeadTimeInput | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    occupancy: OccupancyRangeInput | None = strawberry.field(default=strawberry.UNSET, description="null: none.")
    seasons: list[SeasonInput] | None = strawberry.UNSET
    service_ids: list[strawberry.ID] | None = strawberry.UNSET
    activity_ids: list[strawberry.ID] | None = strawberry.UNSET
    provider_ids: list[strawberry.ID] | None = strawberry.UNSET
    idempotency_key: str | None = None


@strawberry.input
class DeactivatePriceRuleInput:
    price_rule_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivatePriceRuleInput:
    price_rule_id: strawberry.ID
    idempotency_key: str | None = None


def _values(source: CreatePriceRuleInput | UpdatePriceRuleInput) -> dict[str, Any]:
    """As the command's form has them. Raises BadInput."""
    values = given(source, without={"organization_id", "price_rule_id"})
    for key, kind in _KINDS.items():
        if values.get(key) is not None:
            values[key] = list(read_ids(kind, values[key], f"input.{_PATHS[key]}", most=SUBJECTS_MAXIMUM))
    for key, plain in _PLAIN.items():
        if values.get(key) is not None:
            values[key] = plain(values[key])
    return values


_KINDS = {"service_ids": IdKind.SERVICE, "activity_ids": IdKind.ACTIVITY, "provider_ids": IdKind.PROVIDER}
_PATHS = {"service_ids": "serviceIds", "activity_ids": "activityIds", "provider_ids": "providerIds"}
_PLAIN: dict[str, Any] = {
    "weekdays": lambda found: [one.value for one in found],
    "hours": lambda found: (parse_local_time(found.from_), parse_local_time(found.to)),
    "lead_time": lambda found: domain.Between(found.from_minutes, found.to_minutes),
    "occupancy": lambda found: domain.Between(found.from_bps, found.to_bps),
    "seasons": lambda found: [domain.Season(one.first, one.last, one.every_year) for one in found],
}


@strawberry.type
class CreatePriceRulePayload:
    price_rule: PriceRule


@strawberry.type
class UpdatePriceRulePayload:
    price_rule: PriceRule


@strawberry.type
class DeactivatePriceRulePayload:
    price_rule: PriceRule


@strawberry.type
class ReactivatePriceRulePayload:
    price_rule: PriceRule


CreatePriceRuleResult = Annotated[
    CreatePriceRulePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreatePriceRuleResult"),
]
UpdatePriceRuleResult = Annotated[
    UpdatePriceRulePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdatePriceRuleResult"),
]
DeactivatePriceRuleResult = Annotated[
    DeactivatePriceRulePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivatePriceRuleResult"),
]
ReactivatePriceRuleResult = Annotated[
    ReactivatePriceRulePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivatePriceRuleResult"),
]


@strawberry.type
class PriceRuleMutation:
    @strawberry.mutation(description="A rule that counts for what is held from now on.")
    async def create_price_rule(self, info: Ctx, input: CreatePriceRuleInput) -> CreatePriceRuleResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        made = await resolvers.create_price_rule(info.context, organization_id, _values(input), input.idempotency_key)
        return CreatePriceRulePayload(price_rule=PriceRule.from_model(made))

    @strawberry.mutation
    async def update_price_rule(self, info: Ctx, input: UpdatePriceRuleInput) -> UpdatePriceRuleResult:
        rule_id = read_id(IdKind.PRICE_RULE, input.price_rule_id, "input.priceRuleId")
        changed = await resolvers.update_price_rule(info.context, rule_id, _values(input), input.idempotency_key)
        return UpdatePriceRulePayload(price_rule=PriceRule.from_model(changed))

    @strawberry.mutation(description="It counts no more; prices that were made with it stay.")
    async def deactivate_price_rule(self, info: Ctx, input: DeactivatePriceRuleInput) -> DeactivatePriceRuleResult:
        rule_id = read_id(IdKind.PRICE_RULE, input.price_rule_id, "input.priceRuleId")
        changed = await resolvers.set_price_rule_active(info.context, rule_id, False, input.idempotency_key)
        return DeactivatePriceRulePayload(price_rule=PriceRule.from_model(changed))

    @strawberry.mutation(description="It counts again.")
    async def reactivate_price_rule(self, info: Ctx, input: ReactivatePriceRuleInput) -> ReactivatePriceRuleResult:
        rule_id = read_id(IdKind.PRICE_RULE, input.price_rule_id, "input.priceRuleId")
        changed = await resolvers.set_price_rule_active(info.context, rule_id, True, input.idempotency_key)
        return ReactivatePriceRulePayload(price_rule=PriceRule.from_model(changed))
