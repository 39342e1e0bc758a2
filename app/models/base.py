"""Declarative base. Tables are singular; constraints are named so that a violation maps to a typed error."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Integer, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "ix": "%(table_name)s_%(column_0_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}

NOW = text("turnero_now()")
"""Server default of every instant: the injected clock rules in SQL too."""


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 (declared by SQLAlchemy as an instance-level mapping)
        str: Text,
        int: Integer,
        UUID: Uuid,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8: a transaction's number that never wraps around. Compared inside SQL only."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "xid8"


class Identified:
    """A UUIDv7 primary key, made by the application."""

    id: Mapped[UUID] = mapped_column(primary_key=True)


class OfOrganization:
    """A row of one organization: row-level security compares this column."""

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organization.id"))


class Timestamped:
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
