from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.busy import Busy, BusyKind
from app.domain.live import AllocationEvent, AvailabilityCause
from app.domain.live_codec import CLAIMED, CONFIRMED, RELEASED, Cursor, event_of_payload, payload_of_event

AT = datetime(2026, 5, 4, 10, tzinfo=UTC)
PROVIDER, ALLOCATION = UUID(int=1), UUID(int=2)


def claim(expires_minutes: int | None) -> Busy:
    start, end = AT, AT + timedelta(minutes=30)
    margin = timedelta(minutes=5)
    if expires_minutes is None:
        return Busy(start - margin, end + margin, BusyKind.BOOKED, start, end)
    return Busy(start - margin, end + margin, BusyKind.HELD, start, end, AT - timedelta(minutes=expires_minutes))


@pytest.mark.parametrize(
    ("before", "after", "type_"),
    [
        (None, claim(10), CLAIMED),
        (None, claim(None), CLAIMED),
        (claim(10), claim(20), CLAIMED),
        (claim(10), claim(None), CONFIRMED),
        (claim(10), None, RELEASED),
        (claim(None), None, RELEASED),
    ],
)
def test_events_come_back_from_their_payload(before: Busy | None, after: Busy | None, type_: str) -> None:
    event = AllocationEvent(PROVIDER, ALLOCATION, before, after, AvailabilityCause.RESCHEDULED)
    written, payload = payload_of_event(event)
    assert written == type_
    assert event_of_payload(type_, PROVIDER, payload) == event


def test_payloads_as_commands_write_them() -> None:
    payload = {
        "allocationId": str(ALLOCATION),
        "startsAt": "2026-05-04T10:00:00+00:00",
        "endsAt": "2026-05-04T10:30:00+00:00",
        "busyFrom": "2026-05-04T09:55:00+00:00",
        "busyTo": "2026-05-04T10:35:00+00:00",
        "expiresAt": "2026-05-04T09:50:00+00:00",
        "cause": "HELD",
    }
    assert event_of_payload(CLAIMED, PROVIDER, payload) == AllocationEvent(
        PROVIDER, ALLOCATION, None, claim(10), AvailabilityCause.HELD
    )
    with pytest.raises(ValueError, match="no event of an allocation"):
        event_of_payload("booking.created", PROVIDER, payload)


ids = st.frozensets(st.integers(1, 2**63 - 1), max_size=40)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.integers(0, 2**63 - 1), instants, ids)
def test_cursors_come_back(position: int, at: datetime, seen: frozenset[int]) -> None:
    cursor = Cursor(position, at, seen)
    text = cursor.encode()
    assert len(text) <= 2_000
    assert Cursor.decode(text) == cursor


def test_cursors_are_bounded() -> None:
    close = frozenset(range(10**15, 10**15 + 200))
    assert Cursor.decode(Cursor(7, AT, close).encode()).seen == close
    with pytest.raises(ValueError, match="at most 200"):
        Cursor(7, AT, close | {1}).encode()
    with pytest.raises(ValueError, match="cannot be carried"):
        Cursor(7, AT, frozenset(Random(1).sample(range(1, 2**62), 200))).encode()
    with pytest.raises(ValueError, match="cannot be carried"):
        Cursor(-1, AT).encode()


def packed(plain: str) -> str:
    return urlsafe_b64encode(plain.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "a",
        "äöü",
        "\x00",
        "A" * 2_001,
        "A" * 1_999,
        "////",
        packed("hello"),
        packed("2.1.1."),
        packed("1.-1.1."),
        packed("1.01.1."),
        packed("1.1.1"),
        packed("1.1.1.0"),
        packed("1.1.1.1,0"),
        packed("1.1.1.G"),
        packed("1.1.1.,"),
        packed("1.9999999999999999999.1."),
        packed("1.1.99999999999999999."),
        packed("1.1.1.ffffffffffffffff"),
        packed("1.1.1." + ",".join(["1"] * 201)),
        packed("1.1.1.") + "\n",
        packed("1.1.1.\n"),
        packed("\u0661.1.1."),
    ],
)
def test_hostile_cursors_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor of ours"):
        Cursor.decode(text)


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_a_value_error(text: str) -> None:
    for candidate in (text, packed(text)):
        try:
            cursor = Cursor.decode(candidate)
        except ValueError:
            continue
        assert Cursor.decode(cursor.encode()) == cursor
