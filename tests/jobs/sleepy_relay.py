"""A relay that stops in the middle of its work: python -m tests.jobs.sleepy_relay DATABASE_URL REDIS_URL IDLE_MS.

The first time that it has given numbers it says `holding` before they are committed, and stands still for a second of
its own time. Then it goes on, as a process does that was paused and does not know it.
"""

from __future__ import annotations

import asyncio
import sys
import time

from app.adapters.valkey import Valkey
from app.commands.relay import number_events
from app.core.database import SYSTEM_ROLE, Database, Tx
from app.jobs import relay

STANDS_STILL_S = 1.0


async def main(database_url: str, redis_url: str, idle_ms: int) -> None:
    has_stood = False

    async def number_and_stand(tx: Tx) -> int:
        nonlocal has_stood
        numbered = await number_events(tx)
        if numbered and not has_stood:
            has_stood = True
            sys.stdout.write("holding\n")
            sys.stdout.flush()
            time.sleep(STANDS_STILL_S)  # noqa: ASYNC251 (the whole process is to stand still)
        return numbered

    vars(relay)["number_events"] = number_and_stand
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=4, idle_timeout_ms=idle_ms)
    await relay.Relay(database, Valkey(redis_url).event_stream()).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
