"""What publishing would do, and the token that says that it was looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from app.commands.schedule import PlannedSchedule, ScheduleRequest, plan_schedule
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import DomainError, InvalidInput
from app.domain.schedule import sorted_weekly, weekly_to_json
from app.domain.schedule_change import minutes_gained_and_lost
from app.queries.commitment import Affected, AffectedBookings
from app.queries.tenancy import Tenancy

PREVIEW_TTL = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SchedulePreview:
    """Minutes are those of an ordinary week, against the week that rules its first day until now."""

    token: str
    affected: AffectedBookings
    added_minutes: int
    removed_minutes: int


class PreviewOutdated(DomainError):
    """Bookings came or changed since the preview, or it is too old. `affected` are those of now."""

    def __init__(self, message: str, affected: AffectedBookings) -> None:
        super().__init__(message)
        self.affected = affected


async def preview_schedule(
    tx: Tx, signer: TokenSigner, tenancy: Tenancy, request: ScheduleRequest, now: datetime
) -> SchedulePreview:
    """Nothing is written. Raises NotFound, NotAllowed, InvalidInput."""
    planned = await plan_schedule(tx, tenancy, request, now=now)
    added, removed = minutes_gained_and_lost(planned.hours_before, planned.version.weekly)
    token = signer.schedule_preview_token(_input_digest(request), _state_digest(planned), now)
    return SchedulePreview(token, planned.affected, added, removed)


def check_preview(
    signer: TokenSigner, token: str, request: ScheduleRequest, planned: PlannedSchedule, now: datetime
) -> None:
    """Raises InvalidInput for a token of another input, or none of ours; PreviewOutdated."""
    seen = signer.read_schedule_preview_token(token)
    if seen is None:
        raise InvalidInput.at("input.previewToken", "is no token that schedulePreview gave")
    if seen.of_input != _input_digest(request):
        raise InvalidInput.at("input.previewToken", "is of other hours; ask schedulePreview for these")
    if now >= seen.issued_at + PREVIEW_TTL:
        hours = PREVIEW_TTL // timedelta(hours=1)
        raise PreviewOutdated(f"The preview is more than {hours} hours old. Look at it again.", planned.affected)
    if seen.of_state != _state_digest(planned):
        raise PreviewOutdated(
            "Bookings outside these hours were made or changed since the preview. Look at them again.",
            planned.affected,
        )


def _input_digest(request: ScheduleRequest) -> bytes:
    """Of what is to be published, however it was written down."""
    return _digest(
        [
            request.owner_kind,
            request.owner_id,
            request.effective_from,
            request.slot_interval_minutes,
            weekly_to_json(sorted_weekly(request.weekly)),
        ]
    )


def _state_digest(planned: PlannedSchedule) -> bytes:
    """Of what it meets: the first day and every affected booking, also those that are too many to be shown."""
    return _digest([planned.version.effective_from, *_versions(planned.affected.found)])


def _versions(affected: Iterable[Affected]) -> list[tuple[str, int]]:
    return sorted((str(one.booking.id), one.booking.version) for one in affected)


def _digest(facts: object) -> bytes:
    return hashlib.sha256(msgspec.json.encode(facts)).digest()[:16]
