"""Tables. No logic; each file is a noun."""

from app.models.allocation import Allocation
from app.models.audit import AuditEntry
from app.models.base import Base
from app.models.booking import Booking, BookingItem, BookingTransition
from app.models.customer import Customer
from app.models.hold import Hold
from app.models.idempotency import IdempotencyKey
from app.models.job import Job, RecurringRun, WorkerHeartbeat
from app.models.organization import Membership, Organization, User
from app.models.outbox import OutboxEvent, RelayState
from app.models.provider import Offer, Provider
from app.models.schedule import ScheduleVersion
from app.models.service import Service
from app.models.venue import Venue

__all__ = [
    "Allocation",
    "AuditEntry",
    "Base",
    "Booking",
    "BookingItem",
    "BookingTransition",
    "Customer",
    "Hold",
    "IdempotencyKey",
    "Job",
    "Membership",
    "Offer",
    "Organization",
    "OutboxEvent",
    "Provider",
    "RecurringRun",
    "RelayState",
    "ScheduleVersion",
    "Service",
    "User",
    "Venue",
    "WorkerHeartbeat",
]
