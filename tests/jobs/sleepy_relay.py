"""A relay that stops in the middle of its work: python -m tests.jobs.sleepy_relay DATABASE_URL REDIS_URL IDLE_MS WHEN.

The first time that there is something to number it says `holding` and when (by the monotonic clock), and stands still
for a second of its own time. Then it goes on, as a process does that was paused and does not know it. WHEN is
`numbering`: the numbers are given and not committed, as of a relay that numbers in a transaction; or `publishing`: they
are committed and not on the stream.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from sqlalchemy import text

from app.adapters.valkey import Valkey
from app.commands import relay as commands
from app.core.database import SYSTEM_ROLE, Database
from app.jobs import relay

STANDS_STILL_S = 1.0


def _stand() -> None:
    sys.stdout.write(f"holding {time.monotonic()}\n")
    sys.stdout.flush()
    time.sleep(STANDS_STILL_S)  # the whole process is to stand still


async def main(database_url: str, redis_url: str, idle_ms: int, when: str) -> None:
    has_stood = False
    number_events = commands.number_events

    async def number_and_stand(database: Database, **more: Any) -> commands.Numbered:
        nonlocal has_stood
        if has_stood:
            return await number_events(database, **more)
        if when == "numbering":
            async with database.transaction() as tx:
                await tx.execute(text("SELECT 1"))  # begins it
                connection: Any = (await (await tx.connection()).get_raw_connection()).driver_connection
                row = await connection.fetchrow(vars(commands)["_NUMBER"], commands.BATCH, 0)
                numbered = commands.Numbered(*row)
                has_stood = numbered.count > 0
                if has_stood:
                    _stand()
            return numbered
        numbered = await number_events(database, **more)
        has_stood = numbered.count > 0
        if has_stood:
            _stand()
        return numbered

    vars(relay)["number_events"] = number_and_stand
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=4, idle_timeout_ms=idle_ms)
    await relay.Relay(database, Valkey(redis_url).event_stream()).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
