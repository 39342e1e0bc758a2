"""What the parts of one reconciliation share: whom it is about, and what has to be looked at a second time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from app.checkout.scope import Checkout
from app.commands.reconciliation import Counts, Subject
from app.domain.reconciliation import Difference
from app.gateway import PaymentGateway
from app.queries.reconciliation import Whose

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Examined:
    """All there is of a subject."""

    subject: Subject
    differences: Sequence[Difference]


@dataclass(slots=True)
class Scope:
    """`organization_id`: only of this one. `known_open`: subjects with open differences, each with the processor's
    objects in them. `suspects`: what differed at a first glance, which may have been on its way at that moment."""

    checkout: Checkout
    gateway: PaymentGateway
    organization_id: UUID | None
    known_open: dict[str, set[str]]
    suspects: dict[str, set[str]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def includes(self, organization_id: UUID | None) -> bool:
        return self.organization_id is None or organization_id == self.organization_id

    @property
    def whose(self) -> Whose:
        return Whose(self.gateway.processor, self.organization_id)

    def open_ids(self, subject: str) -> set[str]:
        return self.known_open.get(subject, set())

    def suspect(self, subject: str, found: Sequence[Difference], their_ids: set[str]) -> None:
        """Look again at what differs; what has differed before is looked at in any case."""
        if found or subject in self.known_open:
            seen = {one.their_id for one in found if one.their_id is not None}
            self.suspects.setdefault(subject, set()).update(their_ids, seen, self.open_ids(subject))


def ids_of(subject: str, prefix: str) -> UUID:
    return UUID(subject.removeprefix(prefix))


async def batches(listed: AsyncIterator[T], most: int) -> AsyncIterator[list[T]]:
    """Lists of at most so many, none of them empty."""
    batch: list[T] = []
    async for one in listed:
        batch.append(one)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch
