"""What a step may have changed, and that it changed nothing else.

A step names the bookings that somebody changed on purpose. All the others are to the letter what they were before, and
so is whatever they occupy; only unpaid ones that ran out may have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.booking import HELD
from app.domain.errors import DomainError, SlotUnavailable
from app.domain.plan import UnavailableReason
from tests.e2e.lifecycle_rows import LIVE, Row, Rows, instant

ALWAYS = frozenset({"version", "updated_at"})
STEPPED = frozenset(
    {
        "status",
        "payment_status",
        "paid_minor",
        "refunded_minor",
        "uncounted_minor",
        "has_saved_method",
        "expires_at",
    }
)
MOVED = frozenset(
    {
        "starts_at",
        "ends_at",
        "provider_id",
        "session_id",
        "time_zone",
        "cancellable_until",
        "status",
        "expires_at",
        "quote",
        "reschedules",
        "terms",
    }
)
_INSTANTS = frozenset({"starts_at", "ends_at", "expires_at", "cancellable_until"})


@dataclass(slots=True)
class Wanted:
    """What somebody asked for, so that a refusal can be looked into. `subjects`: any of these would do for it."""

    subjects: tuple[str, ...] = ()
    busy_from: datetime | None = None
    busy_to: datetime | None = None
    session: str | None = None
    party: int = 0


@dataclass(slots=True)
class Intent:
    """What the step means to do. `bookings`: which columns of which may change. `is_office`: what runs in the
    background may do to money whatever follows from it."""

    bookings: dict[str, frozenset[str]] = field(default_factory=dict)
    holds: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    """Holds of whoever asks, which go where something else is held instead, and are never in their own way."""
    creates: int = 0
    wanted: Wanted | None = None
    is_office: bool = False
    fills: bool = False
    """All that is free was offered to those who wait."""
    is_atomic: bool = True
    """Refused, nothing at all was done."""
    must_succeed: bool = False
    """It was said before that this can be had."""
    refusal: DomainError | None = None

    def change(self, booking_id: UUID | str, columns: frozenset[str]) -> None:
        self.bookings[str(booking_id)] = columns | self.bookings.get(str(booking_id), frozenset())


def broken_promises(before: Rows, after: Rows, intent: Intent, promises: Mapping[str, Row]) -> Iterator[str]:
    """For a person."""
    if intent.refusal is not None and intent.is_atomic:
        yield from _dishonest(before, after.now, intent)
        if intent.must_succeed and not _is_time_awaited(before):
            yield f"this was said to be free, and was refused: {intent.refusal!r}"
        intent = Intent(is_office=intent.is_office)
    made = len(after.bookings.keys() - before.bookings.keys())
    if made != intent.creates:
        yield f"{made} bookings were made where {intent.creates} were asked for"
    gone = before.bookings.keys() - after.bookings.keys()
    if gone:
        yield f"bookings are gone: {sorted(gone)}"
    was, now = _Occupied(before), _Occupied(after)
    for key in before.bookings.keys() & after.bookings.keys():
        yield from _changes_of_booking(key, before, after, was=was, now=now, intent=intent)
    for key in before.holds.keys() - intent.holds - intent.own:
        yield from _changes_of_hold(key, before, after, was=was, now=now)
    yield from _not_as_promised(after, promises)
    yield from _let_in(before, after)


def _is_time_awaited(rows: Rows) -> bool:
    """What lapsed reads as free, and is for those who wait until a sweep has offered it."""
    return any(one["status"] == "waiting" and one["service_id"] is not None for one in rows.waiting.values())


def _changes_of_booking(
    key: str, before: Rows, after: Rows, *, was: _Occupied, now: _Occupied, intent: Intent
) -> Iterator[str]:
    old, new = before.bookings[key], after.bookings[key]
    allowed = _allowed(old, new, intent, after.now)
    changed = {name for name in old if old[name] != new[name]}
    if changed - allowed:
        yield f"booking {key}: {_shown(old, new, changed - allowed)} changed, and nobody asked for it"
    if changed and new["version"] <= old["version"]:
        yield f"booking {key} changed without a new version"
    if "starts_at" in allowed:
        return
    if before.items.get(key) != after.items.get(key):
        yield f"booking {key}: its items changed, and nobody asked for it"
    if not changed and was.of_booking(key) != now.of_booking(key):
        yield f"booking {key}: what it occupies changed: {was.of_booking(key)} -> {now.of_booking(key)}"


def _changes_of_hold(key: str, before: Rows, after: Rows, *, was: _Occupied, now: _Occupied) -> Iterator[str]:
    old = before.holds[key]
    if old["status"] != "active" or instant(old["expires_at"]) <= after.now:
        return
    if after.holds[key] != old:
        yield f"hold {key}: {_shown(old, after.holds[key], set(old))} changed, and nobody asked for it"
    if was.of_hold(key) != now.of_hold(key):
        yield f"hold {key}: what it keeps changed: {was.of_hold(key)} -> {now.of_hold(key)}"


def _allowed(old: Row, new: Row, intent: Intent, now: datetime) -> frozenset[str]:
    allowed = intent.bookings.get(old["id"], frozenset())
    deadline = old["expires_at"]
    is_waiting = old["status"] in HELD or old["status"] == "awaiting_provider"
    ran_out = is_waiting and deadline is not None and instant(deadline) <= now and new["status"] == "expired"
    if ran_out or intent.is_office:
        allowed |= STEPPED
    return allowed | ALWAYS if allowed else allowed


def _shown(old: Row, new: Row, names: set[str]) -> str:
    return ", ".join(f"{name} {old[name]!r} -> {new[name]!r}" for name in sorted(names) if old[name] != new[name])


class _Occupied:
    """Time and places by whose they are, as far as they are live."""

    def __init__(self, rows: Rows) -> None:
        self._kept: dict[tuple[str, str], list[Any]] = {}
        for one in rows.allocations:
            if one["status"] in LIVE:
                self._put(one, (one["subject_id"], one["busy"], one["status"], one["expires_at"]))
        for one in rows.claims:
            if one["status"] in LIVE:
                self._put(one, (one["session_id"], one["places"], one["status"], one["expires_at"]))

    def _put(self, row: Row, what: Any) -> None:
        kind = "booking_id" if row["booking_id"] is not None else "hold_id"
        self._kept.setdefault((kind, str(row[kind])), []).append(what)

    def of_booking(self, key: str) -> list[Any]:
        return self._kept.get(("booking_id", key), [])

    def of_hold(self, key: str) -> list[Any]:
        return self._kept.get(("hold_id", key), [])


def _not_as_promised(rows: Rows, promises: Mapping[str, Row]) -> Iterator[str]:
    """Not of what the step reports, but of what people were told."""
    for key, promised in promises.items():
        row = rows.bookings.get(key)
        if row is None:
            yield f"booking {key} was promised, and is not there"
            continue
        for name, value in promised.items():
            kept = instant(row[name]) if name in _INSTANTS and row[name] is not None else row[name]
            if kept != value:
                yield f"booking {key}: {name} was promised as {value}, and is {kept}"


def _let_in(before: Rows, after: Rows) -> Iterator[str]:
    """Nobody new comes into a session beyond its capacity, whatever is left to those who were there."""
    for key, session in after.sessions.items():
        old = before.sessions.get(key)
        if old is not None and session["taken"] > max(old["taken"], session["capacity"]):
            yield f"session {key}: {session['taken']} of {session['capacity']}, and it were {old['taken']}"


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────

_TAKEN = frozenset({UnavailableReason.BOOKED, UnavailableReason.HELD, UnavailableReason.BUFFER})


def _dishonest(before: Rows, now: datetime, intent: Intent) -> Iterator[str]:
    """Who is told that something is taken could not have had it."""
    wanted, refusal = intent.wanted, intent.refusal
    if wanted is None or not isinstance(refusal, SlotUnavailable):
        return
    if any(one["status"] == "waiting" for one in before.waiting.values()):
        return  # what is free may be for them
    if refusal.reason is UnavailableReason.CAPACITY and wanted.session is not None:
        session = before.sessions[wanted.session]
        claims = [one for one in before.claims if one["session_id"] == session["id"] and _is_live(one, now)]
        taken = sum(one["places"] for one in claims if one["hold_id"] not in intent.own)
        if taken + wanted.party <= session["capacity"]:
            yield f"{wanted.party} places were refused, and {taken} of {session['capacity']} are taken: {session['id']}"
    if refusal.reason in _TAKEN and wanted.busy_from is not None and wanted.busy_to is not None:
        for subject in wanted.subjects:
            if not any(
                one["subject_id"] == subject
                and one["hold_id"] not in intent.own
                and _is_live(one, now)
                and instant(one["from"]) < wanted.busy_to
                and instant(one["to"]) > wanted.busy_from
                for one in before.allocations
            ):
                yield f"{wanted.busy_from} of {subject} was refused as {refusal.reason}, and it is free"


def _is_live(claim: Row, now: datetime) -> bool:
    return claim["status"] == "booked" or (claim["status"] == "held" and instant(claim["expires_at"]) > now)
