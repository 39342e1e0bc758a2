"""Who changes something, and through which channel: written beside every change."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is a role or `guest`, `customer`, `provider`, `system`; the rest is where the request came from."""

    name: str
    user_id: UUID | None = None
    channel: str = "api"
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    def as_json(self) -> str:
        return msgspec.json.encode(
            {
                "actor": self.name,
                "actor_id": self.user_id,
                "channel": self.channel,
                "address": self.address,
                "user_agent": self.user_agent,
                "request_id": self.request_id,
            }
        ).decode()


SYSTEM = Actor("system", channel="job")
