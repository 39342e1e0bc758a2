"""Tables. No logic; each file is a noun."""

from app.models.activity import Activity, ActivityProvider, ActivitySession, PlaceClaim
from app.models.allocation import Allocation
from app.models.audit import AuditEntry
from app.models.base import Base
from app.models.booking import Booking, BookingItem, BookingTransition
from app.models.bulk import BulkChange, BulkChangeItem
from app.models.calendar_source import CalendarSource
from app.models.customer import Customer
from app.models.exception import BlockedTime, ScheduleException
from app.models.fee import BookingFee, ProcessorCustomer
from app.models.guest import GuestHold, GuestSession
from app.models.hold import Hold
from app.models.idempotency import IdempotencyKey
from app.models.job import Job, RecurringRun, WorkerHeartbeat
from app.models.ledger import LedgerEntry, LedgerJournal
from app.models.organization import Membership, Organization, User
from app.models.outbox import EventAudience, OutboxEvent, RelayState
from app.models.participant import BookingParticipant
from app.models.payment import Payment, ProcessorEvent, Refund
from app.models.payment_settings import PaymentSettings
from app.models.payout import Payout, PayoutAccount, PayoutItem, PayoutReversal, ProviderPayable
from app.models.price_offer import PriceOffer
from app.models.price_rule import PriceRule
from app.models.promo_code import PromoCode, PromoUse
from app.models.provider import Offer, Provider
from app.models.provider_search import (
    OfferOutlook,
    OutlookState,
    ProviderPrice,
    ProviderSearch,
    SearchWord,
    ServiceSearch,
)
from app.models.reconciliation import ReconciliationDifference, ReconciliationRun
from app.models.resource import Resource, ResourceNeed, ResourceUnit
from app.models.schedule import ScheduleVersion
from app.models.series import BookingSeries
from app.models.service import Service
from app.models.venue import Venue
from app.models.waitlist import WaitlistEntry

__all__ = [
    "Activity",
    "ActivityProvider",
    "ActivitySession",
    "Allocation",
    "AuditEntry",
    "Base",
    "BlockedTime",
    "Booking",
    "BookingFee",
    "BookingItem",
    "BookingParticipant",
    "BookingSeries",
    "BookingTransition",
    "BulkChange",
    "BulkChangeItem",
    "CalendarSource",
    "Customer",
    "EventAudience",
    "GuestHold",
    "GuestSession",
    "Hold",
    "IdempotencyKey",
    "Job",
    "LedgerEntry",
    "LedgerJournal",
    "Membership",
    "Offer",
    "OfferOutlook",
    "Organization",
    "OutboxEvent",
    "OutlookState",
    "Payment",
    "PaymentSettings",
    "Payout",
    "PayoutAccount",
    "PayoutItem",
    "PayoutReversal",
    "PlaceClaim",
    "PriceOffer",
    "PriceRule",
    "ProcessorCustomer",
    "ProcessorEvent",
    "PromoCode",
    "PromoUse",
    "Provider",
    "ProviderPayable",
    "ProviderPrice",
    "ProviderSearch",
    "ReconciliationDifference",
    "ReconciliationRun",
    "RecurringRun",
    "Refund",
    "RelayState",
    "Resource",
    "ResourceNeed",
    "ResourceUnit",
    "ScheduleException",
    "ScheduleVersion",
    "SearchWord",
    "Service",
    "ServiceSearch",
    "User",
    "Venue",
    "WaitlistEntry",
    "WorkerHeartbeat",
]
