"""Random rows of a shop: claims, holds, time off, exceptions, rooms, needs, limits, holidays and lengths of all kinds.

Written as the owner of the tables: foreign keys and events are not what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from asyncpg import Range

from tests.shop import Shop, at

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RandomRows:
    admin: asyncpg.Connection[Any]
    shop: Shop
    rng: Random

    async def fill(self) -> None:
        async with self.admin.transaction():
            await self.admin.execute("SET LOCAL session_replication_role = replica")
            await self._venue()
            for provider_id in self.shop.provider_uuids:
                await self._person(provider_id)
            for owner_id in (self.shop.venue_uuid, *self.shop.provider_uuids):
                if self._one_in(2):
                    await self._exception(owner_id)
            for subject in (*self.shop.provider_uuids, *await self._rooms()):
                await self._claims(subject)
                await self._blocked(subject)

    def _one_in(self, count: int) -> bool:
        return self.rng.randrange(count) == 0

    async def _insert(self, table: str, **values: object) -> UUID:
        row_id = uuid4()
        row = {"id": row_id, "organization_id": self.shop.organization_uuid, **values}
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self.admin.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())
        return row_id

    async def _update(self, table: str, column: str, row_id: UUID, **values: object) -> None:
        changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, 2))
        await self.admin.execute(f"UPDATE {table} SET {changes} WHERE {column} = $1", row_id, *values.values())

    async def _venue(self) -> None:
        await self._update("venue", "id", self.shop.venue_uuid, country=self.rng.choice([None, "AR", "ES", "US"]))

    async def _person(self, provider_id: UUID) -> None:
        choice = self.rng.choice
        await self._update(
            "provider",
            "id",
            provider_id,
            works_on_holidays=self._one_in(3),
            daily_booking_limit=choice([None, None, 1, 3]),
            weekly_booking_limit=choice([None, None, 5]),
            time_zone=choice([None, "America/New_York", "Asia/Kathmandu"]),
            is_active=not self._one_in(8),
        )
        await self._update(
            "offer",
            "provider_id",
            provider_id,
            price_minor=choice([None, 500]),
            duration_minutes=choice([None, 25, 60]),
            is_active=not self._one_in(8),
        )

    async def _exception(self, owner_id: UUID) -> None:
        rng = self.rng
        first = at(rng.randint(1, 9), 0).date()
        special = self._one_in(2)
        await self._insert(
            "schedule_exception",
            owner_id=owner_id,
            kind="special_hours" if special else "closed",
            days=Range(first, first + timedelta(days=rng.randint(1, 3))),
            open="[[600, 900], [960, 1500]]" if special else "[]",
            breaks="[[700, 720]]" if special else "[]",
            slot_interval_minutes=rng.choice([None, 20]) if special else None,
            reason="Why",
            removed_at=rng.choice([None, None, None, at(0, 0)]),
        )

    async def _rooms(self) -> list[UUID]:
        """The units of the resources that the first service needs."""
        if self._one_in(3):
            return []
        resources, units = [], []
        for _ in range(2):
            common = {"venue_id": self.shop.venue_uuid, "name": "Room", "kind": "room", "quantity": 3}
            resources.append(await self._insert("resource", **common, is_active=not self._one_in(8)))
            for number in (1, 2, 3):
                values = {"resource_id": resources[-1], "number": number, "is_active": not self._one_in(4)}
                units.append(await self._insert("resource_unit", **values))
        await self._insert(
            "resource_need",
            owner_id=self.shop.service_uuids[0],
            position=1,
            quantity=self.rng.choice([1, 2]),
            resource_ids=resources,
        )
        return units

    async def _claims(self, subject: UUID) -> None:
        rng, moment = self.rng, at(-10, 0)
        while moment < at(20, 0):
            starts_at = moment + timedelta(minutes=rng.choice([20, 60, 300, 900]), seconds=rng.choice([0, 0, 0, 31]))
            ends_at = starts_at + rng.choice([15, 30, 90, 1_440]) * MINUTE
            busy_to = ends_at + rng.choice([0, 0, 25]) * MINUTE
            await self._claim(subject, starts_at, ends_at, Range(starts_at - rng.choice([0, 0, 10]) * MINUTE, busy_to))
            moment = busy_to + 10 * MINUTE

    async def _claim(self, subject: UUID, starts_at: datetime, ends_at: datetime, busy: Range[datetime]) -> None:
        status = self.rng.choice(["booked", "booked", "booked", "held", "released"])
        await self._insert(
            "allocation",
            subject_id=subject,
            busy=busy,
            starts_at=starts_at,
            ends_at=ends_at,
            status=status,
            booking_id=uuid4() if status == "booked" else None,
            expires_at=self.rng.choice([at(0, 0), at(4, 0, 1)]) if status == "held" else None,
        )

    async def _blocked(self, subject: UUID) -> None:
        for _ in range(self.rng.randint(0, 3)):
            starts_at = at(self.rng.randint(-1, 11), self.rng.randint(0, 23), 7)
            kind = self.rng.choice(["time_off", "external"])
            await self._insert(
                "blocked_time",
                subject_id=subject,
                starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=self.rng.choice([1, 30])),
                kind=kind,
                source_id=uuid4() if kind == "external" else None,
                removed_at=self.rng.choice([None, None, None, at(0, 0)]),
            )
