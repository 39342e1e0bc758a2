"""What several subscriptions take and tell."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.domain.live_update import EventKind

strawberry.enum(EventKind, description="SNAPSHOT begins, CHANGE follows; RESYNC: forget what you had, take this.")

CoalesceMs = Annotated[
    int,
    strawberry.argument(
        description="0 to 500: changes that come within so many milliseconds of the last one told become one."
    ),
]
