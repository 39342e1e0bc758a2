"""Composition root of the API: settings → adapters → the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from litestar import Litestar
from pydantic import SecretStr
from sqlalchemy import text

from app.adapters.valkey import Valkey
from app.checkout.event import receive_event
from app.commands.waitlist_offer import offer_what_opened
from app.core.database import APP_ROLE, SYSTEM_ROLE, Database
from app.core.logging import configure_logging
from app.core.metrics import exposition
from app.core.migrations import head_revision
from app.core.settings import Settings, get_settings
from app.core.tokens import TokenSigner
from app.domain.errors import Unauthenticated
from app.domain.price_quote import FeeRates
from app.gateway import Delivery
from app.ports import ShiftedClock
from app.processors import make_checkout
from app.queries.facts_cache import FactsReader
from app.queries.job import workers_alive
from app.queries.provider_calendar import CalendarEvent
from app.resolvers.availability_stream import AvailabilityEvents, open_availability
from app.resolvers.calendar import find_for_calendar
from app.resolvers.context import BookingPolicy, RequestContext, Services, Viewer
from app.resolvers.event_feed import EventFeed
from app.resolvers.live_hub import LiveHub
from app.resolvers.payment_return import note_return
from app.resolvers.presence import Presence
from app.resolvers.provider_feed import find_provider_feed
from app.resolvers.statement import write_statement
from app.schema.root import schema
from app.web.address import address_bucket, parse_networks
from app.web.application import web_application
from app.web.availability_stream import OpenAvailability, availability_routes
from app.web.calendar import CalendarEntry, FindEntry, Organizer, calendar_routes
from app.web.clients import ClientLimits
from app.web.graphiql import graphiql_routes, load_examples, new_nonce, page_headers, render_graphiql
from app.web.graphql.engine import GraphQLEngine
from app.web.graphql.errors import describe_error
from app.web.graphql.limits import Limits
from app.web.graphql.options import ContextFactory, RenderPage, TransportOptions
from app.web.graphql.transport import GRAPHQL_PATH, GraphQLTransport, graphql_routes
from app.web.health import health_routes
from app.web.metrics import metrics_routes
from app.web.payment_return import payment_return_routes
from app.web.provider_calendar import FindProviderCalendar, ProviderCalendar, provider_calendar_routes
from app.web.statement import statement_routes
from app.web.webhooks import webhook_routes

log = structlog.get_logger(__name__)

FEED_CONNECTIONS = 2
USER_AGENT_LENGTH = 300


@dataclass(slots=True)
class Api:
    """The application and what it was wired from."""

    app: Litestar
    services: Services
    transport: GraphQLTransport


def create_app() -> Litestar:
    """What the server loads."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    return build_api(settings).app


def build_api(settings: Settings, clock: ShiftedClock | None = None) -> Api:
    """The API with everything wired. Nothing is opened before the application starts. `clock` is shifted by tests."""
    database = _database(settings)
    feed_database = _database(settings, role=SYSTEM_ROLE, pool_size=FEED_CONNECTIONS)
    valkey = Valkey(_required(settings.redis_url, "TURNERO_REDIS_URL"))
    stream = valkey.event_stream()
    clock = clock or ShiftedClock()
    checkout = make_checkout(settings, database, clock, receives=True)
    services = Services(
        database=database,
        facts=_facts(settings, database, valkey),
        clock=clock,
        tokens=_signer(settings),
        stream=stream,
        limiter=valkey.rate_limiter(),
        feed=EventFeed(feed_database, stream),
        policy=_policy(settings),
        checkout=checkout,
        presence=Presence(valkey.presence()),
        live=LiveHub(),
    )
    services.live.on_begin, services.presence.shown = services.presence.wake, services.live.looks
    transport = _transport(settings, services)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await services.feed.start()
        _warn_of_settings(settings)
        log.info("api.started", port=settings.port)
        try:
            yield
        finally:
            await transport.shutdown()
            await services.presence.stop()
            services.live.close()
            await services.feed.stop()
            await services.facts.close()
            for gateway in checkout.gateways.values():
                await gateway.close()
            await valkey.close()
            await feed_database.dispose()
            await database.dispose()
            log.info("api.stopped")

    routes = [
        *graphql_routes(transport),
        *health_routes(_Checks(database, valkey), is_ending=lambda: transport.clients.is_closing),
        *metrics_routes(exposition, _plain(settings.metrics_token)),
        *calendar_routes(_calendar(services)),
        *provider_calendar_routes(_provider_calendar(services)),
        *availability_routes(_availability(services), transport.clients, transport.options),
        *statement_routes(partial(write_statement, services)),
        *webhook_routes(partial(_receive, services), frozenset(checkout.gateways)),
        *payment_return_routes(partial(note_return, services), settings.payment_return_url),
        *(graphiql_routes() if settings.graphiql_enabled else []),
    ]
    app = web_application(
        routes,
        allowed_origins=settings.allowed_origins,
        lifespan=[lifespan],
        shortcuts={GRAPHQL_PATH: transport.http},
        socket_shortcuts={GRAPHQL_PATH: transport.sockets},
        drain=transport.drain,
    )
    return Api(app, services, transport)


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise RuntimeError(f"{name} is not set. Set it, or use `turnero up`, which starts the server itself.")
    return value


def _platform_fees(settings: Settings) -> FeeRates:
    return FeeRates(settings.platform_fee_guest_bps, settings.platform_fee_member_bps)


def _database(settings: Settings, *, role: str = APP_ROLE, pool_size: int | None = None) -> Database:
    return Database(
        _required(settings.database_url, "TURNERO_DATABASE_URL"),
        role=role,
        pool_size=pool_size or settings.database_pool_size,
        statement_timeout_ms=settings.database_statement_timeout_ms,
        transaction_timeout_ms=settings.database_transaction_timeout_ms,
        idle_timeout_ms=settings.database_idle_timeout_ms,
        application_name="turnero-api",
        closing=partial(offer_what_opened, fees=_platform_fees(settings)),
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _facts(settings: Settings, database: Database, valkey: Valkey) -> FactsReader:
    return FactsReader(
        database,
        local_bytes=settings.facts_cache_mb * 1_000_000,
        shared=valkey.facts_cache() if settings.facts_cache_shared_s else None,
        shared_ttl_s=settings.facts_cache_shared_s,
    )


def _signer(settings: Settings) -> TokenSigner:
    key = _required(_plain(settings.secret_key), "TURNERO_SECRET_KEY")
    return TokenSigner(key, timedelta(seconds=settings.access_token_ttl_s))


async def _receive(services: Services, processor: str, delivery: Delivery) -> bool:
    is_new = await receive_event(services.checkout, processor, delivery)
    await services.stream.ring()
    return is_new


def _policy(settings: Settings) -> BookingPolicy:
    return BookingPolicy(
        hold_ttl=timedelta(seconds=settings.hold_ttl_s),
        hold_limit_per_user=settings.hold_limit_per_user,
        hold_limit_per_address=settings.hold_limit_per_address,
        sign_in_limit=settings.sign_in_limit,
        sign_in_limit_per_address=settings.sign_in_limit_per_address,
        sign_up_limit=settings.sign_up_limit,
        promo_guess_limit_per_address=settings.promo_guess_limit_per_address,
        booking_lookup_limit=settings.booking_lookup_limit,
        booking_lookup_limit_per_address=settings.booking_lookup_limit_per_address,
        guest_session_limit=settings.guest_session_limit_per_address,
        guest_session_ttl=timedelta(seconds=settings.guest_session_ttl_s),
        guest_session_longest=timedelta(seconds=settings.guest_session_longest_s),
        public_url=settings.public_url or settings.local_url,
        platform_fees=_platform_fees(settings),
        waitlist_limit_per_address=settings.waitlist_limit_per_address,
    )


def _transport(settings: Settings, services: Services) -> GraphQLTransport:
    engine = GraphQLEngine(
        schema._schema,
        execution_context_class=schema.execution_context_class,
        limits=Limits(
            depth=settings.graphql_max_depth,
            aliases=settings.graphql_max_aliases,
            directives=settings.graphql_max_directives,
            tokens=settings.graphql_max_tokens,
            cost=settings.graphql_max_cost,
            objects=settings.graphql_max_objects,
        ),
        introspection=settings.introspection_enabled,
        suggestions=settings.environment == "development",
        describe_error=describe_error,
    )
    options = TransportOptions(
        max_body_bytes=settings.graphql_max_body_bytes,
        trusted_proxies=parse_networks(settings.trusted_proxies),
        allowed_origins=settings.allowed_origins,
        render_ide=_page() if settings.graphiql_enabled else None,
        client_limits=ClientLimits(
            connections_per_client=settings.sockets_per_client,
            connections_per_address=settings.sockets_per_address,
            operations_per_client=settings.operations_per_client,
        ),
        now=services.clock.now,
    )
    return GraphQLTransport(engine, _context_factory(services, _ForwardedNotice(settings)), options)


def _page() -> RenderPage:
    examples = load_examples()

    def render() -> tuple[bytes, Mapping[str, str]]:
        nonce = new_nonce()
        return render_graphiql(examples, nonce), page_headers(nonce)

    return render


def _warn_of_settings(settings: Settings) -> None:
    if settings.environment == "production" and settings.public_url is None:
        log.warning("settings.public_url_missing", links_begin_with=settings.local_url, set="TURNERO_PUBLIC_URL")


class _ForwardedNotice:
    """Says once that there is a proxy in front whose word is not taken: all its clients share one address's limits."""

    def __init__(self, settings: Settings) -> None:
        self._is_due = settings.environment == "production" and not settings.trusted_proxies

    def look(self, headers: Mapping[str, str]) -> None:
        if self._is_due and "x-forwarded-for" in headers:
            self._is_due = False
            log.warning("settings.proxy_not_trusted", header="X-Forwarded-For", set="TURNERO_TRUSTED_PROXIES")


def _context_factory(services: Services, notice: _ForwardedNotice) -> ContextFactory:
    async def make(
        headers: Mapping[str, str], client_address: str | None, request_id: str, channel: str
    ) -> RequestContext:
        notice.look(headers)
        viewer = _viewer(services, headers.get("authorization"))
        if viewer is not None:
            services.presence.note(viewer.user_id)
        return RequestContext(
            services=services,
            request_id=request_id,
            viewer=viewer,
            address=client_address,
            limit_key=address_bucket(client_address) if client_address else None,
            user_agent=(headers.get("user-agent") or "")[:USER_AGENT_LENGTH] or None,
            channel="api" if channel == "http" else channel,
            idempotency_key=headers.get("idempotency-key"),
        )

    return make


def _viewer(services: Services, authorization: str | None) -> Viewer | None:
    """Raises Unauthenticated for anything but a valid token or none at all."""
    if not authorization:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must be `Bearer` and an access token.")
    claims = services.tokens.read_access_token(token.strip(), services.clock.now())
    return Viewer(claims.user_id, claims.expires_at)


def _availability(services: Services) -> OpenAvailability:
    async def open_events(
        provider_id: str, parameters: Mapping[str, str], after: str | None, address: str | None, request_id: str
    ) -> AvailabilityEvents:
        context = RequestContext(services=services, request_id=request_id, address=address)
        return await open_availability(context, provider_id, parameters, after)

    return open_events


def _calendar(services: Services) -> FindEntry:
    host = urlsplit(services.policy.public_url).hostname or "localhost"

    async def find(booking_id: UUID, token: str) -> CalendarEntry | None:
        found = await find_for_calendar(services, booking_id, token)
        if found is None:
            return None
        booking = found.booking
        return CalendarEntry(
            uid=f"{booking.id}@turnero",
            summary=" · ".join(name for name in (found.service_name, found.provider_name) if name),
            location=found.place,
            description=booking.number,
            starts_at=booking.starts_at,
            ends_at=booking.ends_at,
            changed_at=booking.updated_at,
            sequence=booking.version - 1,
            is_cancelled=found.is_cancelled,
            is_tentative=found.is_tentative,
            organizer=Organizer(found.shop_name, host),
        )

    return find


def _provider_calendar(services: Services) -> FindProviderCalendar:
    async def find(token: str) -> ProviderCalendar | None:
        found = await find_provider_feed(services, token)
        if found is None:
            return None
        return ProviderCalendar(found.provider.name, tuple(map(_provider_entry, found.events)))

    return find


def _provider_entry(event: CalendarEvent) -> CalendarEntry:
    """The provider's own calendar may say who comes. The parts of a visit are events of their own."""
    places = "" if event.places is None else f"{event.places[0]}/{event.places[1]}"
    return CalendarEntry(
        uid=f"{event.id}@turnero" if event.position == 1 else f"{event.id}-{event.position}@turnero",
        summary=f"{event.title} · {event.who or places}",
        location=None,
        description=event.number or places,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        changed_at=event.changed_at,
        sequence=event.version - 1,
        is_cancelled=event.status == "cancelled",
        is_tentative=event.status in {"pending", "payment_failed", "awaiting_provider"},
    )


@dataclass(frozen=True, slots=True)
class _Checks:
    """What readiness asks."""

    postgres: Database
    queue: Valkey

    async def database(self) -> bool:
        async with self.postgres.snapshot() as tx:
            await tx.execute(text("SELECT 1"))
        return True

    async def migrations_at_head(self) -> bool:
        async with self.postgres.snapshot() as tx:
            current = (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
        return bool(current == head_revision())

    async def valkey(self) -> bool:
        return await self.queue.ping()

    async def workers(self) -> bool:
        async with self.postgres.snapshot() as tx:
            return await workers_alive(tx)
