"""Rules that change an organization's prices."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index, Integer, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, OfOrganization, Timestamped


class PriceRule(Identified, OfOrganization, Timestamped, Base):
    """What `domain.price_rule` says of each field. Conditions that are none or empty always hold.

    `seasons`: `[{"first": date, "last": date, "everyYear": bool}]`. The ids are the rule's subjects. `version` counts
    changes.
    """

    __tablename__ = "price_rule"
    __table_args__ = (
        CheckConstraint(
            "(rate_bps = 0) <> (amount_minor = 0) AND rate_bps BETWEEN -10000 AND 100000"
            " AND amount_minor BETWEEN -9007199254740991 AND 9007199254740991 AND at_most_minor >= 0",
            name="change",
        ),
        CheckConstraint("weekdays <@ ARRAY[0, 1, 2, 3, 4, 5, 6]", name="weekdays"),
        CheckConstraint(
            "(hours_from IS NULL) = (hours_to IS NULL) AND hours_from BETWEEN 0 AND 1439"
            " AND hours_to BETWEEN 0 AND 1440",
            name="hours",
        ),
        CheckConstraint(
            "lead_from_minutes < lead_to_minutes AND occupancy_from_bps < occupancy_to_bps"
            " AND occupancy_from_bps BETWEEN 0 AND 10000 AND occupancy_to_bps BETWEEN 1 AND 10001",
            name="bounds",
        ),
        Index("price_rule_organization_id_idx", "organization_id", "is_active", "id"),
    )

    name: Mapped[str]
    rate_bps: Mapped[int] = mapped_column(server_default="0")
    amount_minor: Mapped[int] = mapped_column(BigInteger, server_default="0")
    at_most_minor: Mapped[int | None] = mapped_column(BigInteger)
    priority: Mapped[int] = mapped_column(server_default="0")
    is_exclusive: Mapped[bool] = mapped_column(server_default="false")
    weekdays: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default="{}")
    hours_from: Mapped[int | None]
    hours_to: Mapped[int | None]
    lead_from_minutes: Mapped[int | None]
    lead_to_minutes: Mapped[int | None]
    occupancy_from_bps: Mapped[int | None]
    occupancy_to_bps: Mapped[int | None]
    seasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    service_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    activity_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    provider_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    version: Mapped[int] = mapped_column(server_default="1")
