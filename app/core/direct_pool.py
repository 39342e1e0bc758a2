"""Single statements straight through the driver: no transaction around them, no layer above them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresConnectionError

TURN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
SPARE_S = 5.0
"""Beyond the server's own statement timeout: a server that is silent for longer is gone."""

_LOST = (PostgresConnectionError, InterfaceError, InternalClientError, OSError)
_GOING_DOWN = ("57P01", "57P02", "57P03")


class DirectPool:
    """At most `size` connections, opened when they are needed. One statement is one round trip.

    The statement must leave nothing behind in its session: nothing is reset between two of them.
    """

    def __init__(self, connect_args: Mapping[str, Any], *, size: int, statement_timeout_ms: int) -> None:
        """`connect_args`: as asyncpg.connect takes them."""
        self._connect_args = dict(connect_args)
        self._command_timeout_s = statement_timeout_ms / 1000 + SPARE_S
        self._turns = asyncio.Semaphore(size)
        self._idle: list[asyncpg.Connection[asyncpg.Record]] = []

    async def fetch_row(self, statement: str, *arguments: Any, once: bool = False) -> asyncpg.Record | None:
        """The first row. A statement whose connection proves dead is sent once more, unless `once`: for those that
        write, and for who must know that the server was away.

        Raises OSError (TimeoutError where no connection comes free) when the server is away, and the driver's errors.
        """
        if self._turns.locked():
            async with asyncio.timeout(TURN_TIMEOUT_S):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_closed():
                    continue
                try:
                    return await self._ask(connection, statement, arguments)
                except ConnectionError:
                    self._forget_idle()  # the server went while they were idle: the others are dead too
                    if once:
                        raise
            return await self._ask(await self._connect(), statement, arguments)
        finally:
            self._turns.release()

    async def _ask(
        self, connection: asyncpg.Connection[asyncpg.Record], statement: str, arguments: tuple[Any, ...]
    ) -> asyncpg.Record | None:
        is_whole = False
        try:
            row = await connection.fetchrow(statement, *arguments)
            is_whole = True
        except (TimeoutError, ValueError):
            raise  # too slow, or an argument that the driver cannot send: another connection would not help
        except _LOST as error:
            raise ConnectionError("the connection to the database was lost") from error
        except asyncpg.PostgresError as error:
            if getattr(error, "sqlstate", None) in _GOING_DOWN:
                raise ConnectionError("the database is going down") from error
            is_whole = not connection.is_closed()
            raise
        finally:
            # Cancelled in the middle, it may still be answering: nobody else gets it.
            if is_whole:
                self._idle.append(connection)
            else:
                connection.terminate()
        return row

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        try:
            return await asyncpg.connect(**self._connect_args, command_timeout=self._command_timeout_s)
        except (InterfaceError, InternalClientError) as error:
            raise ConnectionError("the database does not answer") from error

    def _forget_idle(self) -> None:
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Closes what is idle; what is in use ends with its statement."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_S)
            except (*_LOST, asyncpg.PostgresError):
                connection.terminate()
