"""What is true of a shop at every moment, computed from its rows alone, without trusting any constraint or function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from app.domain.booking import HELD, OCCUPYING, TRANSITIONS, BookingStatus
from tests.e2e.lifecycle_rows import LIVE, Row, Rows, instant

MADE = {
    "startsAt": "starts_at",
    "endsAt": "ends_at",
    "providerId": "provider_id",
    "serviceId": "service_id",
    "sessionId": "session_id",
    "customerId": "customer_id",
    "priceMinor": "price_minor",
    "promoCodeId": "promo_code_id",
}
"""How the first audit entry of a booking names its columns."""


INVARIANTS: list[Callable[[Rows], Iterator[str]]] = []
"""All of them: modules of what else there is add theirs."""


def invariant(look: Callable[[Rows], Iterator[str]]) -> Callable[[Rows], Iterator[str]]:
    """From now on looked at after each step."""
    INVARIANTS.append(look)
    return look


def faults_of(rows: Rows) -> Iterator[str]:
    """For a person; none when all is well."""
    for look in INVARIANTS:
        for fault in look(rows):
            yield f"{look.__name__}: {fault}"


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────


@invariant
def no_overlap(rows: Rows) -> Iterator[str]:
    """Neither of the rows that claim time, nor of what was booked with its buffers, whatever those rows say."""
    claimed: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    for one in rows.allocations:
        if one["status"] in LIVE:
            claimed[one["subject_id"]].append((instant(one["from"]), instant(one["to"]), one["id"]))
    for subject, spans in claimed.items():
        yield from (f"{subject} is claimed twice: {pair}" for pair in _overlaps(spans))
    for provider, spans in _meant(rows).items():
        yield from (f"{provider} is booked twice: {pair}" for pair in _overlaps(spans))


def _meant(rows: Rows) -> dict[str, list[tuple[datetime, datetime, str]]]:
    """Each provider's time, with buffers, by bookings, by holds that have not run out and by sessions that are led."""
    found: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    for booking in rows.occupying:
        for item in rows.items.get(booking["id"], ()):
            before, after = item["buffer_before_minutes"], item["buffer_after_minutes"]
            found[item["provider_id"]].append((*_buffered(item, before, after), f"booking {booking['id']}"))
    for hold in rows.holds.values():
        if hold["status"] == "active" and hold["session_id"] is None and instant(hold["expires_at"]) > rows.now:
            for provider, start, end in _of_hold(hold):
                found[provider].append((start, end, f"hold {hold['id']}"))
    for one in rows.allocations:
        if one["session_id"] is not None and one["status"] == "booked":
            found[one["subject_id"]].append((instant(one["from"]), instant(one["to"]), f"session {one['session_id']}"))
    return found


def _of_hold(hold: Row) -> Iterator[tuple[str, datetime, datetime]]:
    for item in hold["items"] or ():
        start, end = instant(item["startsAt"]), instant(item["endsAt"])
        yield (
            item["providerId"],
            start - timedelta(minutes=item["bufferBefore"]),
            end + timedelta(minutes=item["bufferAfter"]),
        )
    if not hold["items"]:
        start, end = _buffered(hold, hold["buffer_before_minutes"], hold["buffer_after_minutes"])
        yield hold["provider_id"], start, end


def _buffered(row: Row, before: int, after: int) -> tuple[datetime, datetime]:
    return instant(row["starts_at"]) - timedelta(minutes=before), instant(row["ends_at"]) + timedelta(minutes=after)


def _overlaps(spans: list[tuple[datetime, datetime, str]]) -> list[tuple[str, str]]:
    """Of different owners: a visit's own services may touch each other's buffers."""
    found, furthest = [], None
    for one in sorted(spans):
        if furthest is not None and one[0] < furthest[1] and one[2] != furthest[2]:
            found.append((furthest[2], one[2]))
        if furthest is None or one[1] > furthest[1]:
            furthest = one
    return found


@invariant
def time_follows_status(rows: Rows) -> Iterator[str]:
    """A booking of time has all its items' time while it occupies it, as a hold until it is paid; otherwise none."""
    live: dict[str, list[Row]] = defaultdict(list)
    for one in rows.allocations:
        if one["status"] in LIVE and one["booking_id"] is not None:
            live[one["booking_id"]].append(one)
    for booking in rows.bookings.values():
        mine, status = live.pop(booking["id"], []), booking["status"]
        if booking["session_id"] is not None or status not in OCCUPYING:
            if mine:
                yield f"booking {booking['id']} is {status} and has {len(mine)} rows of time"
            continue
        wanted = "held" if status in HELD else "booked"
        if any(one["status"] != wanted for one in mine):
            yield f"booking {booking['id']} is {status} and its time {sorted({one['status'] for one in mine})}"
        for item in rows.items[booking["id"]]:
            start, end = _buffered(item, item["buffer_before_minutes"], item["buffer_after_minutes"])
            if not any(
                one["subject_id"] == item["provider_id"] and instant(one["from"]) <= start and instant(one["to"]) >= end
                for one in mine
            ):
                yield f"booking {booking['id']} is {status} and has no time for {item['starts_at']}"
    if live:
        yield f"time of bookings that are not there: {sorted(live)}"


@invariant
def items_follow_booking(rows: Rows) -> Iterator[str]:
    """From the first one's start to the last one's end, one after the other; together they cost the price."""
    for booking in rows.bookings.values():
        items = rows.items.get(booking["id"], [])
        if booking["session_id"] is not None:
            if items:
                yield f"booking {booking['id']} of a session has items"
            continue
        first, last = items[0], items[-1]
        whole = (first["starts_at"], last["ends_at"], first["provider_id"])
        if whole != (booking["starts_at"], booking["ends_at"], booking["provider_id"]):
            yield f"booking {booking['id']} is elsewhere than its items: {whole}"
        if any(one["ends_at"] != other["starts_at"] for one, other in pairwise(items)):
            yield f"booking {booking['id']}: its items do not follow each other"
        if sum(one["price_minor"] for one in items) != booking["price_minor"]:
            yield f"booking {booking['id']}: its items do not cost {booking['price_minor']}"


# ── places ────────────────────────────────────────────────────────────────────────────────────────────


@invariant
def places_add_up(rows: Rows) -> Iterator[str]:
    """A session's counter, its live claims and its parties are one number, within its capacity."""
    claimed: dict[str, int] = defaultdict(int)
    parties: dict[str, int] = defaultdict(int)
    for one in rows.claims:
        if one["status"] in LIVE:
            claimed[one["session_id"]] += one["places"]
            if one["is_private"]:  # all there were, however few come
                parties[one["session_id"]] += one["places"]
    active = (one for one in rows.holds.values() if one["status"] == "active")
    for party in (*rows.occupying, *active):
        if party["session_id"] is not None and not party["is_private"]:
            parties[party["session_id"]] += party["party_size"]
    for key, session in rows.sessions.items():
        numbers = (session["taken"], claimed[key], parties[key])
        if len(set(numbers)) > 1:
            yield f"session {key}: taken, claimed and parties are {numbers}"
        if session["taken"] > max(session["capacity"], session["grandfathered"]):
            yield f"session {key}: {session['taken']} of {session['capacity']} ({session['grandfathered']})"
        if session["status"] == "cancelled" and session["taken"]:
            yield f"session {key} is cancelled, and {session['taken']} places are taken"


@invariant
def places_follow_status(rows: Rows) -> Iterator[str]:
    """One live claim of a booking's session while it occupies it, otherwise none."""
    live: dict[str, list[Row]] = defaultdict(list)
    for one in rows.claims:
        if one["status"] in LIVE and one["booking_id"] is not None:
            live[one["booking_id"]].append(one)
    for booking in rows.bookings.values():
        mine = [(one["session_id"], one["places"], one["status"]) for one in live.pop(booking["id"], [])]
        is_due = booking["session_id"] is not None and booking["status"] in OCCUPYING
        status = "held" if booking["status"] in HELD else "booked"
        places = mine[0][1] if mine and booking["is_private"] else booking["party_size"]
        due = [(booking["session_id"], places, status)] if is_due else []
        if mine != due:
            yield f"booking {booking['id']} is {booking['status']} and has {mine} where it should have {due}"
    if live:
        yield f"places of bookings that are not there: {sorted(live)}"


# ── holds ─────────────────────────────────────────────────────────────────────────────────────────────


@invariant
def holds_keep_what_they_say(rows: Rows) -> Iterator[str]:
    """An active one has its time or places until it ends; a consumed one is a booking; the others have nothing."""
    kept: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in (*rows.allocations, *rows.claims):
        if one["status"] in LIVE and one["booking_id"] is None and one["hold_id"] is not None:
            kept[one["hold_id"]].add((one["status"], one["expires_at"]))
    booked = {one["hold_id"] for one in rows.bookings.values()}
    for key, hold in rows.holds.items():
        mine = kept.pop(key, set())
        if (hold["status"] == "consumed") != (key in booked):
            yield f"hold {key} is {hold['status']}, and its booking is {'there' if key in booked else 'not there'}"
        has_run_out = instant(hold["expires_at"]) <= rows.now  # of a visit a part may be freed before the rest
        due = {("held", hold["expires_at"])} if hold["status"] == "active" else set()
        if hold["waitlist_entry_id"] is not None:  # its time or its places are kept until somebody passes it on
            mine = {(status, hold["expires_at"]) for status, _ in mine}
        if mine != due and not (has_run_out and due):
            yield f"hold {key} is {hold['status']} and keeps {mine} where it should keep {due}"
    if kept:
        yield f"kept for holds that are not there: {sorted(kept)}"


# ── history ───────────────────────────────────────────────────────────────────────────────────────────


@invariant
def statuses_follow_the_table(rows: Rows) -> Iterator[str]:
    """From PENDING on, step by step, to where it is."""
    for key, booking in rows.bookings.items():
        at: str | None = None
        for step in rows.journals.transitions.get(key, ()):
            if step["from_status"] != at:
                yield f"booking {key}: a step from {step['from_status']}, and it was {at}"
            to = BookingStatus(step["to_status"])
            if at is None and to is not BookingStatus.PENDING:
                yield f"booking {key} begins as {to}"
            if at is not None and to not in TRANSITIONS[BookingStatus(at)]:
                yield f"booking {key}: no step from {at} to {to}"
            if step["actor"] == "" or step["channel"] == "":
                yield f"booking {key}: nobody took the step to {to}"
            at = to.value
        if at != booking["status"]:
            yield f"booking {key} is {booking['status']}, and its last step was to {at}"


@invariant
def history_is_complete(rows: Rows) -> Iterator[str]:
    """What was written of each change, from the first, leads to what the booking is; and nothing was left out."""
    for key, booking in rows.bookings.items():
        entries = rows.journals.audit.get(key, [])
        if not entries or entries[0]["action"] != "booking.created":
            yield f"booking {key}: its history does not begin with its making"
            continue
        known = {MADE.get(name, name): value for name, value in entries[0]["after"].items()}
        versions = 1
        for entry in entries[1:]:
            before, after = entry["before"] or {}, entry["after"] or {}
            versions += 1 if before else 0
            for name, value in before.items():
                if name in known and name in booking and not _same(known[name], value):
                    yield f"booking {key}: {entry['action']} says that {name} was {value}, and it was {known[name]}"
            known |= {name: value for name, value in after.items() if name in before}
        for name, value in known.items():
            if name in booking and not _same(booking[name], value):
                yield f"booking {key}: its history ends with {name} {value}, and it is {booking[name]}"
        if versions != booking["version"]:
            yield f"booking {key} has version {booking['version']}, and its history {versions} changes"


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    try:
        return instant(one) == instant(other)
    except (TypeError, ValueError):
        return False


@invariant
def changes_are_told(rows: Rows) -> Iterator[str]:
    """Each version of a booking, each state it came to, each row of time that came and went, each change of places."""
    for key, booking in rows.bookings.items():
        events = rows.journals.events.get(key, ())
        told = {event["payload"].get("version") for event in events}
        missing = set(range(1, booking["version"] + 1)) - told
        if missing:
            yield f"booking {key}: nobody was told of its versions {sorted(missing)}"
        states = {event["type"].removeprefix("booking.") for event in events}
        states |= {event["payload"].get("status") for event in events}
        for step in rows.journals.transitions.get(key, ()):
            if step["to_status"] not in states:
                yield f"booking {key}: nobody was told that it was {step['to_status']}"
    for one in rows.allocations:
        if one["booking_id"] is None and one["hold_id"] is None:
            continue  # of a session: made before the example began
        types = {
            event["type"]
            for event in rows.journals.events.get(one["subject_id"], ())
            if event["payload"].get("allocationId") == one["id"]
        }
        due = {"allocation.claimed"} | ({"allocation.released"} if one["status"] == "released" else set())
        if not due <= types:
            yield f"time {one['id']}: only {sorted(types)} was told"
    for key, session in rows.sessions.items():
        counted = [
            event["payload"]["taken"] for event in rows.journals.events.get(key, ()) if "taken" in event["payload"]
        ]
        if (counted[-1] if counted else 0) != session["taken"]:
            yield f"session {key}: {counted[-1:]} places were told last, and {session['taken']} are taken"


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────


@invariant
def money_adds_up(rows: Rows) -> Iterator[str]:
    """A booking's columns are what its payments and refunds say."""
    for key, booking in rows.bookings.items():
        paid = sum(one["captured_minor"] for one in rows.payments.get(key, ()))
        back = sum(
            one["amount_minor"] - one["excess_minor"] for one in rows.refunds.get(key, ()) if one["status"] != "failed"
        )
        if (booking["paid_minor"], booking["refunded_minor"]) != (paid, back):
            yield (
                f"booking {key}: paid {booking['paid_minor']}, refunded {booking['refunded_minor']},"
                f" and its payments say {paid} and {back}"
            )
        if not 0 <= booking["refunded_minor"] <= booking["paid_minor"]:
            yield f"booking {key}: {booking['refunded_minor']} of {booking['paid_minor']} went back"
        is_waiting = booking["status"] in HELD
        if is_waiting and booking["expires_at"] is None:
            yield f"booking {key} is {booking['status']} for ever"
        if booking["payment_method"] == "pay_now" and booking["price_minor"] and not booking["paid_minor"]:
            served = {"confirmed", "checked_in", "in_progress", "completed"}
            if booking["status"] in served:
                yield f"booking {key} is {booking['status']}, and nothing was paid"
