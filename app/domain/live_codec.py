"""What availability streams write down: events as outbox payloads, cursors as opaque text."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain.busy import Busy, BusyKind
from app.domain.instants import EPOCH, MAXIMUM_INSTANT, format_instant
from app.domain.live import AllocationEvent, AvailabilityCause

# ── events ────────────────────────────────────────────────────────────────────────────────────────────

CLAIMED = "allocation.claimed"
CONFIRMED = "allocation.confirmed"
RELEASED = "allocation.released"
ALLOCATION_EVENTS = frozenset({CLAIMED, CONFIRMED, RELEASED})


def event_of_payload(type_: str, provider_id: UUID, payload: Mapping[str, Any]) -> AllocationEvent:
    """The event of an outbox row. Raises KeyError or ValueError for a payload that no command of ours wrote.

    `expiresAt` is that of the claim as it now is (claimed) or as it was until now (confirmed, released); none: booked.
    `previousExpiresAt` is there only in a claim that changes an older one of the same allocation: an extended hold.
    """
    if type_ not in ALLOCATION_EVENTS:
        raise ValueError(f"{type_} is no event of an allocation")
    claim = _claim(payload, payload["expiresAt"])
    before: Busy | None = claim
    after: Busy | None = None
    if type_ == CLAIMED:
        before = _claim(payload, payload["previousExpiresAt"]) if "previousExpiresAt" in payload else None
        after = claim
    elif type_ == CONFIRMED:
        after = _claim(payload, None)
    cause = AvailabilityCause[payload["cause"]]
    return AllocationEvent(provider_id, UUID(payload["allocationId"]), before, after, cause)


def _claim(payload: Mapping[str, Any], expires_at: str | None) -> Busy:
    return Busy(
        busy_from=datetime.fromisoformat(payload["busyFrom"]),
        busy_to=datetime.fromisoformat(payload["busyTo"]),
        kind=BusyKind.BOOKED if expires_at is None else BusyKind.HELD,
        starts_at=datetime.fromisoformat(payload["startsAt"]),
        ends_at=datetime.fromisoformat(payload["endsAt"]),
        expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
    )


def payload_of_event(event: AllocationEvent) -> tuple[str, dict[str, Any]]:
    """Type and payload for the outbox: the other way round. Raises ValueError for an event without any claim."""
    claim = event.before if event.after is None else event.after
    if claim is None:
        raise ValueError("an event has a claim before or after it")
    type_ = CLAIMED
    if event.after is None:
        type_ = RELEASED
    elif event.before is not None and event.after.expires_at is None:
        type_ = CONFIRMED
        claim = event.before
    starts_at, ends_at = claim.service_range()
    payload: dict[str, Any] = {
        "allocationId": str(event.allocation_id),
        "startsAt": format_instant(starts_at),
        "endsAt": format_instant(ends_at),
        "busyFrom": format_instant(claim.busy_from),
        "busyTo": format_instant(claim.busy_to),
        "expiresAt": _optional(claim.expires_at),
        "cause": event.cause.name,
    }
    if type_ == CLAIMED and event.before is not None:
        payload["previousExpiresAt"] = _optional(event.before.expires_at)
    return type_, payload


def _optional(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


# ── cursors ───────────────────────────────────────────────────────────────────────────────────────────

MAXIMUM_CURSOR_LENGTH = 2_000
MAXIMUM_SEEN = 200
_MAXIMUM_ID = 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)
_CURSOR = re.compile(r"1\.(0|[1-9]\d{0,18})\.(0|[1-9]\d{0,16})\.((?:[0-9a-f]{1,16}(?:,[0-9a-f]{1,16})*)?)", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a client stands: all events up to `position`, those of `seen` besides, at the instant `at`.

    `seen` holds ids of outbox rows that were committed but not yet numbered when the client's state was read.
    """

    position: int
    at: datetime
    seen: frozenset[int] = frozenset()

    def encode(self) -> str:
        """Opaque text for the client. Raises ValueError when `seen` is too large to be carried: take a new snapshot."""
        if len(self.seen) > MAXIMUM_SEEN:
            raise ValueError(f"a cursor carries at most {MAXIMUM_SEEN} ids")
        # Ids lie close together, so their distances are short.
        distances: list[str] = []
        last = 0
        for id_ in sorted(self.seen):
            distances.append(f"{id_ - last:x}")
            last = id_
        text = f"1.{self.position}.{(self.at - EPOCH) // _MICROSECOND}.{','.join(distances)}"
        encoded = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        if not _CURSOR.fullmatch(text) or len(encoded) > MAXIMUM_CURSOR_LENGTH:
            raise ValueError("this position cannot be carried by a cursor")
        return encoded

    def fits(self) -> bool:
        """Can it be encoded?"""
        try:
            self.encode()
        except ValueError:
            return False
        return True

    def carried(self) -> str:
        """As `encode`; where that cannot be, a cursor with which nobody resumes: its bearer gets a new snapshot."""
        return (self if self.fits() else RESTART).encode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """The cursor that `encode` wrote. Raises ValueError for anything else."""
        if len(text) > MAXIMUM_CURSOR_LENGTH or not _BASE64.fullmatch(text):
            raise ValueError("is no cursor of ours")
        try:
            plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        except (NotBase64, UnicodeDecodeError):
            raise ValueError("is no cursor of ours") from None
        match = _CURSOR.fullmatch(plain)
        if match is None:
            raise ValueError("is no cursor of ours")
        position, microseconds, distances = int(match[1]), int(match[2]), match[3]
        seen: list[int] = []
        last = 0
        for distance in distances.split(",") if distances else ():
            last += int(distance, 16)
            seen.append(last)
        cursor = cls(position, EPOCH, frozenset(seen))
        in_reach = position <= _MAXIMUM_ID and last <= _MAXIMUM_ID and microseconds <= _MAXIMUM_MICROSECONDS
        if not in_reach or len(cursor.seen) != len(seen) or 0 in cursor.seen or len(seen) > MAXIMUM_SEEN:
            raise ValueError("is no cursor of ours")
        return cls(position, EPOCH + microseconds * _MICROSECOND, cursor.seen)


RESTART = Cursor(0, MAXIMUM_INSTANT)
"""An instant that never comes: whoever brings it is told to begin anew."""
_MAXIMUM_MICROSECONDS = (MAXIMUM_INSTANT - EPOCH) // _MICROSECOND
