"""The coming weeks of those who are booked most, put where every process finds them: a restart begins warm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from app.core.metrics import PRECOMPUTED
from app.core.outages import describe
from app.domain.errors import NotFound
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.ports import Clock, FactsCache
from app.queries.busiest import Busiest, list_busiest
from app.queries.event import log_state
from app.queries.facts_cache import Precomputed, precompute

log = structlog.get_logger(__name__)

KIND = "precompute_facts"
EVERY = timedelta(minutes=5)
KEPT_S = 3_600
"""In the shared cache; each run extends it."""
MOST_SERVICES, MOST_PAIRS = 50, 150

RECURRING = (Recurring(KIND, EVERY),)


@dataclass(frozen=True, slots=True)
class Precomputing:
    """One statement after another, so that requests have the database. `shared` none: there is nothing to do."""

    shared: FactsCache | None
    clock: Clock

    def handlers(self) -> Handlers:
        return {KIND: self._run}

    async def _run(self, run: JobRun) -> None:
        if self.shared is None:
            return
        database, now = run.services.database, self.clock.now()
        async with database.snapshot() as tx:
            installation_id = (await log_state(tx)).installation_id
            busiest = await list_busiest(tx, now, services=MOST_SERVICES, pairs=MOST_PAIRS)
        counted: Counter[Precomputed] = Counter()
        for one in busiest:
            try:
                outcome = await precompute(
                    database, self.shared, KEPT_S, installation_id=installation_id, key=_key(one), now=now
                )
            except NotFound:
                continue  # it is gone since
            except OSError as error:
                log.warning("precompute.failed", error=describe(error))
                outcome = Precomputed.FAILED
            PRECOMPUTED.labels(outcome.value).inc()
            counted[outcome] += 1
            if outcome is Precomputed.FAILED:
                break  # the next run is soon enough
        if counted:
            log.info("precompute.done", **{outcome.value: count for outcome, count in counted.items()})


def _key(one: Busiest) -> tuple[UUID, tuple[UUID, ...] | None]:
    return one.service_id, None if one.provider_id is None else (one.provider_id,)
