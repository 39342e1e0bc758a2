"""JobQueue with arq. Only ids travel here: the jobs themselves, their leases and their results are in PostgreSQL.

arq alone would lose a job when its worker is paused or dies, run it no second time after an exception, drop it after a
day, cancel it after its time-out, and end its process when the server restarts. So a call does no more than start the
job elsewhere in the worker (`start`), and is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from app.ports import QueueUnavailable

log = structlog.get_logger(__name__)

TIMEOUT_S = 2.0
CONNECTIONS = 20
POLL_DELAY_S = 0.2
WATCH_EVERY_S = 5.0
CALLS_AT_ONCE = 20
CALL_TIMEOUT_S = 10
"""How long a call may wait for the worker to start the job. One that took longer is made again by the poll."""
CALL_EXPIRES_S = 60
FUNCTION = "run_job"
LAST_WORDS_S = 0.5

_FAILURES = (RedisError, OSError, asyncio.TimeoutError)
_encode = msgspec.json.Encoder(enc_hook=repr).encode
_decode = msgspec.json.Decoder().decode


class ArqJobQueue:
    """`url`: redis://…, rediss://… or unix://PATH?db=0. Nothing is opened before it is used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._queue_name: str | None = None
        self._callers: ArqRedis | None = None

    def attach(self, installation_id: UUID) -> None:
        self._queue_name = f"turnero:{installation_id}:jobs"

    async def wake(self, jobs: Sequence[tuple[UUID, int]]) -> None:
        queue_name = self._name()
        if self._callers is None:
            self._callers = self._connect(queue_name)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for job_id, fence in jobs:
                    # An attempt has its own call: one that was lost with a worker cannot stand in the next one's way.
                    call = f"{job_id}:{fence}"
                    await self._callers.enqueue_job(FUNCTION, str(job_id), _job_id=call, _expires=CALL_EXPIRES_S)
        except _FAILURES as error:
            raise QueueUnavailable(str(error)) from error

    async def serve(self, start: Callable[[UUID], Awaitable[None]], answers: Callable[[], None]) -> None:
        queue_name = self._name()
        _quieten()

        async def run_job(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 (arq's names)
            try:
                await start(UUID(args[0]))
            except Exception:
                log.exception("job.call_failed", args=args)

        connection = self._connect(queue_name)
        worker = Worker(
            [func(run_job, name=FUNCTION, keep_result=0, timeout=CALL_TIMEOUT_S, max_tries=1)],
            queue_name=queue_name,
            redis_pool=connection,
            handle_signals=False,
            max_jobs=CALLS_AT_ONCE,
            job_timeout=CALL_TIMEOUT_S,
            keep_result=0,
            poll_delay=POLL_DELAY_S,
            max_tries=1,
            retry_jobs=False,
            job_serializer=_encode,
            job_deserializer=_decode,
            log_results=False,
        )
        tasks = [asyncio.create_task(worker.async_run()), asyncio.create_task(_watch(connection, answers))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except _FAILURES as error:
            raise QueueUnavailable(str(error)) from error
        finally:
            # Not worker.close(): it writes to the server, which may be gone.
            await _end(tasks)
            # arq shields the task that writes the end of a call: without a moment for it, it would fail unseen.
            if worker.tasks:
                await asyncio.wait(worker.tasks.values(), timeout=LAST_WORDS_S)
            await _end([*worker.tasks.values()])
            with suppress(*_FAILURES):
                await connection.aclose(close_connection_pool=True)

    async def close(self) -> None:
        """Close the connections of `wake`."""
        if self._callers is not None:
            with suppress(*_FAILURES):
                await self._callers.aclose(close_connection_pool=True)
            self._callers = None

    def _name(self) -> str:
        if self._queue_name is None:
            raise QueueUnavailable("it is not known yet whose jobs these are")
        return self._queue_name

    def _connect(self, queue_name: str) -> ArqRedis:
        # Without a time-out for commands: see app.adapters.valkey.connect.
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
        return ArqRedis(pool, job_serializer=_encode, job_deserializer=_decode, default_queue_name=queue_name)


def _quieten() -> None:
    """arq writes two lines for each call, and warnings for what the poll puts right."""
    for name in ("arq.worker", "arq.jobs", "arq.connections"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


async def _watch(connection: ArqRedis, answers: Callable[[], None]) -> None:
    """Raises when the server stands still: arq itself would wait for it for ever."""
    while True:
        async with asyncio.timeout(TIMEOUT_S):
            await connection.ping()
        answers()
        await asyncio.sleep(WATCH_EVERY_S)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
