"""Engine and transactions. One mutation or job opens one transaction; a command takes `tx` and never commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

Tx = AsyncSession

APP_ROLE = "turnero_app"
"""Role of requests: owns nothing, bound by row-level security to one organization at a time."""
SYSTEM_ROLE = "turnero_system"
"""Role of the worker and of the few functions that look across organizations."""


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
    """A pool of connections that act as one role."""

    def __init__(
        self,
        url: str,
        *,
        role: str | None = APP_ROLE,
        pool_size: int = 10,
        statement_timeout_ms: int = 10_000,
        transaction_timeout_ms: int = 15_000,
        application_name: str = "turnero",
    ) -> None:
        server_settings = {
            "application_name": application_name,
            "statement_timeout": str(statement_timeout_ms),
            "transaction_timeout": str(transaction_timeout_ms),
            "idle_in_transaction_session_timeout": str(transaction_timeout_ms),
            "lock_timeout": str(statement_timeout_ms),
            "timezone": "UTC",
            "jit": "off",
        }
        if role is not None:
            # A startup setting, so that RESET returns to it and no statement is spent on it.
            server_settings["role"] = role
        self.engine: AsyncEngine = create_async_engine(
            make_url(async_url(url)),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=False,
            # Values are customers' data: they stay out of errors, and so out of logs.
            hide_parameters=True,
            connect_args={"server_settings": server_settings, "timeout": 10},
        )
        self._snapshot_engine = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """READ COMMITTED; commits when the block ends well, rolls back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Tx]:
        """REPEATABLE READ, read only: every statement sees the same instant."""
        async with AsyncSession(self._snapshot_engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def dispose(self) -> None:
        await self.engine.dispose()
