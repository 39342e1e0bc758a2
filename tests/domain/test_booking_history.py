"""Reading the past backwards, whatever happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.domain.booking_history import RecordedChange, changes_of, shown_value, state_at

START = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)
PEOPLE = [UUID(int=number) for number in range(1, 4)]
TIMES = [START + timedelta(hours=hours) for hours in range(4)]
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["confirmed", "awaiting_provider", "cancelled"]),
    "provider_id": st.sampled_from(PEOPLE),
    "starts_at": st.sampled_from(TIMES),
    "expires_at": st.none() | st.sampled_from(TIMES),
    "paid_minor": st.integers(0, 3),
    "notes": st.none() | st.just("x"),
}
ITEMS = st.lists(st.sampled_from(TIMES), min_size=2, max_size=2)
CHANGE = st.fixed_dictionaries({}, optional={**FIELDS, "items": ITEMS})


def as_json(value: Any) -> Any:
    """What the journal makes of it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def items_at(starts: list[datetime]) -> list[dict[str, Any]]:
    return [{"position": number, "starts_at": start, "price_minor": 5} for number, start in enumerate(starts, 1)]


@given(
    st.fixed_dictionaries({**FIELDS, "items": ITEMS}),
    st.lists(st.tuples(CHANGE, st.integers(-1, 2)), max_size=8),
)
def test_each_state_that_ever_was_is_found_again(
    first: dict[str, Any], steps: list[tuple[dict[str, Any], int]]
) -> None:
    """Instants of entries may repeat and even go back: they are read before a wait for the booking's lock."""
    state: dict[str, Any] = {**first, "version": 1, "items": items_at(first["items"])}
    at = START
    changes = [RecordedChange(at, None, as_json(state))]
    remembered: dict[datetime, dict[str, Any]] = {at: dict(state)}
    latest = at
    for wanted, pause in steps:
        at += timedelta(seconds=pause)
        latest = max(latest, at)
        given_items = wanted.pop("items", None)
        was = {name: state[name] for name in wanted if state[name] != wanted[name]}
        became = {name: wanted[name] for name in was}
        if given_items is not None:
            names = ("position", "starts_at")
            was["items"] = [{name: one[name] for name in names} for one in state["items"]]
            became["items"] = [{"position": n, "starts_at": start} for n, start in enumerate(given_items, 1)]
            state = {**state, "items": items_at(given_items)}
        state = {**state, **{name: value for name, value in became.items() if name != "items"}}
        was["version"], became["version"] = state["version"], state["version"] + 1
        state["version"] += 1
        changes.append(RecordedChange(at, as_json(was), as_json(became)))
        remembered[latest] = dict(state)
    for instant, expected in remembered.items():
        assert state_at(state, changes, instant) == expected


def test_what_a_customer_does_not_see() -> None:
    before, after = {"version": 1, "status": "confirmed"}, {"version": 2, "status": "cancelled", "feeId": "x"}
    assert [one.field for one in changes_of(before, after, for_staff=False)] == ["status"]
    assert [one.field for one in changes_of(before, after, for_staff=True)] == ["feeId", "status"]


def test_values_as_clients_know_them() -> None:
    booked = uuid4()
    assert shown_value("status", "no_show", _name) == "NO_SHOW"
    assert shown_value("provider_id", str(booked), _name) == f"provider_id:{booked}"
    assert shown_value("provider_id", None, _name) is None
    assert shown_value("items", [{"position": 1, "provider_id": str(booked)}], _name) == [
        {"position": 1, "providerId": f"provider_id:{booked}"}
    ]


def _name(column: str, value: UUID) -> str:
    return f"{column}:{value}"
