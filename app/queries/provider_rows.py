"""What the SQL function search_providers finds: compact rows, of which a page decodes what it needs, and cursors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from app.core.ids import IdKind, encode_id_text
from app.domain.errors import BadInput
from app.domain.instants import check_instant
from app.domain.provider_search import ProviderSort
from app.queries.pagination import decode_cursor, encode_cursor
from app.queries.provider_free import SoonestSlot

_SEARCH = "search_providers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
STATEMENT = f"""
    SELECT json_build_array(
        min(r.role), min(r.own_provider_id::text), min(r.currency),
        json_agg(json_build_array(
            r.sort_key, r.is_sure, r.distance_km, r.service_id, r.soonest_minute, r.duration_minutes, r.price_minor,
            r.service_ids, json_build_array(
                p.id, p.organization_id, p.venue_id, p.user_id, p.name, p.bio, p.time_zone, p.rating, p.is_active,
                p.works_on_holidays, p.languages, p.daily_booking_limit, p.weekly_booking_limit, p.calendar_version,
                p.created_at, p.service_area, p.shows_presence))))::text
    FROM {_SEARCH} r CROSS JOIN LATERAL (SELECT (r.found).*) p
"""  # noqa: S608 - constant
COUNT_STATEMENT = f"""
    SELECT json_agg(json_build_array(r.sort_key, r.is_sure, r.provider_id, r.service_ids))::text FROM {_SEARCH} r
"""  # noqa: S608 - constant


class FoundProvider(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Reads like models.Provider. Ids are texts until somebody wants them: a page rarely does."""

    id_text: str
    organization_id_text: str
    venue_id_text: str
    user_id_text: str | None
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
    created_at_text: str
    service_area: dict[str, Any] | None
    shows_presence: bool

    @property
    def id(self) -> UUID:
        return UUID(self.id_text)

    @property
    def organization_id(self) -> UUID:
        return UUID(self.organization_id_text)

    @property
    def venue_id(self) -> UUID:
        return UUID(self.venue_id_text)

    @property
    def user_id(self) -> UUID | None:
        return None if self.user_id_text is None else UUID(self.user_id_text)

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.created_at_text)

    @property
    def public_id(self) -> str:
        return encode_id_text(IdKind.PROVIDER, self.id_text)


class FoundRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`sort_key` as PostgreSQL writes it; `service_ids`: to be asked of the slot engine, where it is not sure."""

    sort_key: str | None
    is_sure: bool
    distance_km: float | None
    service_id: UUID | None
    soonest_minute: int | None
    duration_minutes: int | None
    price_minor: int | None
    service_ids: list[UUID] | None
    found: FoundProvider

    @property
    def id(self) -> UUID:
        return self.found.id


class FoundRows(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first three are the same for all rows, so they are told once; none of them without rows."""

    role: str | None = None
    own_provider_id: UUID | None = None
    currency: str | None = None
    rows: list[FoundRow] | None = None


class CountedRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many are sure to be found, or one who is not."""

    sort_key: str | None
    is_sure: bool
    provider_id: UUID | None
    service_ids: list[UUID] | None


read_rows = msgspec.json.Decoder(FoundRows).decode
read_counted = msgspec.json.Decoder(list[CountedRow] | None).decode


class Place(NamedTuple):
    """A place in an order: after it or before it, it itself excluded. Both as PostgreSQL writes them."""

    key: str
    id: str

    def cursor(self, order: str) -> str:
        return encode_cursor(order, self.key, self.id)


class SearchHit(NamedTuple):
    """A provider with what was found out: how far away, if asked by place; when free, if asked by availability.

    `key`: where it stands in the order of that name.
    """

    provider: FoundProvider
    distance_km: float | None
    soonest: SoonestSlot | None
    order: str
    key: str

    @property
    def place(self) -> Place:
        return Place(self.key, self.provider.id_text)

    @property
    def cursor(self) -> str:
        return encode_cursor(self.order, self.key, self.provider.id_text)


def order_name(sort: ProviderSort, wanted: str) -> str:
    """What marks the cursors of one search: in another one they would mean something else. `wanted`: as it is sent."""
    return f"{sort.value} {blake2b(wanted.encode(), digest_size=6).hexdigest()}"


def read_place(order: str, sort: ProviderSort, cursor: str | None, path: str) -> Place | None:
    """Raises BadInput for what is no cursor of this order."""
    if cursor is None:
        return None
    try:
        key, row_id = decode_cursor(order, str, cursor, path)
        return Place(_READERS[sort.key](key), str(row_id))
    except (BadInput, ValueError, OverflowError):
        raise BadInput.at(path, "is no cursor of this list with this filter in this order") from None


_LARGEST = 2**63


def _integer(text: str) -> str:
    value = int(text)
    if not -_LARGEST <= value < _LARGEST:
        raise ValueError
    return str(value)


def _number(text: str) -> str:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return repr(value)


def _instant(text: str) -> str:
    return check_instant(datetime.fromisoformat(text)).isoformat()


_READERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "name": str,
        "created": _instant,
        "rating": _number,
        "distance": _number,
        "price": _integer,
        "soonest": _integer,
        "relevance": _integer,
    }
)
"""By the key of an order: the text that PostgreSQL is given for one from a cursor. They raise ValueError."""
