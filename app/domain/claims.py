"""What a hold or a booking takes: people's time, units of resources, and the limits that have to be kept with it.

Free slots are computed service by service (`app.domain.slots`), each with its buffers. So a visit takes, of each
person, the time of their services with the buffers; where these meet they are one claim: nobody is in their own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.domain.instants import day_bounds
from app.domain.limits import day_of
from app.domain.plan import ProviderPlan

LONGEST_VISIT = timedelta(days=1)
"""Of one service and of a whole visit: no claim reaches further from its own start than this and a day of buffer."""


@dataclass(frozen=True, slots=True)
class Part:
    """One service at its time, as somebody gives it."""

    plan: ProviderPlan
    starts_at: datetime

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.plan.duration_minutes)

    def time(self) -> TimeClaim:
        return TimeClaim(
            subject_id=self.plan.provider_id,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            busy_from=self.starts_at - timedelta(minutes=self.plan.buffer_before),
            busy_to=self.ends_at + timedelta(minutes=self.plan.buffer_after),
        )


@dataclass(frozen=True, slots=True)
class TimeClaim:
    """Somebody's time: the service inside, its buffers around."""

    subject_id: UUID
    starts_at: datetime
    ends_at: datetime
    busy_from: datetime
    busy_to: datetime


@dataclass(frozen=True, slots=True)
class NeedClaim:
    """Any `quantity` of these units, over the time of one service."""

    quantity: int
    units: tuple[UUID, ...]
    time: TimeClaim


@dataclass(frozen=True, slots=True)
class LimitClaim:
    """Of this person at most so many holds and bookings may start in `from_at` <= t < `to_at`, with this one."""

    subject_id: UUID
    from_at: datetime
    to_at: datetime
    most: int


@dataclass(frozen=True, slots=True)
class Together:
    """All or nothing."""

    claims: tuple[TimeClaim, ...]
    needs: tuple[NeedClaim, ...]
    limits: tuple[LimitClaim, ...]

    @property
    def is_simple(self) -> bool:
        """One person's time and nothing else: it can be claimed without a lock."""
        return len(self.claims) == 1 and not self.needs and not self.limits


def together(parts: Sequence[Part]) -> Together:
    """What the services of one booking take."""
    claims = tuple(_merged(part.time() for part in parts))
    plans = {part.plan.provider_id: part.plan for part in parts}
    return Together(
        claims,
        tuple(NeedClaim(need.quantity, need.units, part.time()) for part in parts for need in part.plan.needs),
        tuple(dict.fromkeys(limit for claim in claims for limit in _limits(plans[claim.subject_id], claim.starts_at))),
    )


def _merged(claims: Iterable[TimeClaim]) -> Iterator[TimeClaim]:
    """Of each person those that touch or overlap as one; by person, then by time."""
    last: TimeClaim | None = None
    for claim in sorted(claims, key=lambda one: (one.subject_id, one.busy_from)):
        if last is not None and last.subject_id == claim.subject_id and claim.busy_from <= last.busy_to:
            last = TimeClaim(
                last.subject_id,
                min(last.starts_at, claim.starts_at),
                max(last.ends_at, claim.ends_at),
                last.busy_from,
                max(last.busy_to, claim.busy_to),
            )
            continue
        if last is not None:
            yield last
        last = claim
    if last is not None:
        yield last


def _limits(plan: ProviderPlan, starts_at: datetime) -> Iterator[LimitClaim]:
    """Of the local day and of the ISO week in which a claim starts."""
    day, tz = day_of(starts_at, plan.time_zone), plan.time_zone
    if plan.limits.per_day is not None:
        yield LimitClaim(plan.provider_id, *day_bounds(day, tz), plan.limits.per_day)
    if plan.limits.per_week is not None:
        monday = day - timedelta(days=day.weekday())
        from_at, to_at = day_bounds(monday, tz)[0], day_bounds(monday + timedelta(days=6), tz)[1]
        yield LimitClaim(plan.provider_id, from_at, to_at, plan.limits.per_week)
