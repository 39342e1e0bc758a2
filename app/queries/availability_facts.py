"""All that free slots are computed from, in one round trip: the plan, whose time is taken, and how new that is.

Facts do not depend on the clock. Who has them already asks with their versions, and is told what changed since, or that
nothing did (docs/adr/0014).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from time import perf_counter
from uuid import UUID

import msgspec
from asyncpg import Record

from app.core.database import Database
from app.core.metrics import FACTS_SECONDS
from app.domain.busy import Busy, BusyKind
from app.domain.errors import NotFound
from app.domain.instants import EPOCH, MAXIMUM_DATE, MINIMUM_DATE
from app.domain.packed_busy import PackedBusy
from app.domain.plan import MAXIMUM_WINDOW_DAYS, Window
from app.domain.price_book import PriceBook
from app.queries.availability import PROVIDER_LIMIT, UNNUMBERED_LIMIT
from app.queries.price_rule import get_price_book, kept_price_book
from app.queries.service_facts import ServiceFacts, read_service_facts
from app.queries.tenancy import bind

STATEMENT = "SELECT * FROM availability_facts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_HOLIDAYS_FROM, _HOLIDAYS_TO = timedelta(days=2), timedelta(days=MAXIMUM_WINDOW_DAYS)


@dataclass(frozen=True, slots=True)
class FactsQuestion:
    """`provider_ids` none: anyone who offers it; else sorted, each once, at most PROVIDER_LIMIT."""

    service_id: UUID
    provider_ids: tuple[UUID, ...] | None
    starts: Window

    @classmethod
    def of(cls, service_id: UUID, provider_ids: Iterable[UUID] | None, starts: Window) -> FactsQuestion:
        """Providers in any order, and more than once."""
        people = None if provider_ids is None else tuple(sorted(set(provider_ids)))[:PROVIDER_LIMIT]
        return cls(service_id, people, starts)


@dataclass(frozen=True, slots=True)
class Facts:
    """`text` is what `service` was read from. `versions`: of each subject, the service first, those of `busy` last.

    Versions are complete, or else empty: then nobody can tell later whether these facts still hold. They mean something
    in one `epoch` alone, which is of one price book, too. That book is in the plan, but not in the text.
    """

    starts: Window
    epoch: int
    text: str
    service: ServiceFacts
    busy: Mapping[UUID, PackedBusy]
    versions: Mapping[UUID, int]


class Told(StrEnum):
    """What the database told. The values are labels of metrics."""

    WHOLE = "whole"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


_SECONDS = {told: FACTS_SECONDS.labels(told.value) for told in Told}


@dataclass(frozen=True, slots=True)
class FactsAnswer:
    """`position` and `waiting` (ids of events of these subjects without a position): where the event log stood.

    `changed`: whose time was read anew, where something was known.
    """

    facts: Facts
    told: Told
    organization_id: UUID
    installation_id: UUID
    position: int
    waiting: tuple[int, ...]
    changed: frozenset[UUID] = frozenset()

    @property
    def can_resume(self) -> bool:
        """Is `waiting` all there is?"""
        return len(self.waiting) < UNNUMBERED_LIMIT


async def ask_facts(
    database: Database, question: FactsQuestion, today: date, *, user_id: UUID | None = None, known: Facts | None = None
) -> FactsAnswer:
    """One statement, and that of the price book where this process does not know it. `known` must have been read for
    the same service and providers, and covers the starts.

    `today` decides how far public holidays are worked out. Raises NotFound without such a service, OSError without a
    database.
    """
    starts = question.starts if known is None else known.starts
    began = perf_counter()
    row = await database.fetch_row(
        STATEMENT,
        question.service_id,
        question.provider_ids,
        starts.from_utc,
        starts.to_utc,
        user_id,
        None if known is None else known.epoch,
        None if known is None else list(known.versions),
        None if known is None else list(known.versions.values()),
        None if known is None else len(known.versions) - len(known.busy),
        PROVIDER_LIMIT,
    )
    if row is None:
        raise NotFound
    if known is not None and row["epoch"] != known.epoch:
        known = None
    changed: frozenset[UUID] = frozenset()
    if row["facts"] is None:
        assert known is not None
        told, facts = Told.UNCHANGED, _with_holidays(known, today)
    elif known is None:
        told, facts = Told.WHOLE, _facts(row, starts, read_busy(row["busy"]), today)
    else:
        told, read = Told.CHANGED, read_busy(row["busy"])
        changed = frozenset(read)
        facts = _facts(row, starts, {**known.busy, **read}, today, known)
    if facts.service.plan.price_version != row["price_version"]:
        book = await _price_book(database, row["organization_id"], row["price_version"])
        if book is None:  # another one since: these facts may be too narrow for it
            return await ask_facts(database, question, today, user_id=user_id)
        facts = _priced(facts, book, row["price_version"])
    _SECONDS[told].observe(perf_counter() - began)
    return FactsAnswer(
        facts,
        told,
        row["organization_id"],
        row["installation_id"],
        row["last_position"],
        tuple(row["waiting"] or ()),
        changed,
    )


async def _price_book(database: Database, organization_id: UUID, version: UUID | None) -> PriceBook | None:
    """None: this version is in force no more. No statement where it is known."""
    if kept_price_book(organization_id, version) is None:
        async with database.snapshot() as tx:
            await bind(tx, organization_id=organization_id)
            await get_price_book(tx, organization_id, version)
    return kept_price_book(organization_id, version)


def _priced(facts: Facts, book: PriceBook, version: UUID | None) -> Facts:
    plan = replace(facts.service.plan, book=book, price_version=version)
    return replace(facts, service=msgspec.structs.replace(facts.service, plan=plan))


def _facts(
    row: Record, starts: Window, busy: Mapping[UUID, PackedBusy], today: date, known: Facts | None = None
) -> Facts:
    text, holidays_to = row["facts"], holidays_end(starts, today)
    if known is not None and known.text == text and known.service.holidays_to >= holidays_to:
        service = known.service
    else:
        service = read_facts_text(text, starts, holidays_to)
    versions: dict[UUID, int | None] = dict(zip(row["subjects"], row["versions"], strict=True))
    takers = {subject: busy[subject] for subject in row["subjects"][row["places"] :]}
    return Facts(starts, row["epoch"], text, service, takers, _complete(versions))


def _with_holidays(known: Facts, today: date) -> Facts:
    """A new year needs those of another one."""
    holidays_to = holidays_end(known.starts, today)
    if known.service.holidays_to >= holidays_to:
        return known
    return replace(known, service=read_facts_text(known.text, known.starts, holidays_to))


def _complete(versions: Mapping[UUID, int | None]) -> dict[UUID, int]:
    known = {subject: version for subject, version in versions.items() if version is not None}
    return known if len(known) == len(versions) else {}


def read_facts_text(text: str, starts: Window, holidays_to: date) -> ServiceFacts:
    """Raises msgspec.DecodeError."""
    first = max(starts.from_utc.date(), MINIMUM_DATE + _HOLIDAYS_FROM) - _HOLIDAYS_FROM
    return read_service_facts(text, first.replace(month=1, day=1), holidays_to)  # the same days for all windows


def holidays_end(starts: Window, today: date) -> date:
    """How far public holidays are worked out: beyond any horizon, and to the end of that year."""
    last = max(starts.to_utc.date(), today)
    return date((min(last, MAXIMUM_DATE - _HOLIDAYS_TO) + _HOLIDAYS_TO).year, 12, 31)


# ── taken time ────────────────────────────────────────────────────────────────────────────────────────


Detail = tuple[int, int, BusyKind, int | None, int | None, int | None]
"""From, to, kind, start and end of the service, expiry: microseconds since 1970."""
PackedRow = tuple[UUID, list[int] | None, list[int] | None, list[Detail] | None]

_rows = msgspec.json.Decoder(list[PackedRow])


def read_busy(text: str) -> dict[UUID, PackedBusy]:
    """By subject. Raises msgspec.DecodeError."""
    return unpack_rows(_rows.decode(text))


def unpack_rows(rows: Iterable[PackedRow]) -> dict[UUID, PackedBusy]:
    return {
        subject: PackedBusy(lows or (), highs or (), tuple(_claim(detail) for detail in details or ()))
        for subject, lows, highs, details in rows
    }


def pack_rows(busy: Mapping[UUID, PackedBusy]) -> list[PackedRow]:
    """The other way round."""
    return [
        (subject, list(packed.lows), list(packed.highs), [_detail(claim) for claim in packed.details])
        for subject, packed in busy.items()
    ]


def _claim(detail: Detail) -> Busy:
    busy_from, busy_to, kind, starts_at, ends_at, expires_at = detail
    return Busy(_at(busy_from), _at(busy_to), kind, _maybe_at(starts_at), _maybe_at(ends_at), _maybe_at(expires_at))


def _detail(claim: Busy) -> Detail:
    starts_at, ends_at, expires_at = (
        None if each is None else _us(each) for each in (claim.starts_at, claim.ends_at, claim.expires_at)
    )
    return _us(claim.busy_from), _us(claim.busy_to), claim.kind, starts_at, ends_at, expires_at


def _at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _maybe_at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _at(microseconds)


def _us(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)
