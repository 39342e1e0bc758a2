"""Searching providers: a page in any order, found by one statement. The slot engine is asked where nothing else knows.

Availability is known from outlooks, which the worker keeps; rows that they cannot answer for come back marked, and are
kept or dropped by what the engine says (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from asyncpg.exceptions import InvalidParameterValueError, NoDataFoundError

from app.core.database import Database
from app.domain.errors import BadInput, DomainError, NotFound, Unavailable
from app.domain.instants import at_minute, minute_floor
from app.domain.outlook import RENEWED_DAYS
from app.domain.plan import axis
from app.domain.provider_search import ProviderSort, ProviderWanted
from app.queries.outlook import days_from
from app.queries.pagination import PageRequest, decode_cursor, encode_cursor
from app.queries.provider_free import Offers, SoonestSlot
from app.queries.tenancy import Tenancy

ASKED_AT_ONCE = 40
"""Rows that are read where some of them must be asked of the engine, which may leave few."""
ROUNDS = 5
"""Of reading and asking, for one page. A page that is not full by then is cut; its cursor goes on."""
ASKED_MOST = 200
"""Providers asked before all can be put in order, or counted. More are due only for times that outlooks do not cover,
and while no worker runs."""

STATEMENT = """
    SELECT json_agg(r)::text FROM search_providers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) r
"""
_KINDS: Mapping[str, type] = MappingProxyType(
    {
        "name": str,
        "created": datetime,
        "rating": float,
        "distance": float,
        "price": int,
        "soonest": int,
        "relevance": int,
    }
)


class FoundProvider(msgspec.Struct, frozen=True):
    """Reads like models.Provider; made of plain values twenty times as fast."""

    id: UUID
    organization_id: UUID
    venue_id: UUID
    user_id: UUID | None
    name: str
    bio: str | None
    time_zone: str | None
    rating: float | None
    is_active: bool
    works_on_holidays: bool
    languages: list[str]
    daily_booking_limit: int | None
    weekly_booking_limit: int | None
    calendar_version: int
    created_at: datetime


class _Row(msgspec.Struct, frozen=True):
    """As search_providers returns it."""

    role: str | None
    own_provider_id: UUID | None
    sort_key: str | None
    is_sure: bool
    distance_km: float | None
    service_id: UUID | None
    soonest_minute: int | None
    duration_minutes: int | None
    price_minor: int | None
    service_ids: list[UUID] | None
    currency: str
    found: FoundProvider

    @property
    def id(self) -> UUID:
        return self.found.id


class _CountRow(msgspec.Struct, frozen=True):
    sort_key: str | None
    is_sure: bool
    provider_id: UUID | None
    service_ids: list[UUID] | None


_rows = msgspec.json.Decoder(list[_Row])
_count_rows = msgspec.json.Decoder(list[_CountRow])

Ask = Callable[[Offers], Awaitable[Mapping[UUID, SoonestSlot]]]
"""Asks the slot engine for the first slot of each of these providers, among those services."""


class SearchHit(NamedTuple):
    """A provider with what was found out: how far away, if asked by place; when free, if asked by availability."""

    provider: FoundProvider
    cursor: str
    distance_km: float | None
    soonest: SoonestSlot | None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Cursors stand where the search stood, which on a page that was cut is beyond its hits."""

    hits: tuple[SearchHit, ...]
    has_next: bool
    has_previous: bool
    start_cursor: str | None
    end_cursor: str | None
    tenancy: Tenancy | None
    """Of the viewer, where any row told it."""


class _Bound(NamedTuple):
    """A place in the order: after it or before it, it itself excluded. Compares as the order has it."""

    value: Any
    id: UUID


@dataclass(frozen=True, slots=True)
class _Cursors:
    """Places in the order of one search, as clients hold them. In another search they would mean something else."""

    key: str
    order: str

    @classmethod
    def of(cls, wanted: ProviderWanted, sort: ProviderSort) -> _Cursors:
        filter_hash = blake2b(wanted_json(wanted).encode(), digest_size=6).hexdigest()
        return cls(sort.key, f"{sort.value} {filter_hash}")

    def at(self, place: _Bound) -> str:
        return encode_cursor(self.order, place.value, place.id)

    def read(self, cursor: str | None, path: str) -> _Bound | None:
        """Raises BadInput."""
        if cursor is None:
            return None
        try:
            return _Bound(*decode_cursor(self.order, _KINDS[self.key], cursor, path))
        except BadInput:
            raise BadInput.at(path, "is no cursor of this list with this filter in this order") from None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of the order; `backward`: its last rows."""

    key: str
    is_falling: bool
    backward: bool
    size: int
    after: _Bound | None = None
    before: _Bound | None = None


_Kept = list[tuple["_Row", SoonestSlot | None]]


@dataclass(frozen=True, slots=True)
class ProviderSearch:
    """One search by one viewer, at one instant. Raises NotFound where there is no such organization."""

    database: Database
    organization_id: UUID
    user_id: UUID | None
    now: datetime
    wanted: ProviderWanted
    ask: Ask

    async def page(self, sort: ProviderSort, request: PageRequest) -> SearchPage:
        """Raises BadInput for cursors of other searches, and as `_too_many`.

        One statement where outlooks are up to date.
        """
        cursors = _Cursors.of(self.wanted, sort)
        after, before = cursors.read(request.after, "after"), cursors.read(request.before, "before")
        stretch = _Stretch(sort.key, sort.is_falling, request.backward, request.size + 1, after, before)
        if sort is ProviderSort.SOONEST_ASC:
            kept, is_over, last = await self._by_soonest(stretch), True, None
        else:
            kept, is_over, last = await self._as_they_come(stretch)
        more = len(kept) > request.size or not is_over
        shown = kept[: request.size]
        tenancy = None
        if kept:
            row = kept[0][0]
            tenancy = Tenancy(self.organization_id, row.role, row.own_provider_id)
        if request.backward:
            shown.reverse()
        hits = tuple(_hit(cursors, row, soonest) for row, soonest in shown)
        first_cursor = hits[0].cursor if hits else None
        last_cursor = hits[-1].cursor if hits else None
        if not is_over and len(kept) <= request.size and last is not None:
            if request.backward:
                first_cursor = cursors.at(last)
            else:
                last_cursor = cursors.at(last)
        if request.backward:
            has_next, has_previous = request.before is not None, more or request.after is not None
        else:
            has_next, has_previous = more or request.before is not None, request.after is not None
        return SearchPage(hits, has_next, has_previous, first_cursor, last_cursor, tenancy)

    async def count(self) -> int:
        """How many there are in all. Raises as `_too_many`."""
        rows = _count_rows.decode(await self._fetch(_Stretch("count", False, False, 0)))
        unsure = [row for row in rows if not row.is_sure]
        total = sum(int(row.sort_key or 0) for row in rows if row.is_sure)
        if len(unsure) > ASKED_MOST:
            raise self._too_many("can be counted")
        offers = _offers((row.provider_id, row.service_ids or ()) for row in unsure if row.provider_id is not None)
        return total + (len(await self.ask(offers)) if offers else 0)

    # ── in order ──────────────────────────────────────────────────────────────────────────────────────

    async def _as_they_come(self, wanted: _Stretch) -> tuple[_Kept, bool, _Bound | None]:
        """What was found; whether there is no more; and how far was looked."""
        kept: _Kept = []
        last: _Bound | None = None
        part = wanted
        for _ in range(ROUNDS):
            rows = _rows.decode(await self._fetch(part))
            asked = await self._ask_about([row for row in rows if not row.is_sure])
            for row in rows:
                if row.is_sure:
                    kept.append((row, _known(row)))
                elif row.id in asked:
                    kept.append((row, asked[row.id]))
                if len(kept) >= wanted.size:
                    return kept, False, _place(wanted.key, row)
            last = _place(wanted.key, rows[-1]) if rows else last
            if len(rows) < part.size:
                return kept, True, last
            part = replace(part, size=max(wanted.size, ASKED_AT_ONCE))
            part = replace(part, before=last) if part.backward else replace(part, after=last)
        return kept, False, last

    async def _by_soonest(self, wanted: _Stretch) -> _Kept:
        """Who must be asked may come anywhere, so all of those are asked first."""
        rows = _rows.decode(await self._fetch(wanted))
        unsure = [row for row in rows if not row.is_sure]
        if len(unsure) > ASKED_MOST:
            raise self._too_many("can be put in the order SOONEST_ASC")
        asked = await self._ask_about(unsure)
        found: _Kept = [(row, _known(row)) for row in rows if row.is_sure]
        found += [(row, asked[row.id]) for row in unsure if row.id in asked]
        placed = [(_place(wanted.key, row, slot), (row, slot)) for row, slot in found]
        placed.sort(key=itemgetter(0), reverse=wanted.backward)
        after, before = wanted.after, wanted.before
        return [
            hit for place, hit in placed if (after is None or place > after) and (before is None or place < before)
        ][: wanted.size]

    async def _ask_about(self, rows: Sequence[_Row]) -> Mapping[UUID, SoonestSlot]:
        return await self.ask(_offers((row.id, row.service_ids or ()) for row in rows)) if rows else {}

    def _too_many(self, what: str) -> DomainError:
        """Unavailable; BadInput where it stays so, for outlooks are only of the usual lengths and of the next weeks."""
        free = self.wanted.free
        assert free is not None  # who else would have to be asked
        begun = (
            f"asks for the free times of more than {ASKED_MOST} providers, which would have to be worked out before "
        )
        narrow = f"{begun}all {what}: narrow the search, or "
        if free.window().to_utc > days_from(self.now, RENEWED_DAYS):
            message = "ask for days within the next nine weeks, whose free times are kept ready"
            return BadInput.at("filter.availability.to", narrow + message)
        if free.duration_minutes is not None:
            message = "leave the length out: free times are kept ready of each provider's own"
            return BadInput.at("filter.availability.durationMinutes", narrow + message)
        return Unavailable(f"The search {narrow}try again in a moment.")

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────────

    async def _fetch(self, stretch: _Stretch) -> str:
        try:
            row = await self.database.fetch_row(
                STATEMENT,
                self.organization_id,
                self.user_id,
                self.now,
                wanted_json(self.wanted),
                stretch.key,
                stretch.is_falling,
                stretch.backward,
                stretch.size,
                ASKED_MOST,
                *_bound_arguments(stretch.after),
                *_bound_arguments(stretch.before),
            )
        except NoDataFoundError:
            raise NotFound from None
        except InvalidParameterValueError:
            raise BadInput.at("filter.text", "has no words to search for, only punctuation") from None
        return (row and row[0]) or "[]"


def _known(row: _Row) -> SoonestSlot | None:
    """From the outlooks; None where nobody asked for availability."""
    if row.soonest_minute is None or row.service_id is None or row.duration_minutes is None:
        return None
    starts_at = at_minute(row.soonest_minute)
    ends_at = starts_at + timedelta(minutes=row.duration_minutes)
    return SoonestSlot(starts_at, ends_at, row.service_id, row.price_minor, row.currency)


def _hit(cursors: _Cursors, row: _Row, soonest: SoonestSlot | None) -> SearchHit:
    return SearchHit(row.found, cursors.at(_place(cursors.key, row, soonest)), row.distance_km, soonest)


def _place(key: str, row: _Row, soonest: SoonestSlot | None = None) -> _Bound:
    if key == "soonest" and soonest is not None:
        return _Bound(minute_floor(soonest.starts_at), row.id)
    kind = _KINDS[key]
    value = row.sort_key or ""
    return _Bound(datetime.fromisoformat(value) if kind is datetime else kind(value), row.id)


def _bound_arguments(bound: _Bound | None) -> tuple[str | None, UUID | None]:
    if bound is None:
        return None, None
    value = bound.value
    return value.isoformat() if isinstance(value, datetime) else str(value), bound.id


def _offers(pairs: Iterable[tuple[UUID, Sequence[UUID]]]) -> dict[UUID, list[UUID]]:
    offers: dict[UUID, list[UUID]] = {}
    for provider_id, service_ids in pairs:
        for service_id in service_ids:
            offers.setdefault(service_id, []).append(provider_id)
    return offers


def wanted_json(wanted: ProviderWanted) -> str:
    """As search_providers reads it."""
    facts: dict[str, Any] = {
        "venueId": wanted.venue_id,
        "serviceId": wanted.service_id,
        "category": wanted.category,
        "text": wanted.text,
        "isActive": wanted.is_active,
        "minimumRating": wanted.minimum_rating,
        "languages": None if wanted.languages is None else [tag.lower() for tag in wanted.languages],
        "minimumMinor": wanted.minimum_minor,
        "maximumMinor": wanted.maximum_minor,
    }
    if wanted.near is not None:
        near = wanted.near
        facts |= {"latitude": near.latitude, "longitude": near.longitude, "radiusKm": near.radius_km}
    if wanted.free is not None:
        free = wanted.free
        first, past = axis(free.window())
        facts |= {"fromMinute": first, "toMinute": past}
        facts |= {"durationMinutes": free.duration_minutes, "partySize": free.party_size}
    return msgspec.json.encode({name: value for name, value in facts.items() if value is not None}).decode()
