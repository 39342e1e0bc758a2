"""Who changes something, and through which channel: written beside every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
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

    def as_dict(self) -> dict[str, Any]:
        """The same, to be kept in a row."""
        kept: dict[str, Any] = msgspec.json.decode(self.as_json())
        return kept

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Actor:
        """Who was kept so."""
        user_id = kept["actor_id"]
        return cls(
            name=kept["actor"],
            user_id=None if user_id is None else UUID(user_id),
            channel=kept["channel"],
            address=kept["address"],
            user_agent=kept["user_agent"],
            request_id=kept["request_id"],
        )


SYSTEM = Actor("system", channel="job")
