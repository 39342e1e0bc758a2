"""Work to be done outside the request: committed with the change that wants it, claimed with a lease and a fence."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import NOW, Base, Identified, Timestamped


class Job(Identified, Timestamped, Base):
    """Finished only by the holder of the current `fence`; a lapsed lease is taken over."""

    __tablename__ = "job"
    __table_args__ = (
        Index("job_due_idx", "run_after", postgresql_where="done_at IS NULL AND failed_at IS NULL"),
        Index("job_done_at_idx", "done_at"),
    )

    kind: Mapped[str]
    args: Mapped[dict[str, Any]] = mapped_column(JSONB)
    organization_id: Mapped[UUID | None]
    run_after: Mapped[datetime] = mapped_column(server_default=NOW)
    attempts: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int] = mapped_column(server_default="10")
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(server_default="0")
    done_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class RecurringRun(Base):
    """One row for each slot of a recurring job, so that any number of workers start it once."""

    __tablename__ = "recurring_run"

    job: Mapped[str] = mapped_column(primary_key=True)
    scheduled_for: Mapped[datetime] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WorkerHeartbeat(Base):
    """Who is at work, for the readiness probe."""

    __tablename__ = "worker_heartbeat"

    worker: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
