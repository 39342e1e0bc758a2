"""A worker process to be killed or paused: python -m tests.jobs.patient_worker DATABASE_URL REDIS_URL LEASE_S SLEEP_S.

Its one kind of job, `patient`, sleeps in the first attempt and leaves one event when it is done.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from app.core.settings import Settings
from app.jobs.registry import Handlers, JobRun
from app.worker import build_worker
from tests.jobs.ground import Ground, write_event

KIND = "patient"


def handlers(sleep_s: float) -> Handlers:
    async def patient(run: JobRun) -> None:
        if run.claim.attempt == 1:
            await asyncio.sleep(sleep_s)
        organization = UUID(run.claim.args["organization"])
        subject = UUID(run.claim.args["subject"])
        ground = Ground(organization, subject, subject, subject, subject)
        async with run.finishing() as tx:
            await write_event(tx, ground, subject, run.claim.attempt)

    return {KIND: patient}


def worker_settings(database_url: str, redis_url: str, lease_s: int) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=redis_url,
        job_lease_s=lease_s,
        data_dir=Path("unused"),
    )


async def main(database_url: str, redis_url: str, lease_s: int, sleep_s: float) -> None:
    worker = build_worker(worker_settings(database_url, redis_url, lease_s), handlers(sleep_s))
    await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
