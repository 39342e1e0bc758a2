"""Connecting calendars elsewhere, and keeping what they say of a provider's time (docs/adr/0009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import CursorResult, DateTime, Interval, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.types import Uuid

from app.commands.actor import SYSTEM, Actor
from app.commands.changes import change_row, refused_as
from app.commands.fields import Form, optional_line, required
from app.commands.job import enqueue
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.busy_calendar import SourceStatus, Span
from app.domain.errors import InvalidInput, NotAllowed, RateLimited
from app.domain.feed_url import masked_url, normalize_feed_url
from app.models import BlockedTime, CalendarSource, Provider
from app.queries.calendar_source import count_sources
from app.queries.rows import lock_row

POLL = "calendar.poll"
POLL_ATTEMPTS = 3
SILENCE = timedelta(minutes=10)
"""A poll of which nothing was heard for so long is asked for again."""
REFRESH_PAUSE = timedelta(minutes=1)
MOST_SOURCES = 10
"""Of one provider."""
NAME_MAXIMUM = 100

FORM = Form({"url": required(normalize_feed_url), "name": optional_line(NAME_MAXIMUM)})

_CONNECTED = {"calendar_source_provider_url_key": InvalidInput.at("input.url", "is connected to this provider already")}
_NOW = func.turnero_now(type_=DateTime(timezone=True))


# ── people ────────────────────────────────────────────────────────────────────────────────────────────


async def connect_calendar(
    tx: Tx, organization_id: UUID, actor: Actor, provider_id: UUID, values: Mapping[str, Any]
) -> CalendarSource:
    """`values` as FORM cleans them; without a name it is called after its host. Asks for the first poll.

    Raises NotFound, NotAllowed for one too many, InvalidInput for one that is connected already.
    """
    await lock_row(tx, Provider, provider_id)
    if await count_sources(tx, provider_id) >= MOST_SOURCES:
        raise NotAllowed("calendar_limit", f"A provider can have {MOST_SOURCES} calendars. Disconnect one first.")
    source = CalendarSource(
        id=new_id(),
        organization_id=organization_id,
        provider_id=provider_id,
        url=values["url"],
        name=values.get("name") or str(urlsplit(values["url"]).hostname),
        created_by=actor.user_id,
        next_poll_at=_NOW + SILENCE,
    )
    tx.add(source)
    with refused_as(_CONNECTED):
        await tx.flush()
    await tx.refresh(source)
    await _ask(tx, source)
    after = {"provider_id": provider_id, "name": source.name, "url": masked_url(source.url)}
    audit = Audit("calendar.connected", source.id, None, after)
    await write_journal(tx, organization_id, actor, audit=[audit], events=[_told(source, "connected")])
    return source


async def disconnect_calendar(tx: Tx, organization_id: UUID, actor: Actor, source: CalendarSource) -> CalendarSource:
    """Its busy times block no longer, and its secret address is forgotten. `source` is locked and connected."""
    gone = await tx.execute(
        update(BlockedTime)
        .where(BlockedTime.source_id == source.id, BlockedTime.removed_at.is_(None))
        .values(removed_at=_NOW)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(gone, CursorResult)
    before = {"provider_id": source.provider_id, "name": source.name, "url": masked_url(source.url)}
    source.url = masked_url(source.url)
    source.removed_at = _NOW
    await tx.flush()
    await tx.refresh(source)
    await write_journal(
        tx,
        organization_id,
        actor,
        audit=[Audit("calendar.disconnected", source.id, before)],
        events=[_told(source, "disconnected"), *([external_busy_changed(source)] if gone.rowcount else [])],
    )
    return source


async def refresh_calendar(tx: Tx, actor: Actor, source: CalendarSource, now: datetime) -> CalendarSource:
    """Ask for a poll now. `source` is locked and connected. Raises RateLimited when one was asked for just before."""
    wait = source.requested_at + REFRESH_PAUSE - now
    if wait > timedelta(0):
        message = "This calendar was asked for less than a minute ago. Give it a moment."
        raise RateLimited(message, -(-wait // timedelta(seconds=1)))
    source.requested_at = now
    source.next_poll_at = now + SILENCE
    await tx.flush()
    await _ask(tx, source)
    audit = Audit("calendar.refreshed", source.id)
    await write_journal(tx, source.organization_id, actor, audit=[audit], events=[_told(source, "refreshed")])
    return source


async def revoke_calendar_feed(tx: Tx, organization_id: UUID, actor: Actor, provider_id: UUID) -> Provider:
    """The provider's own feed gets a new address; the old one opens nothing. Raises NotFound."""
    provider = await lock_row(tx, Provider, provider_id)
    await change_row(
        tx,
        organization_id,
        actor,
        "calendar_feed.revoked",
        provider,
        subject_id=provider_id,
        values={"calendar_version": provider.calendar_version + 1},
    )
    return provider


async def _ask(tx: Tx, source: CalendarSource) -> None:
    args = {"sourceId": str(source.id)}
    await enqueue(tx, POLL, args, organization_id=source.organization_id, max_attempts=POLL_ATTEMPTS)


def _told(source: CalendarSource, what: str) -> Event:
    """For those who look after calendars: whether times changed is another event."""
    payload = {"sourceId": source.id, "providerId": source.provider_id, "status": source.status}
    return Event(f"calendar_source.{what}", source.id, payload)


def external_busy_changed(source: CalendarSource) -> Event:
    """For those who look at the provider's availability."""
    return Event("external_busy.changed", source.provider_id, {"providerId": source.provider_id, "sourceId": source.id})


# ── polls ─────────────────────────────────────────────────────────────────────────────────────────────

_ROOM = text("SELECT :lanes - count(*) FROM job WHERE kind = :kind AND done_at IS NULL AND failed_at IS NULL")
_DUE = text(
    """
    UPDATE calendar_source SET next_poll_at = turnero_now() + :silence WHERE id = ANY (ARRAY(
        SELECT id FROM calendar_source WHERE removed_at IS NULL AND next_poll_at <= (SELECT turnero_now())
        ORDER BY next_poll_at LIMIT :room FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING id, organization_id
    """
).bindparams(bindparam("silence", type_=Interval))


async def ask_for_due(tx: Tx, lanes: int, most: int) -> int:
    """Ask for polls of those that are due, longest due first, at most `most`, so that at most `lanes` are under way."""
    room: int = (await tx.execute(_ROOM, {"lanes": lanes, "kind": POLL})).scalar_one()
    if room <= 0:
        return 0
    due = (await tx.execute(_DUE, {"silence": SILENCE, "room": min(room, most)})).all()
    for source_id, organization_id in due:
        args = {"sourceId": str(source_id)}
        await enqueue(tx, POLL, args, organization_id=organization_id, max_attempts=POLL_ATTEMPTS)
    return len(due)


@dataclass(frozen=True, slots=True)
class Reading:
    """A calendar that was read anew: when its owner is busy, in what zone and up to when that was worked out."""

    spans: Sequence[Span]
    window: Span
    zone_name: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Polled:
    """How a poll that began at `began_at` ended. `reading`: None where nothing changed, or nothing was had.

    `message`: for a person; of a success, what of the calendar could not be read. Validators are those of a success.
    """

    began_at: datetime
    status: SourceStatus
    delay: timedelta
    message: str | None = None
    reading: Reading | None = None
    etag: str | None = None
    last_modified: str | None = None


async def record_poll(tx: Tx, source: CalendarSource, polled: Polled) -> bool:
    """Write what a poll found. `source` is locked and connected. Says whether busy times changed.

    Nothing is written for a poll that began before one that is written already.
    """
    if source.last_polled_at is not None and source.last_polled_at > polled.began_at:
        return False
    before = source.status
    source.status = polled.status
    source.last_polled_at = polled.began_at
    source.next_poll_at = _NOW + polled.delay
    changed = False
    if polled.status is SourceStatus.ACTIVE:
        source.failures = 0
        source.last_success_at = polled.began_at
        source.etag, source.last_modified = polled.etag, polled.last_modified
    else:
        source.failures += 1
    if polled.reading is not None or before != SourceStatus.ACTIVE or polled.status is not SourceStatus.ACTIVE:
        source.last_error = polled.message  # else what was left out of the same calendar still is
    if polled.reading is not None:
        changed = await _replace_busy(tx, source, polled.reading)
    await tx.flush()
    if changed or before != polled.status:
        audit, events = [], [external_busy_changed(source)] if changed else []
        if before != polled.status:
            was, now = {"status": before}, {"status": polled.status}
            audit = [Audit(f"calendar.{polled.status}", source.id, was, now, polled.message)]
            events.append(_told(source, "status_changed"))
        await write_journal(tx, source.organization_id, SYSTEM, audit=audit, events=events)
    return changed


_INSERT = text(
    """
    INSERT INTO blocked_time (id, organization_id, subject_id, kind, source_id, reason, starts_at, ends_at)
    SELECT span.id, :organization_id, :provider_id, 'external', :source_id, NULL, span.starts_at, span.ends_at
    FROM unnest(:ids, :starts, :ends) AS span (id, starts_at, ends_at)
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("starts", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("ends", type_=ARRAY(TIMESTAMP(timezone=True))),
)


async def _replace_busy(tx: Tx, source: CalendarSource, reading: Reading) -> bool:
    """Only what differs is written: spans that stand keep their rows. What ended before the window is history."""
    source.event_count = len(reading.spans)
    source.content_hash = reading.content_hash
    source.read_in_zone = reading.zone_name
    source.covered_until = reading.window[1]
    rows = await tx.execute(
        select(BlockedTime.id, BlockedTime.starts_at, BlockedTime.ends_at).where(
            BlockedTime.source_id == source.id,
            BlockedTime.removed_at.is_(None),
            BlockedTime.ends_at > reading.window[0],
        )
    )
    known = {(starts_at, ends_at): row_id for row_id, starts_at, ends_at in rows}
    wanted = set(reading.spans)
    gone = [row_id for span, row_id in known.items() if span not in wanted]
    new = [span for span in reading.spans if span not in known]
    if gone:
        removing = update(BlockedTime).where(BlockedTime.id.in_(gone)).values(removed_at=_NOW)
        await tx.execute(removing.execution_options(synchronize_session=False))
    if new:
        values = {
            "organization_id": source.organization_id,
            "provider_id": source.provider_id,
            "source_id": source.id,
            "ids": [new_id() for _ in new],
            "starts": [span[0] for span in new],
            "ends": [span[1] for span in new],
        }
        await tx.execute(_INSERT, values)
    return bool(gone or new)


_PURGE = text(
    """
    DELETE FROM blocked_time WHERE id = ANY (ARRAY(
        SELECT id FROM blocked_time
        WHERE kind = 'external' AND LEAST(ends_at, removed_at) < (SELECT turnero_now()) - LEAST(:kept, :kept_removed)
          AND (ends_at < (SELECT turnero_now()) - :kept OR removed_at < (SELECT turnero_now()) - :kept_removed)
        LIMIT :batch))
    """
).bindparams(bindparam("kept", type_=Interval), bindparam("kept_removed", type_=Interval))


async def purge_external_busy(tx: Tx, kept: timedelta, kept_removed: timedelta, batch: int) -> int:
    """Delete copies of busy times that ended longer ago than `kept`, or were taken away longer ago than `kept_removed`.

    One statement.
    """
    result = await tx.execute(_PURGE, {"kept": kept, "kept_removed": kept_removed, "batch": batch})
    assert isinstance(result, CursorResult)
    return result.rowcount
