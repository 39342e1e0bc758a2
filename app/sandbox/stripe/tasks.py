"""What happens later by itself: disputes, refunds that settle, authorizations that run out, payouts that arrive."""

from __future__ import annotations

from dataclasses import dataclass

from app.sandbox.stripe.store import Store


@dataclass(frozen=True, slots=True)
class Task:
    seq: int
    kind: str
    account: str
    subject: str


def add(store: Store, due_at: float, kind: str, subject: str) -> None:
    """`subject` is account and object id, with a slash between."""
    store.rows("INSERT INTO task (due_at, kind, subject) VALUES (?, ?, ?)", due_at, kind, subject)


def due(store: Store, now: float) -> list[Task]:
    """Those whose time has come, in order."""
    rows = store.rows("SELECT seq, kind, subject FROM task WHERE due_at <= ? ORDER BY due_at, seq LIMIT 100", now)
    return [Task(seq, kind, *subject.split("/", 1)) for seq, kind, subject in rows]


def remove(store: Store, seq: int) -> None:
    store.rows("DELETE FROM task WHERE seq = ?", seq)


def next_due_at(store: Store) -> float | None:
    found: float | None = store.rows("SELECT min(due_at) FROM task")[0][0]
    return found
