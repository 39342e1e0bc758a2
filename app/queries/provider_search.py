"""Searching providers: a page in any order, found by one statement. The slot engine is asked where nothing else knows.

Availability is known from outlooks, which the worker keeps; rows that they cannot answer for come back marked, and are
kept or dropped by what the engine says (docs/adr/0010).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
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
from app.queries.pagination import PageRequest
from app.queries.provider_free import Offers, SoonestSlot
from app.queries.provider_rows import (
    COUNT_STATEMENT,
    STATEMENT,
    FoundRow,
    FoundRows,
    Place,
    SearchHit,
    order_name,
    read_counted,
    read_place,
    read_rows,
)
from app.queries.tenancy import Tenancy

ASKED_AT_ONCE = 40
"""Rows that are read where some of them must be asked of the engine, which may leave few."""
ROUNDS = 5
"""Of reading and asking, for one page. A page that is not full by then is cut; its cursor goes on."""
ASKED_MOST = 200
"""Providers asked before all can be put in order, or counted. More are due only for times that outlooks do not cover,
and while no worker runs."""

Ask = Callable[[Offers], Awaitable[Mapping[UUID, SoonestSlot]]]
"""Asks the slot engine for the first slot of each of these providers, among those services."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Cursors stand where the search stood, which on a page that was cut is beyond its hits."""

    hits: Sequence[SearchHit]
    has_next: bool
    has_previous: bool
    start_cursor: str | None
    end_cursor: str | None
    tenancy: Tenancy | None
    """Of the viewer, where any row told it."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A stretch of the order, whose cursors have that name; `backward`: its last rows."""

    order: str
    key: str
    is_falling: bool
    backward: bool
    size: int
    after: Place | None = None
    before: Place | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Hits of a stretch; whether there is no more; and how far was looked."""

    hits: list[SearchHit]
    is_over: bool
    last: Place | None
    tenancy: Tenancy | None


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
        wanted = wanted_json(self.wanted)
        order = order_name(sort, wanted)
        after, before = (
            read_place(order, sort, cursor, path)
            for cursor, path in ((request.after, "after"), (request.before, "before"))
        )
        stretch = _Stretch(order, sort.key, sort.is_falling, request.backward, request.size + 1, after, before)
        found = await (self._by_soonest if sort is ProviderSort.SOONEST_ASC else self._as_they_come)(stretch, wanted)
        more = len(found.hits) > request.size or not found.is_over
        hits = found.hits[: request.size]
        if request.backward:
            hits.reverse()
        first_cursor, last_cursor = (hits[0].cursor, hits[-1].cursor) if hits else (None, None)
        if not found.is_over and len(found.hits) <= request.size and found.last is not None:
            cut = found.last.cursor(order)
            first_cursor, last_cursor = (cut, last_cursor) if request.backward else (first_cursor, cut)
        if request.backward:
            has_next, has_previous = request.before is not None, more or request.after is not None
        else:
            has_next, has_previous = more or request.before is not None, request.after is not None
        return SearchPage(hits, has_next, has_previous, first_cursor, last_cursor, found.tenancy)

    async def count(self) -> int:
        """How many there are in all. Raises as `_too_many`."""
        stretch = _Stretch("", "count", False, False, 0)
        rows = read_counted(await self._fetch(COUNT_STATEMENT, stretch, wanted_json(self.wanted)) or "null") or []
        unsure = [row for row in rows if not row.is_sure]
        total = sum(int(row.sort_key or 0) for row in rows if row.is_sure)
        if len(unsure) > ASKED_MOST:
            raise self._too_many("can be counted")
        offers = _offers((row.provider_id, row.service_ids or ()) for row in unsure if row.provider_id is not None)
        return total + (len(await self.ask(offers)) if offers else 0)

    # ── in order ──────────────────────────────────────────────────────────────────────────────────────

    async def _as_they_come(self, stretch: _Stretch, wanted: str) -> _Found:
        """Part by part until the page is full; of each part the slot engine is asked about those who are not sure."""
        hits: list[SearchHit] = []
        last: Place | None = None
        tenancy: Tenancy | None = None
        part = stretch
        for _ in range(ROUNDS):
            found = await self._rows(part, wanted)
            rows = found.rows or []
            if self.wanted.free is None:
                hits += [SearchHit(row.found, row.distance_km, None, stretch.order, row.sort_key or "") for row in rows]
            else:
                asked = await self._ask_about([row for row in rows if not row.is_sure])
                hits += [
                    _hit(stretch.order, row, _known(row, found) if row.is_sure else asked[row.id])
                    for row in rows
                    if row.is_sure or row.id in asked
                ]
            tenancy = tenancy or self._tenancy(found)
            if len(hits) >= stretch.size:
                del hits[stretch.size :]
                return _Found(hits, False, hits[-1].place, tenancy)
            last = Place(rows[-1].sort_key or "", rows[-1].found.id_text) if rows else last
            if len(rows) < part.size:
                return _Found(hits, True, last, tenancy)
            part = replace(part, size=max(stretch.size, ASKED_AT_ONCE))
            part = replace(part, before=last) if part.backward else replace(part, after=last)
        return _Found(hits, False, last, tenancy)

    async def _by_soonest(self, stretch: _Stretch, wanted: str) -> _Found:
        """Who must be asked may come anywhere, so all of those are asked first."""
        found = await self._rows(stretch, wanted)
        rows = found.rows or []
        unsure = [row for row in rows if not row.is_sure]
        if len(unsure) > ASKED_MOST:
            raise self._too_many("can be put in the order SOONEST_ASC")
        asked = await self._ask_about(unsure)
        slots = [(row, _known(row, found)) for row in rows if row.is_sure]
        slots += [(row, asked[row.id]) for row in unsure if row.id in asked]
        placed = [
            ((minute_floor(slot.starts_at), row.found.id_text), row, slot) for row, slot in slots if slot is not None
        ]
        placed.sort(key=itemgetter(0), reverse=stretch.backward)
        after, before = (bound and (int(bound.key), bound.id) for bound in (stretch.after, stretch.before))
        hits = [
            _hit(stretch.order, row, slot, str(place[0]))
            for place, row, slot in placed
            if (after is None or place > after) and (before is None or place < before)
        ]
        return _Found(hits[: stretch.size], True, None, self._tenancy(found))

    async def _ask_about(self, rows: Sequence[FoundRow]) -> Mapping[UUID, SoonestSlot]:
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

    async def _rows(self, stretch: _Stretch, wanted: str) -> FoundRows:
        return read_rows(await self._fetch(STATEMENT, stretch, wanted) or "[]")

    async def _fetch(self, statement: str, stretch: _Stretch, wanted: str) -> str | None:
        after, before = stretch.after, stretch.before
        try:
            row = await self.database.fetch_row(
                statement,
                self.organization_id,
                self.user_id,
                self.now,
                wanted,
                stretch.key,
                stretch.is_falling,
                stretch.backward,
                stretch.size,
                ASKED_MOST,
                *(after or (None, None)),
                *(before or (None, None)),
            )
        except NoDataFoundError:
            raise NotFound from None
        except InvalidParameterValueError:
            raise BadInput.at("filter.text", "has no words to search for, only punctuation") from None
        return None if row is None else row[0]

    def _tenancy(self, found: FoundRows) -> Tenancy | None:
        return Tenancy(self.organization_id, found.role, found.own_provider_id) if found.rows else None


def _known(row: FoundRow, found: FoundRows) -> SoonestSlot | None:
    """From the outlooks; None where nobody asked for availability."""
    if row.soonest_minute is None or row.service_id is None or row.duration_minutes is None:
        return None
    starts_at = at_minute(row.soonest_minute)
    ends_at = starts_at + timedelta(minutes=row.duration_minutes)
    return SoonestSlot(starts_at, ends_at, row.service_id, row.price_minor, found.currency or "")


def _hit(order: str, row: FoundRow, soonest: SoonestSlot | None, key: str | None = None) -> SearchHit:
    return SearchHit(row.found, row.distance_km, soonest, order, key or row.sort_key or "")


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
