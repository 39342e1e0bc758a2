"""Webhook deliveries: one row for each event and endpoint (and copy), kept with its last outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.store import Store

LONGEST_PAUSE_S = 3_600.0
_COLUMNS = "seq, event, event_type, endpoint, due_at, attempts, is_lost, state, status, error, tried_at"


class DeliveryState(StrEnum):
    DUE = "due"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """`status`: the endpoint's last answer, `error`: why there was none."""

    seq: int
    event: str
    event_type: str
    endpoint: str
    due_at: float | None
    attempts: int
    is_lost: int
    """1: the next attempt is counted, but does not leave."""
    state: str
    status: int | None
    error: str | None
    tried_at: float | None

    def to_json(self) -> Json:
        return {**asdict(self), "is_lost": bool(self.is_lost)}


def add(store: Store, event: Json, endpoint_id: str, due_at: float, *, is_lost: bool = False) -> None:
    store.rows(
        "INSERT INTO delivery (event, event_type, endpoint, due_at, is_lost, state) VALUES (?, ?, ?, ?, ?, 'due')",
        event["id"],
        event["type"],
        endpoint_id,
        due_at,
        int(is_lost),
    )


def due(store: Store, now: float, most: int, without: Sequence[int] = ()) -> list[Delivery]:
    """Those to be sent now, oldest first. `without`: those under way."""
    marks = ", ".join("?" * len(without))
    return _read(store, f"WHERE due_at <= ? AND seq NOT IN ({marks}) ORDER BY due_at, seq LIMIT ?", now, *without, most)


def latest(store: Store, most: int, event_id: str | None = None) -> list[Delivery]:
    """Newest first; of one event, or of all."""
    if event_id is not None:
        return _read(store, "WHERE event = ? ORDER BY seq DESC LIMIT ?", event_id, most)
    return _read(store, "ORDER BY seq DESC LIMIT ?", most)


def get(store: Store, seq: int) -> Delivery | None:
    found = _read(store, "WHERE seq = ?", seq)
    return found[0] if found else None


def next_due_at(store: Store, without: Sequence[int] = ()) -> float | None:
    """When the next one leaves; None if none waits. `without`: those under way."""
    marks = ", ".join("?" * len(without))
    sql = f"SELECT min(due_at) FROM delivery WHERE due_at IS NOT NULL AND seq NOT IN ({marks})"  # noqa: S608
    found: float | None = store.rows(sql, *without)[0][0]
    return found


def counts(store: Store) -> dict[str, int]:
    """State → how many."""
    return {state.value: 0 for state in DeliveryState} | dict(
        store.rows("SELECT state, count(*) FROM delivery GROUP BY state")
    )


def resend(store: Store, seq: int, now: float) -> None:
    """Send it again, whatever came of it; its attempts count afresh."""
    store.rows("UPDATE delivery SET state = 'due', due_at = ?, attempts = 0, is_lost = 0 WHERE seq = ?", now, seq)


def settle(
    store: Store,
    delivery: Delivery,
    *,
    now: float,
    status: int | None,
    error: str | None,
    retry_base_s: float,
    most_attempts: int,
) -> DeliveryState:
    """Write down an attempt's outcome: delivered (2xx), due again later, or given up."""
    attempts = delivery.attempts + 1
    state, due_at = DeliveryState.DUE, None
    if status is not None and 200 <= status < 300:
        state = DeliveryState.DELIVERED
    elif attempts >= most_attempts:
        state = DeliveryState.GIVEN_UP
    else:
        due_at = now + min(retry_base_s * 2 ** (attempts - 1), LONGEST_PAUSE_S)
    store.rows(
        "UPDATE delivery SET state = ?, due_at = ?, attempts = ?, is_lost = 0, status = ?, error = ?, tried_at = ? "
        "WHERE seq = ?",
        state.value,
        due_at,
        attempts,
        status,
        error,
        now,
        delivery.seq,
    )
    return state


def _read(store: Store, rest: str, *values: object) -> list[Delivery]:
    rows = store.rows(f"SELECT {_COLUMNS} FROM delivery {rest}", *values)  # noqa: S608 (texts of this module)
    return [Delivery(*row) for row in rows]
