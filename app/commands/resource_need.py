"""What a service or an activity needs besides those who give it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete

from app.commands.actor import Actor
from app.commands.catalogue_events import resource_changed
from app.commands.journal import Audit, write_journal
from app.commands.resource import QUANTITY_MAXIMUM
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors
from app.models import Resource, ResourceNeed, Service
from app.queries.resource import list_needs_below
from app.queries.rows import lock_row, require_rows

NEEDS_MAXIMUM = 20
CHOICES_MAXIMUM = 50


@dataclass(frozen=True, slots=True)
class NeedGiven:
    """`quantity` units of each of `all_of`, or any `quantity` units among `any_of`; exactly one of both is given."""

    all_of: tuple[UUID, ...] | None
    any_of: tuple[UUID, ...] | None
    quantity: int

    def named(self) -> tuple[UUID, ...]:
        return (*(self.all_of or ()), *(self.any_of or ()))

    def rows(self) -> Iterator[tuple[int, tuple[UUID, ...]]]:
        """(quantity, any of these resources): each resource of `all_of` by itself."""
        if self.any_of is not None:
            yield self.quantity, self.any_of
        for resource_id in self.all_of or ():
            yield self.quantity, (resource_id,)


async def set_service_needs(
    tx: Tx, organization_id: UUID, actor: Actor, service_id: UUID, needs: Sequence[NeedGiven]
) -> Service:
    """All that it needs from now on; bookings keep what they have. Raises NotFound, InvalidInput."""
    service = await lock_row(tx, Service, service_id)
    await set_needs(tx, organization_id, actor, service.id, needs)
    return service


async def set_needs(  # noqa: PLR0917 (as all changes: who and which, then the facts)
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    owner_id: UUID,
    needs: Sequence[NeedGiven],
    venue_id: UUID | None = None,
) -> list[ResourceNeed]:
    """Replace what a service, or an activity at `venue_id`, needs. The caller has its row locked.

    At most five statements. Raises InvalidInput at `input.needs.…`, NotFound for a resource that is not there.
    """
    check_needs(needs)
    resources = await require_rows(tx, Resource, [one for need in needs for one in need.named()])
    before = (await list_needs_below(tx, [owner_id])).get(owner_id, [])
    wanted = [row for need in needs for row in need.rows()]
    if [(need.quantity, tuple(need.resource_ids)) for need in before] == wanted:
        return before
    _check_can_be_met(needs, resources, venue_id)
    await tx.execute(delete(ResourceNeed).where(ResourceNeed.owner_id == owner_id))
    for need in before:
        tx.expunge(need)
    rows = [
        ResourceNeed(
            id=new_id(),
            organization_id=organization_id,
            owner_id=owner_id,
            position=position,
            quantity=quantity,
            resource_ids=list(resource_ids),
        )
        for position, (quantity, resource_ids) in enumerate(wanted, 1)
    ]
    tx.add_all(rows)
    await tx.flush()
    await write_journal(
        tx,
        organization_id,
        actor,
        audit=[Audit("needs.changed", owner_id, {"needs": _told(before)}, {"needs": _told(rows)})],
        events=[resource_changed(owner_id)],
    )
    return rows


def _told(needs: Sequence[ResourceNeed]) -> list[dict[str, object]]:
    return [{"quantity": need.quantity, "resourceIds": need.resource_ids} for need in needs]


def check_needs(needs: Sequence[NeedGiven]) -> None:
    """What can be seen without the database. Raises InvalidInput with every violation."""
    errors = FieldErrors()
    if sum(1 for need in needs for _ in need.rows()) > NEEDS_MAXIMUM:
        errors.add("input.needs", f"are too many; at most {NEEDS_MAXIMUM}, each resource of allOf counted")
    seen: set[UUID] = set()
    for index, need in enumerate(needs):
        path = f"input.needs.{index}"
        if (need.all_of is None) == (need.any_of is None):
            errors.add(path, "takes exactly one of allOf and anyOf")
            continue
        field = "allOf" if need.any_of is None else "anyOf"
        named = need.named()
        if not 1 <= len(named) <= CHOICES_MAXIMUM:
            errors.add(f"{path}.{field}", f"must name 1 to {CHOICES_MAXIMUM} resources")
        if not 1 <= need.quantity <= QUANTITY_MAXIMUM:
            errors.add(f"{path}.quantity", f"must be 1 to {QUANTITY_MAXIMUM}")
        for place, resource_id in enumerate(named):
            if resource_id in seen:
                errors.add(f"{path}.{field}.{place}", "is named twice; a resource may stand in one need only")
            seen.add(resource_id)
    errors.raise_any()


def _check_can_be_met(needs: Sequence[NeedGiven], resources: Mapping[UUID, Resource], venue_id: UUID | None) -> None:
    """A need that can never be met would close what has it for good: each at this venue, or all at some one venue."""
    named = [resources[one].venue_id for need in needs for one in need.named()]
    venues = list(dict.fromkeys(named)) if venue_id is None else [venue_id]
    unmet = [found for venue in venues if (found := list(_unmet(needs, resources, venue)))]
    if not needs or len(unmet) < len(venues):
        return
    errors = FieldErrors()
    for index, there in max(unmet, key=lambda found: (-len(found), sum(there for _, there in found))):
        if there:
            where = "at any one venue" if venue_id is None else "at the activity's venue"
            errors.add(f"input.needs.{index}.quantity", f"must be at most {there}: no more are in use {where}")
        else:
            why = "no venue has all the needs in use" if venue_id is None else "the activity's venue has none in use"
            errors.add(f"input.needs.{index}", f"cannot be met: {why}")
    errors.raise_any()


def _unmet(needs: Sequence[NeedGiven], resources: Mapping[UUID, Resource], venue_id: UUID) -> Iterator[tuple[int, int]]:
    """(place in the list, how many there are) of each need that this venue cannot meet."""
    for index, need in enumerate(needs):
        there = min(
            sum(one.quantity for one in map(resources.__getitem__, ids) if one.is_active and one.venue_id == venue_id)
            for _, ids in need.rows()
        )
        if there < need.quantity:
            yield index, there
