"""Is what a guest asks for what they hold already?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class AskedService:
    """One service of a request. None: any provider; the usual length."""

    service_id: UUID
    provider_id: UUID | None
    minutes: int | None


@dataclass(frozen=True, slots=True)
class HeldService:
    service_id: UUID
    provider_id: UUID
    minutes: int


@dataclass(frozen=True, slots=True)
class HeldSlot:
    starts_at: datetime
    party_size: int
    services: Sequence[HeldService]


def is_same_slot(
    held: HeldSlot, asked: Sequence[AskedService], starts_at: datetime, party_size: int, usual_minutes: int | None
) -> bool:
    """`usual_minutes`: how long all that is asked for takes, where no length is named."""
    if (held.starts_at, held.party_size, len(held.services)) != (starts_at, party_size, len(asked)):
        return False
    if all(one.minutes is None for one in asked) and sum(one.minutes for one in held.services) != usual_minutes:
        return False
    return all(_fits(one, wanted) for one, wanted in zip(held.services, asked, strict=True))


def _fits(held: HeldService, asked: AskedService) -> bool:
    return (
        held.service_id == asked.service_id
        and asked.provider_id in {None, held.provider_id}
        and asked.minutes in {None, held.minutes}
    )
