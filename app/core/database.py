"""Engine and transactions. One mutation or job opens one transaction; a command takes `tx` and never commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.core.direct_pool import DirectPool

Tx = AsyncSession

APP_ROLE = "turnero_app"
"""Role of requests: owns nothing, bound by row-level security to one organization at a time."""
SYSTEM_ROLE = "turnero_system"
"""Role of the worker and of the few functions that look across organizations."""

CONNECT_TIMEOUT_S = 10

Closing: TypeAlias = Callable[[Tx, Sequence[str]], Awaitable[None]]
"""Work at the end of a transaction, inside it, about what its triggers have said. It must not raise: it would take the
whole transaction with it."""
SAID = "turnero:"
"""Begins every NOTICE of ours: it arrives with the answer of the statement that caused it, and costs none itself."""


def async_url(url: str) -> str:
    """`postgres://…` or `postgresql://…` → the SQLAlchemy URL of the asyncpg driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("the database URL must begin with postgresql://")
    return f"postgresql+asyncpg://{rest}"


def violated_constraint(error: IntegrityError) -> str | None:
    """Name of the constraint or unique index that refused a row, as the migrations name it. None: it has none."""
    name = getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None
    return name if isinstance(name, str) else None


class Database:
    """A pool of connections that act as one role, and a few more for single statements."""

    def __init__(
        self,
        url: str,
        *,
        role: str | None = APP_ROLE,
        pool_size: int = 10,
        direct_size: int = 4,
        statement_timeout_ms: int = 10_000,
        transaction_timeout_ms: int = 15_000,
        idle_timeout_ms: int | None = None,
        application_name: str = "turnero",
        closing: Closing | None = None,
    ) -> None:
        server_settings = {
            "application_name": application_name,
            "statement_timeout": str(statement_timeout_ms),
            "transaction_timeout": str(transaction_timeout_ms),
            # Shorter than the transaction's: who says nothing for so long sleeps or hangs (docs/many-processes.md).
            "idle_in_transaction_session_timeout": str(idle_timeout_ms or transaction_timeout_ms),
            "lock_timeout": str(statement_timeout_ms),
            "timezone": "UTC",
            "jit": "off",
            "client_min_messages": "notice",
        }
        if role is not None:
            # A startup setting, so that RESET returns to it and no statement is spent on it.
            server_settings["role"] = role
        self.engine: AsyncEngine = create_async_engine(
            make_url(async_url(url)),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            # The one that was used last has its statements prepared and planned; in turn, each would do so for itself.
            pool_use_lifo=True,
            pool_pre_ping=False,
            # Values are customers' data: they stay out of errors, and so out of logs.
            hide_parameters=True,
            connect_args={"server_settings": server_settings, "timeout": CONNECT_TIMEOUT_S},
        )
        self._direct = DirectPool(
            self._driver_arguments(server_settings), size=direct_size, statement_timeout_ms=statement_timeout_ms
        )
        self._closing = closing
        self._said: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()
        if closing is not None:
            event.listen(self.engine.sync_engine, "connect", self._listen)
            event.listen(self.engine.sync_engine, "checkin", self._forget)
        self._snapshot_engine = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """READ COMMITTED; commits when the block ends well, rolls back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session
            if self._said:
                await self._close(session)

    async def _close(self, session: Tx) -> None:
        """Others' transactions may be what said something; ours is asked for only then."""
        await session.flush()
        connection = await session.connection()
        said = self._said.pop((await connection.get_raw_connection()).driver_connection, None)
        if said is not None and self._closing is not None:
            await self._closing(session, list(dict.fromkeys(said)))

    def _listen(self, connection: Any, _record: Any) -> None:
        connection.driver_connection.add_log_listener(self._note)

    def _note(self, connection: Any, message: Any) -> None:
        if message.message.startswith(SAID):
            self._said.setdefault(connection, []).append(message.message.removeprefix(SAID))

    def _forget(self, connection: Any, _record: Any) -> None:
        """What was said in a transaction that was rolled back was not so."""
        if self._said and connection is not None:
            self._said.pop(connection.driver_connection, None)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """REPEATABLE READ, read only: every statement sees the same instant."""
        async with AsyncSession(self._snapshot_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def fetch_row(self, statement: str, *arguments: Any) -> Coroutine[Any, Any, asyncpg.Record | None]:
        """The first row of one read-only statement with `$1` … in it: one round trip, without BEGIN and COMMIT.

        Settings that it makes `LOCAL` end with it. Raises OSError when the server is away, and the driver's errors.
        """
        return self._direct.fetch_row(statement, *arguments)

    def write_row(self, statement: str, *arguments: Any) -> Coroutine[Any, Any, asyncpg.Record | None]:
        """The same of one statement that writes: it is a transaction of its own, committed when this returns.

        It is never sent twice. When this raises OSError, nobody knows whether it was committed.
        """
        return self._direct.fetch_row(statement, *arguments, once=True)

    def _driver_arguments(self, server_settings: dict[str, str]) -> dict[str, Any]:
        """What the engine itself gives to the driver: same server, same role, same timeouts."""
        _, arguments = self.engine.dialect.create_connect_args(self.engine.url)
        own = {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}
        return {**own, "server_settings": server_settings, "timeout": CONNECT_TIMEOUT_S}

    async def dispose(self) -> None:
        await self._direct.close()
        await self.engine.dispose()
