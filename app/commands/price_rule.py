"""Making and changing rules of prices. What was held or booked keeps the price, and the explanation, that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.catalogue_events import prices_changed
from app.commands.changes import change_row, write_created
from app.commands.fields import Check, Faults, Form, as_given, name, required, whole_number
from app.commands.journal import Event
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors, NotAllowed
from app.domain.money import MAXIMUM_MINOR
from app.domain.price_rule import DAY_MINUTES, MAXIMUM_RATE_BPS, Between, Season
from app.domain.rounding import WHOLE_BPS
from app.models import Activity, Organization, PriceRule, Provider, Service
from app.queries.price_rule import count_active_rules, season_to_json
from app.queries.rows import lock_row, require_rows

NAME_MAXIMUM = 100
AMOUNT_MAXIMUM = 10**12
"""Minor units for one place: so that no sensible price grows beyond what can be represented."""
ACTIVE_MAXIMUM = 100
"""Rules of one organization that count at the same time."""
SEASONS_MAXIMUM = 20
SUBJECTS_MAXIMUM = 100
"""Of each kind."""
PRIORITY_MAXIMUM = 1_000
LEAD_MAXIMUM_MINUTES = 1_095 * DAY_MINUTES
"""As far as anything can be booked ahead."""

_SUBJECTS: Mapping[str, type[Service | Activity | Provider]] = {
    "service_ids": Service,
    "activity_ids": Activity,
    "provider_ids": Provider,
}


def _amount(value: Any) -> Any:
    if not -AMOUNT_MAXIMUM <= value <= AMOUNT_MAXIMUM:
        raise ValueError(f"must lie between -{AMOUNT_MAXIMUM} and {AMOUNT_MAXIMUM}")
    return value


def _seasons(value: Sequence[Season]) -> list[dict[str, Any]]:
    if len(value) > SEASONS_MAXIMUM:
        raise ValueError(f"must have at most {SEASONS_MAXIMUM} items")
    faults = [
        (index, "must not end before it begins")
        for index, season in enumerate(value)
        if season.last < season.first and not season.every_year
    ]
    if faults:
        raise Faults(faults)
    return [season_to_json(season) for season in value]


def _between(least: int, most: int, unit: str) -> Check:
    """`Between`, none where neither bound is given."""

    def checked(value: Between | None) -> Any:
        if value is None or value == Between():
            return Between()
        if any(bound is not None and not least <= bound <= most for bound in value):
            raise ValueError(f"must lie between {least} and {most}{unit}")
        if value.high is not None and (least if value.low is None else value.low) >= value.high:
            raise ValueError("must have `from` below `to`: the upper bound is not included")
        return value

    return checked


def _hours(value: Any) -> Any:
    """(from, to) in minutes of a day, or (None, None)."""
    if value is None:
        return (None, None)
    if not 0 <= value[0] < DAY_MINUTES:
        raise ValueError("must begin before 24:00")
    return value


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    """Either a rate or an amount."""
    if "rate_bps" not in values or "amount_minor" not in values:
        return
    if (values["rate_bps"] == 0) == (values["amount_minor"] == 0):
        errors.add("input.rateBps", "must be given, or amountMinor, and not both; the other one is 0")


FORM = Form(
    {
        "name": name(NAME_MAXIMUM),
        "rate_bps": required(whole_number(-WHOLE_BPS, MAXIMUM_RATE_BPS, " basis points")),
        "amount_minor": required(_amount),
        "at_most_minor": whole_number(0, MAXIMUM_MINOR),
        "priority": required(whole_number(-PRIORITY_MAXIMUM, PRIORITY_MAXIMUM)),
        "is_exclusive": required(as_given),
        "weekdays": required(lambda value: sorted(set(value))),
        "hours": _hours,
        "lead_time": _between(0, LEAD_MAXIMUM_MINUTES, " minutes"),
        "occupancy": _between(0, WHOLE_BPS, " basis points"),
        "seasons": required(_seasons),
        **dict.fromkeys(_SUBJECTS, required(list)),
    },
    _whole,
)
"""`hours`, `lead_time` and `occupancy` are two columns each."""

_PAIRS = {
    "hours": ("hours_from", "hours_to"),
    "lead_time": ("lead_from_minutes", "lead_to_minutes"),
    "occupancy": ("occupancy_from_bps", "occupancy_to_bps"),
}


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the form as the table has them."""
    found = {key: value for key, value in values.items() if key not in _PAIRS}
    for key, names in _PAIRS.items():
        if key in values:
            found |= dict(zip(names, values[key], strict=True))
    return found


async def _require_subjects(tx: Tx, values: Mapping[str, Any]) -> None:
    """They are there, and the organization's. At most three statements. Raises NotFound."""
    for key, model in _SUBJECTS.items():
        await require_rows(tx, model, values.get(key, ()))


async def _require_room(tx: Tx, organization_id: UUID) -> None:
    """For one more that counts. The caller has the organization's row, so that no two take the last place."""
    if await count_active_rules(tx, organization_id) >= ACTIVE_MAXIMUM:
        message = f"At most {ACTIVE_MAXIMUM} price rules can be active at the same time. Deactivate one first."
        raise NotAllowed("price_rules_limit", message)


async def create_price_rule(tx: Tx, organization_id: UUID, actor: Actor, values: Mapping[str, Any]) -> PriceRule:
    """`values` as FORM cleans them. It counts for what is held from now on. Raises NotFound, NotAllowed."""
    await lock_row(tx, Organization, organization_id)
    await _require_room(tx, organization_id)
    await _require_subjects(tx, values)
    columns = _columns(values)
    rule = PriceRule(id=new_id(), organization_id=organization_id, is_active=True, version=1, **columns)
    tx.add(rule)
    await tx.flush()
    events = _told("price_rule.created", rule.id, organization_id)
    await write_created(tx, organization_id, actor, "price_rule", rule.id, after=columns, events=events)
    await tx.refresh(rule)
    return rule


async def update_price_rule(
    tx: Tx, organization_id: UUID, actor: Actor, rule_id: UUID, values: Mapping[str, Any]
) -> PriceRule:
    """What is not in `values` stays. Raises NotFound, InvalidInput."""
    rule = await _lock(tx, organization_id, rule_id)
    FORM.check_whole(rule, values)
    await _require_subjects(tx, values)
    return await _change(tx, rule, actor, "price_rule.updated", _columns(values))


async def set_price_rule_active(
    tx: Tx, organization_id: UUID, actor: Actor, rule_id: UUID, is_active: bool
) -> PriceRule:
    """Raises NotFound, NotAllowed."""
    rule = await _lock(tx, organization_id, rule_id)
    if is_active and not rule.is_active:
        await _require_room(tx, organization_id)
    action = "price_rule.reactivated" if is_active else "price_rule.deactivated"
    return await _change(tx, rule, actor, action, {"is_active": is_active})


async def _lock(tx: Tx, organization_id: UUID, rule_id: UUID) -> PriceRule:
    """The organization's row first: a change of a rule changes its `price_version`. Two statements."""
    await lock_row(tx, Organization, organization_id)
    return await lock_row(tx, PriceRule, rule_id)


async def _change(tx: Tx, rule: PriceRule, actor: Actor, action: str, columns: Mapping[str, Any]) -> PriceRule:
    if any(getattr(rule, key) != value for key, value in columns.items()):
        values = {**columns, "version": rule.version + 1}
        events = _told(action, rule.id, rule.organization_id)
        await change_row(
            tx, rule.organization_id, actor, action, rule, subject_id=rule.id, values=values, events=events
        )
        await tx.refresh(rule)
    return rule


def _told(action: str, rule_id: UUID, organization_id: UUID) -> list[Event]:
    return [Event(action, rule_id, {}), prices_changed(organization_id)]
