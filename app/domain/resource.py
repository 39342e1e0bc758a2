"""Rooms, equipment and people that services and activities need besides those who give them."""

from __future__ import annotations

from enum import StrEnum


class ResourceKind(StrEnum):
    """Values are those of the table."""

    ROOM = "room"
    EQUIPMENT = "equipment"
    PERSON = "person"
