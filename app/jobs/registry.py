"""What a job is given, and which function does which kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from app.commands.job import Claim, finish_job
from app.core.database import Database, Tx


@dataclass(frozen=True, slots=True)
class JobServices:
    """Made once for each worker by the composition root. `database` acts as turnero_system."""

    database: Database
    event_retention: timedelta
    idempotency_retention: timedelta


@dataclass(slots=True)
class JobRun:
    """One attempt at one job."""

    claim: Claim
    services: JobServices
    is_finished: bool = False

    @asynccontextmanager
    async def finishing(self) -> AsyncIterator[Tx]:
        """A transaction that does the work and finishes the job, both or neither.

        Raises LeaseLost, and rolls back, when somebody else has taken the job over.
        """
        async with self.services.database.transaction() as tx:
            yield tx
            await finish_job(tx, self.claim)
        self.is_finished = True


Handler = Callable[[JobRun], Awaitable[None]]
Handlers = Mapping[str, Handler]
"""By kind. A handler may run twice (its worker may die after the work): what it does is the same once and twice, or
is done in `JobRun.finishing`."""
