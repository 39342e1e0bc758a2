"""Rooms that services need, and limits of bookings, made through the commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.resource import create_resource, set_resource_active, update_resource
from app.commands.resource_need import NeedGiven, set_service_needs
from app.core.ids import IdKind, encode_id
from app.domain.resource import ResourceKind
from app.queries.tenancy import bind
from tests.journey import rows_of
from tests.shop import TEST, Shop


@dataclass(frozen=True, slots=True)
class Room:
    """`units` are in the order of their numbers."""

    uuid: UUID
    units: tuple[UUID, ...]

    @property
    def id(self) -> str:
        return encode_id(IdKind.RESOURCE, self.uuid)


async def make_room(
    shop: Shop, quantity: int = 1, kind: ResourceKind = ResourceKind.ROOM, *, venue_uuid: UUID | None = None
) -> Room:
    facts = {"name": "Room", "kind": kind, "quantity": quantity}
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        made = await create_resource(tx, shop.organization_uuid, TEST, venue_uuid or shop.venue_uuid, facts)
    rows = await rows_of(shop, "SELECT id FROM resource_unit WHERE resource_id = :id ORDER BY number", id=made.id)
    return Room(made.id, tuple(row["id"] for row in rows))


async def change_room(shop: Shop, room: Room, *, quantity: int | None = None, is_active: bool | None = None) -> None:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        if quantity is not None:
            await update_resource(tx, shop.organization_uuid, TEST, room.uuid, {"quantity": quantity})
        if is_active is not None:
            await set_resource_active(tx, shop.organization_uuid, TEST, room.uuid, is_active)


async def need_any(shop: Shop, *rooms: Room, quantity: int = 1, service: int = 0) -> None:
    """The shop's service of this number needs any `quantity` units of these rooms, and nothing else."""
    await _need(shop, service, NeedGiven(None, tuple(room.uuid for room in rooms), quantity))


async def need_all(shop: Shop, *rooms: Room, quantity: int = 1, service: int = 0) -> None:
    await _need(shop, service, NeedGiven(tuple(room.uuid for room in rooms), None, quantity))


async def _need(shop: Shop, service: int, need: NeedGiven) -> None:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await set_service_needs(tx, shop.organization_uuid, TEST, shop.service_uuids[service], [need])


async def limit_provider(shop: Shop, number: int = 0, *, day: int | None = None, week: int | None = None) -> None:
    await rows_of(
        shop,
        "UPDATE provider SET daily_booking_limit = :day, weekly_booking_limit = :week WHERE id = :id RETURNING 1",
        id=shop.provider_uuids[number],
        day=day,
        week=week,
    )


async def limit_customers(shop: Shop, *, day: int | None = None, week: int | None = None) -> None:
    await rows_of(
        shop,
        "UPDATE organization SET customer_daily_limit = :day, customer_weekly_limit = :week WHERE id = :id RETURNING 1",
        id=shop.organization_uuid,
        day=day,
        week=week,
    )


async def taken_of(shop: Shop, subject: UUID) -> list[tuple[datetime, datetime, str]]:
    """From when to when somebody or something is taken, buffers included, and how; in order."""
    rows: list[dict[str, Any]] = await rows_of(
        shop,
        "SELECT lower(busy) AS low, upper(busy) AS high, status FROM allocation"
        " WHERE subject_id = :subject AND status <> 'released' ORDER BY busy",
        subject=subject,
    )
    return [(row["low"], row["high"], row["status"]) for row in rows]
