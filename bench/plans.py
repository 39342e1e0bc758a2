"""What PostgreSQL does inside a function: the plans of its statements, as they are run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_ON = """
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_analyze = on;
    SET auto_explain.log_buffers = on;
    SET auto_explain.log_nested_statements = on;
    SET client_min_messages = log;
    SET jit = off;
"""


@asynccontextmanager
async def plans(connection: asyncpg.Connection[Any]) -> AsyncIterator[list[str]]:
    """EXPLAIN (ANALYZE, BUFFERS) of all that runs on a superuser's connection meanwhile, nested statements included."""
    found: list[str] = []

    def note(_connection: object, message: Any) -> None:
        found.append(message.message)

    await connection.execute(_ON)
    connection.add_log_listener(note)
    try:
        yield found
    finally:
        connection.remove_log_listener(note)
        await connection.execute("RESET client_min_messages; SET auto_explain.log_min_duration = -1")
