"""The services of one visit, as the slot engine and the commands need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from app.core.database import Tx
from app.domain.errors import FieldErrors, NotFound
from app.domain.search import VisitItem
from app.domain.slots import ProviderPlan, SlotRules
from app.queries.availability import ServicePlan, get_service_plans


@dataclass(frozen=True, slots=True)
class VisitPlan:
    """Each item with its service, in the order of the visit."""

    items: tuple[VisitItem, ...]
    services: tuple[ServicePlan, ...]

    @property
    def first(self) -> ServicePlan:
        return self.services[0]

    @property
    def currency(self) -> str:
        return self.first.currency

    @property
    def position(self) -> int:
        """Where the event log stood in the snapshot that gave these plans."""
        return self.first.position

    @property
    def busy_subjects(self) -> tuple[UUID, ...]:
        """Whose time may be taken: providers and resource units, each once."""
        return tuple(dict.fromkeys(subject for service in self.services for subject in service.busy_subjects))

    @property
    def subjects(self) -> frozenset[UUID]:
        """Whose events change the answer."""
        return frozenset(subject for service in self.services for subject in service.subjects)

    @property
    def unnumbered_here(self) -> frozenset[int]:
        """Ids of the unnumbered events that change the answer."""
        subjects = self.subjects
        return frozenset(event_id for event_id, subject in self.first.unnumbered if subject in subjects)

    def plans(self) -> tuple[tuple[ProviderPlan, ...], ...]:
        """For each item, everyone who can do it."""
        pairs = zip(self.items, self.services, strict=True)
        return tuple(service.plans(item.duration_minutes) for item, service in pairs)

    def rules(self, now: datetime, *, for_staff: bool = False) -> SlotRules:
        """Of the visit as a whole: the longest notice and the nearest horizon of its services."""
        rules = [service.rules(now, for_staff=for_staff) for service in self.services]
        return SlotRules(now, max(one.notice_minutes for one in rules), min(one.maximum_advance_days for one in rules))

    def faults(self, party_size: int, path: str = "input.items") -> FieldErrors:
        """What the services do not allow, each at its place; the caller raises, as BadInput or InvalidInput."""
        errors = FieldErrors()
        for index, (item, service) in enumerate(zip(self.items, self.services, strict=True)):
            here = f"{path}.{index}"
            for violation in service.faults(item.duration_minutes, party_size, here).found:
                if violation not in errors.found:  # the party is that of the whole visit
                    errors.add(violation.path, violation.message)
            if item.provider_id is not None and not service.offers:
                errors.add(f"{here}.providerId", "does not offer this service")
        return errors


async def get_visit_plan(
    tx: Tx,
    items: Sequence[VisitItem],
    provider_ids: Sequence[UUID] | None,
    from_date: date,
    to_date: date,
    *,
    hidden_is_missing: bool = False,
    inactive_is_missing: bool = True,
) -> VisitPlan:
    """One statement. `provider_ids`: who may do the items that name nobody (None: anyone).

    Raises NotFound for a service that is missing, or off (unless `inactive_is_missing` is not set: then nobody offers
    it), and for a provider as `get_service_plan` does.
    """
    wanted = [(item.service_id, provider_ids if item.provider_id is None else (item.provider_id,)) for item in items]
    services = await get_service_plans(tx, wanted, from_date, to_date, hidden_is_missing=hidden_is_missing)
    if inactive_is_missing and not all(service.is_active for service in services):
        raise NotFound
    return VisitPlan(tuple(items), tuple(services))
