"""Everything a local Stripe knows, in one SQLite database.

One connection, used by one thread: a transaction is the code between two awaits, so requests never see each other's
half-done work. The file survives restarts; ":memory:" does not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.sandbox.settings import IN_MEMORY

Json = dict[str, Any]
PLATFORM = ""
"""The account of the platform itself; connected accounts have their id."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, kind TEXT NOT NULL,
  created INTEGER NOT NULL, facts TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS object_listed ON object (account, kind, seq);
CREATE TABLE IF NOT EXISTS fact (
  account TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (account, kind, name, value, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fact_of ON fact (seq);
CREATE TABLE IF NOT EXISTS idempotency (
  account TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL,
  request_id TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (account, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency (created);
CREATE TABLE IF NOT EXISTS funds (
  account TEXT NOT NULL, currency TEXT NOT NULL, available INTEGER NOT NULL, PRIMARY KEY (account, currency)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS maturing (
  seq INTEGER PRIMARY KEY, account TEXT NOT NULL, currency TEXT NOT NULL, available_on INTEGER NOT NULL,
  net INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS maturing_of ON maturing (account, available_on);
CREATE TABLE IF NOT EXISTS task (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, due_at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS task_due ON task (due_at, seq);
CREATE TABLE IF NOT EXISTS delivery (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, event_type TEXT NOT NULL, endpoint TEXT NOT NULL,
  due_at REAL, attempts INTEGER NOT NULL DEFAULT 0, is_lost INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL,
  status INTEGER, error TEXT, tried_at REAL
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (due_at, seq) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_event ON delivery (event);
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list. `facts` narrow it; all times are inclusive seconds."""

    limit: int
    before: int | None = None
    """Older than the object with this number."""
    after: int | None = None
    facts: Mapping[str, str] | None = None
    created_from: int | None = None
    created_to: int | None = None


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer under an idempotency key."""

    fingerprint: str
    status: int
    body: bytes
    request_id: str


class Store:
    """Objects by id and account, with the facts that lists are narrowed by."""

    def __init__(self, path: str) -> None:
        if path != IN_MEMORY:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        # Used by the event loop's thread alone; a test may make it in another.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A crash of the process loses nothing; one of the machine may lose the last moments of play money.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, or nothing. No await inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def find(self, object_id: str) -> tuple[str, Json] | None:
        """Account and object, whatever its kind."""
        row = self._db.execute("SELECT account, body FROM object WHERE id = ?", (object_id,)).fetchone()
        return None if row is None else (row[0], msgspec.json.decode(row[1]))

    def get(self, account: str, kind: str, object_id: str) -> Json | None:
        row = self._db.execute(
            "SELECT body FROM object WHERE id = ? AND account = ? AND kind = ?", (object_id, account, kind)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def put(self, account: str, body: Json, facts: Sequence[tuple[str, str]]) -> None:
        """Insert it, or replace what has its id."""
        packed = msgspec.json.encode(body)
        listed = msgspec.json.encode(facts).decode()
        kind = body["object"]
        row = self._db.execute("SELECT seq, facts FROM object WHERE id = ?", (body["id"],)).fetchone()
        if row is None:
            added = self._db.execute(
                "INSERT INTO object (id, account, kind, created, facts, body) VALUES (?, ?, ?, ?, ?, ?)",
                (body["id"], account, kind, body["created"], listed, packed),
            )
            seq = added.lastrowid
        else:
            seq = row[0]
            self._db.execute("UPDATE object SET body = ?, facts = ? WHERE seq = ?", (packed, listed, seq))
            if row[1] == listed:
                return
            self._db.execute("DELETE FROM fact WHERE seq = ?", (seq,))
        self._db.executemany(
            "INSERT INTO fact (account, kind, name, value, seq) VALUES (?, ?, ?, ?, ?)",
            [(account, kind, name, value, seq) for name, value in dict(facts).items()],
        )

    def remove(self, object_id: str) -> None:
        self._db.execute("DELETE FROM fact WHERE seq = (SELECT seq FROM object WHERE id = ?)", (object_id,))
        self._db.execute("DELETE FROM object WHERE id = ?", (object_id,))

    def number(self, account: str, kind: str, object_id: str) -> int | None:
        """Its place in the order of creation."""
        row = self._db.execute(
            "SELECT seq FROM object WHERE id = ? AND account = ? AND kind = ?", (object_id, account, kind)
        ).fetchone()
        return None if row is None else int(row[0])

    def page(self, account: str, kind: str, page: Page) -> list[Json]:
        """Newest first. With `after`, those next to it, still newest first."""
        where, values = ["o.account = ?", "o.kind = ?"], [account, kind]
        found: list[object] = [*values]
        for name, value in (page.facts or {}).items():
            where.append("o.seq IN (SELECT seq FROM fact WHERE account = ? AND kind = ? AND name = ? AND value = ?)")
            found += [account, kind, name, value]
        for condition, bound in (
            ("o.seq < ?", page.before),
            ("o.seq > ?", page.after),
            ("o.created >= ?", page.created_from),
            ("o.created <= ?", page.created_to),
        ):
            if bound is not None:
                where.append(condition)
                found.append(bound)
        order = "ASC" if page.after is not None else "DESC"
        sql = f"SELECT body FROM object o WHERE {' AND '.join(where)} ORDER BY o.seq {order} LIMIT ?"  # noqa: S608
        rows = [msgspec.json.decode(row[0]) for row in self._db.execute(sql, (*found, page.limit))]
        return rows[::-1] if page.after is not None else rows

    def kept_answer(self, account: str, key: str) -> KeptAnswer | None:
        row = self._db.execute(
            "SELECT fingerprint, status, body, request_id FROM idempotency WHERE account = ? AND key = ?",
            (account, key),
        ).fetchone()
        return None if row is None else KeptAnswer(*row)

    def keep_answer(self, account: str, key: str, answer: KeptAnswer, now: int) -> None:
        self._db.execute(
            "INSERT INTO idempotency (account, key, fingerprint, status, body, request_id, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (account, key, answer.fingerprint, answer.status, answer.body, answer.request_id, now),
        )

    def forget_answers(self, before: int) -> None:
        self._db.execute("DELETE FROM idempotency WHERE created < ?", (before,))

    def add_funds(self, account: str, currency: str, net: int, available_on: int, now: int) -> None:
        """Money in (or out, negative), to be had from `available_on`."""
        if available_on > now:
            self._db.execute(
                "INSERT INTO maturing (account, currency, available_on, net) VALUES (?, ?, ?, ?)",
                (account, currency, available_on, net),
            )
            return
        self._db.execute(
            "INSERT INTO funds (account, currency, available) VALUES (?, ?, ?) "
            "ON CONFLICT (account, currency) DO UPDATE SET available = available + excluded.available",
            (account, currency, net),
        )

    def funds(self, account: str, now: int) -> dict[str, tuple[int, int]]:
        """Currency → available and pending."""
        due = self._db.execute(
            "DELETE FROM maturing WHERE account = ? AND available_on <= ? RETURNING currency, net", (account, now)
        ).fetchall()
        for currency, net in due:
            self.add_funds(account, currency, net, now, now)
        sums = {
            currency: (available, 0)
            for currency, available in self._db.execute(
                "SELECT currency, available FROM funds WHERE account = ? ORDER BY currency", (account,)
            )
        }
        for currency, pending in self._db.execute(
            "SELECT currency, sum(net) FROM maturing WHERE account = ? GROUP BY currency", (account,)
        ):
            sums[currency] = (sums.get(currency, (0, 0))[0], pending)
        return sums

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement of `deliveries` or `tasks`."""
        return self._db.execute(sql, values).fetchall()
