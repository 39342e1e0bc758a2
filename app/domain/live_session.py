"""The places of one session as a fold over its events: nothing is read while a stream of them runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.sessions import SessionStatus, places_left


@dataclass(frozen=True, slots=True)
class HeldPlaces:
    """They come back at `until`, that very instant, whether or not anyone swept them up yet."""

    places: int
    until: datetime


@dataclass(frozen=True, slots=True)
class PlacesState:
    """`taken` counts every claim that nobody has freed, those of `held` that ran out among them."""

    capacity: int
    taken: int
    status: SessionStatus
    is_legacy: bool
    held: Mapping[UUID, HeldPlaces] = field(default_factory=dict)

    def remaining(self, now: datetime) -> int:
        lapsed = sum(claim.places for claim in self.held.values() if claim.until <= now)
        return places_left(self.capacity, self.taken, lapsed, self.status, is_legacy=self.is_legacy)

    def next_lapse(self, now: datetime) -> datetime | None:
        """When the next hold runs out."""
        return min((claim.until for claim in self.held.values() if claim.until > now), default=None)


def apply(state: PlacesState, payload: Mapping[str, Any]) -> PlacesState:
    """The state after an event of the session. One that is told twice changes nothing.

    Events of a claim alone (confirmed, held for longer) have no numbers. Raises KeyError or ValueError for a payload
    that no command of ours wrote.
    """
    if payload.get("taken") is not None:
        state = replace(
            state,
            capacity=payload["capacity"],
            taken=payload["taken"],
            status=SessionStatus(payload["status"]),
            is_legacy=payload["isLegacy"],
        )
    if payload.get("claimId") is None:
        return state
    claim_id = UUID(payload["claimId"])
    held = {other: claim for other, claim in state.held.items() if other != claim_id}
    if payload["heldUntil"] is not None:
        held[claim_id] = HeldPlaces(payload["places"], datetime.fromisoformat(payload["heldUntil"]))
    return replace(state, held=held)
