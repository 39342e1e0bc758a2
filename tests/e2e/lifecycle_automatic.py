"""What the clock does by itself: requests that nobody answers lapse; what is over is completed, or was missed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.commands.automatic import expire_unanswered, take_automatic_steps
from app.resolvers import organization, service
from tests.e2e.lifecycle_life import Life, operation
from tests.e2e.lifecycle_promises import STEPPED
from tests.e2e.lifecycle_rows import instant

BATCH = 25
SETTINGS = (
    {"auto_complete_after_minutes": 0, "auto_no_show_after_minutes": None},
    {"auto_complete_after_minutes": 30, "auto_no_show_after_minutes": 20},
    {"auto_complete_after_minutes": None, "auto_no_show_after_minutes": 1},
    {"approval_hours": 1},
)
MOVES = ({"maximum_reschedules": 0}, {"maximum_reschedules": 1}, {"reschedule_notice_minutes": 0})
SERVED = frozenset({"confirmed", "checked_in", "in_progress"})


@dataclass
class Automatic(Life):
    """Settings of it, and the sweeps."""

    @operation(settings=len(SETTINGS))
    async def set_automatic(self, settings: int) -> None:
        await organization.update_organization(self.owner, self.ground.organization, SETTINGS[settings], None)

    @operation(number=2, moves=len(MOVES))
    async def limit_moves(self, number: int, moves: int) -> None:
        await service.update_service(self.owner, self.ground.services[number], MOVES[moves], None)

    @operation(2)
    async def let_the_clock(self) -> None:
        """Only of what has begun, and of what nobody answered in time."""
        now = self.world.now()
        for key, row in self.rows.bookings.items():
            if row["status"] in SERVED and instant(row["starts_at"]) <= now:
                self.intent.change(key, STEPPED)
        for sweep in (expire_unanswered, take_automatic_steps):
            count = BATCH
            while count >= BATCH:
                async with self.world.workers.within(None) as tx:
                    count = await sweep(tx, BATCH)

    @operation()
    async def let_days_pass(self) -> None:
        """Until much is over."""
        self.world.pass_time(timedelta(hours=26))
        await self.let_the_clock()
