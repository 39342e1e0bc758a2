"""Much data in little time: a city of 100,000 providers to search, and 10,000 providers with 1,000,000 bookings.

Rows are written by COPY as text, without foreign keys being asked; what triggers would have kept is made afterwards in
one go. `python -m bench.seed DATABASE_URL` fills an empty, migrated database as its owner.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app.core.ids import IdKind, encode_id, new_id

CITY_PROVIDERS = 100_000
BUSY_PROVIDERS = 10_000
BOOKINGS_EACH = 100
SLOTS_A_DAY = 16
"""Half hours from 9:00 to 17:00 UTC, every day."""
FREE_OF = 100
"""One provider of so many is free in the first days; the others are booked up."""
BOOKED_UP_DAYS = BOOKINGS_EACH // SLOTS_A_DAY
VENUES = 200
SERVICES = 20
CHUNK = 5_000

_FIRST_NAMES = (
    "María", "José", "Ana", "Juan", "Lucía", "Martín", "Sofía", "Diego", "Carla", "Pablo", "Inés", "Hugo", "Élodie",
    "Omar", "Noa", "Yael", "David", "Rut", "Iván", "Zoë", "Bruno", "Clara", "Tomás", "Elena", "Nicolás",
)  # fmt: skip
_LAST_NAMES = (
    "Fernández", "González", "Rodríguez", "López", "Martínez", "García", "Pérez", "Sánchez", "Romero", "Díaz", "Álvaro",
    "Torres", "Ruiz", "Ramírez", "Flores", "Benítez", "Acosta", "Medina", "Herrera", "Suárez", "Aguirre", "Giménez",
    "Gutiérrez", "Pereyra", "Rojas", "Molina", "Castro", "Ortiz", "Silva", "Núñez", "Luna", "Juárez", "Cabrera", "Ríos",
    "Morales", "Godoy", "Moreno", "Ferreyra", "Domínguez", "Carrizo",
)  # fmt: skip
_TRADES = ("barber", "hair stylist", "masseur", "physiotherapist", "psychologist", "dentist", "nutritionist", "trainer")
_WORKS_WITH = ("children", "athletes", "families", "couples", "beginners", "the elderly", "teams", "travellers")
_SERVICES = (
    "Corte", "Barba", "Color", "Peinado", "Masaje relajante", "Masaje deportivo", "Kinesiología", "Rehabilitación",
    "Terapia individual", "Terapia de pareja", "Limpieza dental", "Ortodoncia", "Consulta", "Plan de dieta", "Yoga",
    "Pilates", "Manicura", "Depilación", "Maquillaje", "Acupuntura",
)  # fmt: skip
_CATEGORIES = ("Pelo", "Masajes", "Salud mental", "Odontología", "Movimiento")
_LANGUAGES = ("{es}", "{es,en}", "{es-AR,he}", "{en-GB}", "{es,pt-BR}")

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Seeded:
    """One organization. Its rows' ids are counted up from its own."""

    organization_uuid: UUID
    providers: int
    bookings: int = 0
    seconds: float = 0.0

    @property
    def organization_id(self) -> str:
        return encode_id(IdKind.ORGANIZATION, self.organization_uuid)

    def row(self, kind: int, number: int) -> UUID:
        """The id of the numbered row of a kind (below 256)."""
        return UUID(int=(self.organization_uuid.int >> 64 << 64) | 0x8 << 60 | kind << 48 | number)

    def provider_uuid(self, number: int) -> UUID:
        return self.row(_PROVIDER, number)

    def service_uuid(self, number: int) -> UUID:
        return self.row(_SERVICE, number)

    def provider_id(self, number: int) -> str:
        return encode_id(IdKind.PROVIDER, self.provider_uuid(number))

    def service_id(self, number: int) -> str:
        return encode_id(IdKind.SERVICE, self.service_uuid(number))


_VENUE, _SERVICE, _PROVIDER, _SCHEDULE, _CUSTOMER, _HOLD, _BOOKING, _ITEM, _ALLOCATION = range(1, 10)


async def seed_city(connection: asyncpg.Connection[Any], providers: int = CITY_PROVIDERS) -> Seeded:
    """Providers all over a city, three services each; nobody has hours. As the owner of the tables."""
    began = time.monotonic()
    seeded = Seeded(new_id(), providers)
    async with _bulk(connection):
        await _catalogue(connection, seeded, offers_each=3)
        # As the worker would find: without hours nobody is ever free.
        await connection.execute(
            "UPDATE offer_outlook SET known_until = 'infinity', covered_to = 2147483647 WHERE organization_id = $1",
            seeded.organization_uuid,
        )
    return Seeded(seeded.organization_uuid, providers, 0, time.monotonic() - began)


async def seed_bookings(
    connection: asyncpg.Connection[Any], providers: int = BUSY_PROVIDERS, each: int = BOOKINGS_EACH
) -> Seeded:
    """Providers with a service, hours and bookings each, from tomorrow on without a gap.

    One in FREE_OF has them three weeks later. As the owner of the tables.
    """
    began = time.monotonic()
    seeded = Seeded(new_id(), providers, providers * each)
    async with _bulk(connection):
        await _catalogue(connection, seeded, offers_each=1)
        await _copy(connection, "schedule_version", _SCHEDULE_COLUMNS, _schedules(seeded))
        await _copy(connection, "customer", "id organization_id name email", _customers(seeded))
        await _copy(connection, "hold", _HOLD_COLUMNS, _holds(seeded, each))
        await _copy(connection, "booking", _BOOKING_COLUMNS, _bookings(seeded, each))
        await _copy(connection, "booking_item", _ITEM_COLUMNS, _items(seeded, each))
        await _copy(connection, "allocation", _ALLOCATION_COLUMNS, _allocations(seeded, each))
    return Seeded(seeded.organization_uuid, providers, providers * each, time.monotonic() - began)


def first_day() -> datetime:
    """Tomorrow, where bookings begin."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _bulk(connection: asyncpg.Connection[Any]) -> AsyncIterator[None]:
    """One transaction without triggers; the planner knows the rows afterwards, and they are on the disk."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica; SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL transaction_timeout = 0")
        yield
    tables = "provider, provider_search, provider_price, offer, offer_outlook, schedule_version, hold, booking"
    await connection.execute(
        f"ANALYZE {tables}, booking_item, allocation, customer, service, service_search, search_word, venue"
    )
    await connection.execute("CHECKPOINT")  # it would come in the middle of what is measured


async def _copy(connection: asyncpg.Connection[Any], table: str, columns: str, rows: Iterable[Row]) -> None:
    await connection.copy_to_table(table, source=_text(rows), columns=columns.split())


async def _text(rows: Iterable[Row]) -> AsyncIterator[bytes]:
    lines: list[str] = []
    for row in rows:
        lines.append("\t".join(["\\N" if value is None else str(value) for value in row]))
        if len(lines) == CHUNK:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()


async def _catalogue(connection: asyncpg.Connection[Any], seeded: Seeded, *, offers_each: int) -> None:
    organization = seeded.organization_uuid
    await connection.execute(
        "INSERT INTO organization (id, slug, name, currency, locale, bookings_per_hour_limit)"
        " VALUES ($1, $2, 'City', 'ARS', 'es', NULL)",
        organization,
        f"city-{organization.hex[-12:]}",
    )
    venues = (
        (
            *(seeded.row(_VENUE, n), organization, f"Venue {n}", "UTC", -34.9 + n % 20 * 0.03, -58.7 + n // 20 * 0.03),
            f"{n}-{organization}",
        )
        for n in range(VENUES)
    )
    await _copy(connection, "venue", "id organization_id name time_zone latitude longitude embed_key", venues)
    services = (
        (
            *(seeded.service_uuid(n), organization, _SERVICES[n], _CATEGORIES[n % 5], 5_000 + 500 * n, "fixed"),
            *(30, 0, 0, 0, 365, 1_440, "f", 4),
        )
        for n in range(SERVICES)
    )
    await _copy(connection, "service", _SERVICE_COLUMNS, services)
    await _copy(connection, "provider", "id organization_id venue_id name bio rating languages", _providers(seeded))
    await _copy(connection, "offer", "provider_id service_id organization_id price_minor", _offers(seeded, offers_each))
    await connection.execute(
        "SELECT refresh_provider_search(p.ids), refresh_provider_price(p.ids), refresh_service_search(v.ids)"
        " FROM (SELECT array_agg(id) AS ids FROM provider WHERE organization_id = $1) p,"
        " (SELECT array_agg(id) AS ids FROM service WHERE organization_id = $1) v",
        organization,
    )
    await connection.execute(
        "INSERT INTO offer_outlook (provider_id, service_id, organization_id)"
        " SELECT provider_id, service_id, organization_id FROM offer WHERE organization_id = $1",
        organization,
    )


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────

_SERVICE_COLUMNS = (
    "id organization_id name category price_minor price_type duration_minutes buffer_before_minutes"
    " buffer_after_minutes advance_notice_minutes maximum_advance_days cancellation_notice_minutes requires_approval"
    " max_group_size"
)
_SCHEDULE_COLUMNS = "id organization_id owner_id number effective slot_interval_minutes weekly"
_HOLD_COLUMNS = (
    "id organization_id status service_id provider_id starts_at ends_at buffer_before_minutes buffer_after_minutes"
    " expires_at party_size price_minor currency"
)
_BOOKING_COLUMNS = (
    "id organization_id number confirmation_code status starts_at ends_at time_zone party_size provider_id service_id"
    " customer_id hold_id price_minor currency payment_status payment_method cancellable_until"
    " cancellation_notice_minutes requires_approval"
)
_ITEM_COLUMNS = (
    "id organization_id booking_id position service_id provider_id starts_at ends_at buffer_before_minutes"
    " buffer_after_minutes price_minor"
)
_ALLOCATION_COLUMNS = "id organization_id subject_id busy starts_at ends_at status booking_id"


def _providers(seeded: Seeded) -> Iterator[Row]:
    for n in range(seeded.providers):
        first, last = _FIRST_NAMES[n % 25], _LAST_NAMES[n // 25 % 40]
        trade, people = _TRADES[n // 7 % 8], _WORKS_WITH[n // 11 % 8]
        bio = f"{first} is a {trade} who works with {people}, number {n} in town."
        rating = None if n % 10 == 0 else round(2 + n * 7 % 31 / 10, 1)
        venue = seeded.row(_VENUE, n % VENUES)
        yield (
            *(seeded.provider_uuid(n), seeded.organization_uuid, venue, f"{first} {last} {n:06}", bio, rating),
            _LANGUAGES[n // 3 % 5],
        )


def _offers(seeded: Seeded, each: int) -> Iterator[Row]:
    for n in range(seeded.providers):
        for step in range(each):
            service = seeded.service_uuid((n + 7 * step) % SERVICES)
            yield seeded.provider_uuid(n), service, seeded.organization_uuid, 3_000 + n * 13 % 9_000


def _schedules(seeded: Seeded) -> Iterator[Row]:
    weekly = "[" + ", ".join(f'{{"weekday": {day}, "open": [[540, 1020]], "breaks": []}}' for day in range(7)) + "]"
    for n in range(seeded.providers):
        ids = (seeded.row(_SCHEDULE, n), seeded.organization_uuid, seeded.provider_uuid(n))
        yield (*ids, 1, "[2026-01-01,)", 30, weekly)


def _customers(seeded: Seeded) -> Iterator[Row]:
    for n in range(1_000):
        yield seeded.row(_CUSTOMER, n), seeded.organization_uuid, f"Customer {n}", f"customer{n}@example.com"


def _slots(seeded: Seeded, each: int) -> Iterator[tuple[int, int, str, str]]:
    """(number, provider, start, end) of each booking."""
    stamps = []
    day = first_day()
    for number in range(each + 21 * SLOTS_A_DAY):
        start = day + timedelta(days=number // SLOTS_A_DAY, hours=9, minutes=30 * (number % SLOTS_A_DAY))
        stamps.append((start.isoformat(), (start + timedelta(minutes=30)).isoformat()))
    for n in range(seeded.providers):
        later = 21 * SLOTS_A_DAY if n % FREE_OF == 0 else 0
        for slot in range(each):
            yield (n * each + slot, n, *stamps[slot + later])


def _facts(seeded: Seeded, kind: int, each: int) -> Iterator[tuple[int, UUID, UUID, UUID, str, str]]:
    """(number, id, service, provider, start, end) of each booking's row of a kind."""
    providers = [seeded.provider_uuid(n) for n in range(seeded.providers)]
    services = [seeded.service_uuid(n) for n in range(SERVICES)]
    for number, n, start, end in _slots(seeded, each):
        yield number, seeded.row(kind, number), services[n % SERVICES], providers[n], start, end


def _holds(seeded: Seeded, each: int) -> Iterator[Row]:
    for _, row_id, service, provider, start, end in _facts(seeded, _HOLD, each):
        yield (
            *(row_id, seeded.organization_uuid, "consumed", service, provider, start, end, 0, 0),
            *(start, 1, 5_000, "ARS"),
        )


def _bookings(seeded: Seeded, each: int) -> Iterator[Row]:
    code = seeded.organization_uuid.hex[-8:].upper()
    for number, row_id, service, provider, start, end in _facts(seeded, _BOOKING, each):
        yield (
            *(row_id, seeded.organization_uuid, f"SEED-{code}-{number:07}", f"{number:08}", "confirmed", start, end),
            *("UTC", 1, provider, service, seeded.row(_CUSTOMER, number % 1_000), seeded.row(_HOLD, number)),
            *(5_000, "ARS", "unpaid", "pay_on_arrival", start, 1_440, "f"),
        )


def _items(seeded: Seeded, each: int) -> Iterator[Row]:
    for number, row_id, service, provider, start, end in _facts(seeded, _ITEM, each):
        booking = seeded.row(_BOOKING, number)
        yield row_id, seeded.organization_uuid, booking, 1, service, provider, start, end, 0, 0, 5_000


def _allocations(seeded: Seeded, each: int) -> Iterator[Row]:
    for number, row_id, _, provider, start, end in _facts(seeded, _ALLOCATION, each):
        busy = f'["{start}","{end}")'
        yield (
            *(row_id, seeded.organization_uuid, provider, busy, start, end, "booked"),
            seeded.row(_BOOKING, number),
        )


async def _main(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        city = await seed_city(connection)
        print(f"{city.providers:,} providers: {city.seconds:.1f} s, {city.organization_id}")
        busy = await seed_bookings(connection)
        print(f"{busy.providers:,} providers, {busy.bookings:,} bookings: {busy.seconds:.1f} s, {busy.organization_id}")
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
