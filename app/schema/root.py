"""The whole schema: the nouns' queries and mutations side by side."""

from __future__ import annotations

from uuid import UUID

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.core.ids import IdKind
from app.resolvers.booking import read_booking
from app.resolvers.bulk import read_bulk_change
from app.resolvers.calendar_source import read_calendar_source
from app.resolvers.context import RequestContext
from app.resolvers.customer import read_customer
from app.resolvers.exception import read_exception, read_time_off
from app.resolvers.hold import read_hold
from app.resolvers.payout import read_payout
from app.resolvers.price_offer import read_price_offer
from app.resolvers.price_rule import read_price_rule
from app.resolvers.promo import read_promo_code
from app.resolvers.resource import read_resource
from app.resolvers.schedule import read_schedule
from app.resolvers.series import read_series
from app.resolvers.session import read_session
from app.resolvers.waitlist import NamedEntry, read_entry
from app.schema import enums
from app.schema.account import AccountMutation, AccountQuery
from app.schema.activity import ActivityQuery
from app.schema.activity_mutation import ActivityMutation
from app.schema.availability import AvailabilityQuery
from app.schema.booking import Booking, BookingQuery
from app.schema.booking_link import BookingLinkMutation
from app.schema.booking_list import BookingListQuery
from app.schema.booking_mutation import BookingMutation
from app.schema.bulk import BulkChange, BulkChangeQuery
from app.schema.bulk_mutation import BulkChangeMutation
from app.schema.calendar_source import CalendarMutation, CalendarSource
from app.schema.cash_mutation import CashMutation
from app.schema.check_in import CheckInMutation
from app.schema.customer import Customer
from app.schema.errors import ERROR_HANDLERS, PaymentDeclined
from app.schema.exception import ExceptionMutation, ScheduleException, TimeOff
from app.schema.explanation import ExplanationQuery
from app.schema.fee_query import FeeQuery
from app.schema.guest_session import GuestSessionMutation, GuestSessionQuery
from app.schema.hold import Hold, HoldMutation
from app.schema.inputs import prepare_inputs
from app.schema.live import Subscription as LiveSubscription
from app.schema.membership import MembershipMutation
from app.schema.names import RememberedNames
from app.schema.node import Node
from app.schema.node_query import NODE_READERS, NodeQuery
from app.schema.offer import OfferMutation
from app.schema.organization import OrganizationMutation, OrganizationQuery
from app.schema.participant_mutation import ParticipantMutation
from app.schema.payment_mutation import PaymentMutation
from app.schema.payment_settings_mutation import PaymentSettingsMutation
from app.schema.payout import Payout, PayoutQuery
from app.schema.payout_mutation import PayoutMutation
from app.schema.presence import PresenceSubscription
from app.schema.price_offer import PriceQuote, PriceQuoteMutation, PriceQuoteQuery
from app.schema.price_rule import PriceRule
from app.schema.price_rule_mutation import PriceRuleMutation
from app.schema.promo import PromoCode, PromoMutation, PromoQuery
from app.schema.provider import ProviderMutation, ProviderQuery
from app.schema.provider_search import ProviderSearchQuery
from app.schema.reconciliation import ReconciliationMutation, ReconciliationQuery
from app.schema.resource import Resource, ResourceMutation, ResourceQuery
from app.schema.scalars import SCALARS
from app.schema.schedule import ScheduleMutation, ScheduleQuery, ScheduleVersion
from app.schema.series import BookingSeries, SeriesQuery
from app.schema.series_change import SeriesChangeMutation
from app.schema.series_mutation import SeriesMutation
from app.schema.service import ServiceQuery
from app.schema.service_mutation import ServiceMutation
from app.schema.session import ActivitySession, SessionQuery
from app.schema.session_mutation import SessionMutation
from app.schema.slot_watch import SlotWatchSubscription
from app.schema.venue import VenueMutation, VenueQuery
from app.schema.waitlist import WaitlistEntry, WaitlistQuery
from app.schema.waitlist_mutation import WaitlistMutation


@strawberry.type
class Query(
    NodeQuery,
    AccountQuery,
    OrganizationQuery,
    VenueQuery,
    ProviderQuery,
    ProviderSearchQuery,
    ServiceQuery,
    ActivityQuery,
    SessionQuery,
    ResourceQuery,
    AvailabilityQuery,
    ExplanationQuery,
    BookingQuery,
    BookingListQuery,
    GuestSessionQuery,
    SeriesQuery,
    ScheduleQuery,
    PromoQuery,
    PriceQuoteQuery,
    FeeQuery,
    PayoutQuery,
    ReconciliationQuery,
    BulkChangeQuery,
    WaitlistQuery,
):
    pass


@strawberry.type
class Mutation(
    AccountMutation,
    OrganizationMutation,
    MembershipMutation,
    VenueMutation,
    ProviderMutation,
    ServiceMutation,
    ActivityMutation,
    SessionMutation,
    ResourceMutation,
    OfferMutation,
    ScheduleMutation,
    ExceptionMutation,
    CalendarMutation,
    GuestSessionMutation,
    HoldMutation,
    BookingMutation,
    ParticipantMutation,
    BookingLinkMutation,
    CheckInMutation,
    SeriesMutation,
    SeriesChangeMutation,
    PaymentMutation,
    PaymentSettingsMutation,
    PriceRuleMutation,
    PromoMutation,
    PriceQuoteMutation,
    CashMutation,
    PayoutMutation,
    ReconciliationMutation,
    BulkChangeMutation,
    WaitlistMutation,
):
    pass


@strawberry.type
class Subscription(LiveSubscription, SlotWatchSubscription, PresenceSubscription):
    pass


async def _booking(context: RequestContext, row_id: UUID) -> Node:
    return Booking.from_seen(await read_booking(context, row_id, None))


async def _series(context: RequestContext, row_id: UUID) -> Node:
    return BookingSeries.from_seen(await read_series(context, row_id, None))


async def _hold(context: RequestContext, row_id: UUID) -> Node:
    return Hold.from_model(await read_hold(context, row_id))


async def _customer(context: RequestContext, row_id: UUID) -> Node:
    return Customer.from_model(await read_customer(context, row_id))


async def _resource(context: RequestContext, row_id: UUID) -> Node:
    return Resource.from_model(await read_resource(context, row_id))


async def _calendar_source(context: RequestContext, row_id: UUID) -> Node:
    return CalendarSource.from_model(await read_calendar_source(context, row_id))


async def _session(context: RequestContext, row_id: UUID) -> Node:
    return ActivitySession.from_seen(await read_session(context, row_id))


async def _exception(context: RequestContext, row_id: UUID) -> Node:
    return ScheduleException.from_seen(await read_exception(context, row_id))


async def _time_off(context: RequestContext, row_id: UUID) -> Node:
    return TimeOff.from_domain(await read_time_off(context, row_id))


async def _price_rule(context: RequestContext, row_id: UUID) -> Node:
    return PriceRule.from_model(await read_price_rule(context, row_id))


async def _schedule(context: RequestContext, row_id: UUID) -> Node:
    return ScheduleVersion.from_model(await read_schedule(context, row_id))


async def _promo_code(context: RequestContext, row_id: UUID) -> Node:
    return PromoCode.from_model(await read_promo_code(context, row_id))


async def _price_quote(context: RequestContext, row_id: UUID) -> Node:
    return PriceQuote.from_shown(await read_price_offer(context, row_id, None))


async def _payout(context: RequestContext, row_id: UUID) -> Node:
    return Payout.from_model(await read_payout(context, row_id))


async def _bulk_change(context: RequestContext, row_id: UUID) -> Node:
    return BulkChange.from_seen(await read_bulk_change(context, row_id))


async def _waitlist_entry(context: RequestContext, row_id: UUID) -> Node:
    return WaitlistEntry.from_seen(await read_entry(context, NamedEntry(row_id, None)))


NODE_READERS.update(
    {
        IdKind.BOOKING: _booking,
        IdKind.SERIES: _series,
        IdKind.HOLD: _hold,
        IdKind.CUSTOMER: _customer,
        IdKind.RESOURCE: _resource,
        IdKind.SESSION: _session,
        IdKind.SCHEDULE: _schedule,
        IdKind.EXCEPTION: _exception,
        IdKind.TIME_OFF: _time_off,
        IdKind.CALENDAR_SOURCE: _calendar_source,
        IdKind.PRICE_RULE: _price_rule,
        IdKind.PROMO_CODE: _promo_code,
        IdKind.PRICE_OFFER: _price_quote,
        IdKind.PAYOUT: _payout,
        IdKind.BULK_CHANGE: _bulk_change,
        IdKind.WAITLIST: _waitlist_entry,
    }
)

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[PaymentDeclined, enums.AvailabilityCause],
    config=StrawberryConfig(name_converter=RememberedNames(), scalar_map=SCALARS),
    exception_handlers=ERROR_HANDLERS,
)
prepare_inputs(schema)
