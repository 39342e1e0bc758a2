"""What a checkout needs of a process: its database, its gateways, its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.core.database import Database, Tx
from app.core.ids import IdKind, encode_id
from app.domain.errors import NotAllowed
from app.gateway import Capability, PaymentGateway
from app.ports import Clock
from app.queries.tenancy import bind

KEYS_LIVE = timedelta(hours=20)
"""So long a processor surely knows an idempotency key."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """`gateways` and `publishable_keys` by processor; `return_url`: this server, as a guest reaches it."""

    database: Database
    clock: Clock
    gateways: Mapping[str, PaymentGateway] = field(default_factory=dict)
    publishable_keys: Mapping[str, str] = field(default_factory=dict)
    return_url: str | None = None

    def gateway(self, processor: str) -> PaymentGateway:
        """Raises NotAllowed where it has no key here."""
        found = self.gateways.get(processor)
        if found is None:
            raise NotAllowed("pay_now_unavailable", f"Payments by {processor} are not set up here.")
        return found

    def return_to(self, booking_id: UUID) -> str | None:
        """Where a processor's or a bank's page leads the guest of this booking; None: nowhere."""
        if self.return_url is None:
            return None
        return f"{self.return_url}/payments/return?booking={encode_id(IdKind.BOOKING, booking_id)}"

    def takes(self, processor: str, currency: str) -> bool:
        """Can this be charged here?"""
        found = self.gateways.get(processor)
        return found is not None and found.takes_currency(currency)

    def offers(self, processor: str) -> frozenset[Capability]:
        """Nothing where it has no key here."""
        found = self.gateways.get(processor)
        return frozenset() if found is None else found.capabilities

    def is_key_forgotten(self, made_at: datetime) -> bool:
        """May a processor have forgotten a key that was first used then? It is asked first what became of the call."""
        return self.clock.now() - made_at > KEYS_LIVE

    @asynccontextmanager
    async def within(self, organization_id: UUID | None) -> AsyncIterator[Tx]:
        """A transaction inside an organization; None (a worker's database alone): across all."""
        async with self.database.transaction() as tx:
            await bind(tx, organization_id=organization_id, clock_offset=self.clock.offset)
            yield tx
