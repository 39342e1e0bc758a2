"""What a person is in an organization."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each may do what the ones after it may."""

    OWNER = "owner"
    ADMIN = "admin"
    STAFF = "staff"


def may_give(giver: Role, role: Role) -> bool:
    """May `giver` make someone a `role`, or end it? Owners and admins are the owners' affair."""
    return giver is Role.OWNER or (giver is Role.ADMIN and role is Role.STAFF)
