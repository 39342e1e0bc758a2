"""Settings of every process, read from the environment by the composition roots alone.

`docs/settings.md` is made from this file (`turnero settings-doc`), so each field says what it does,
in which unit, and what happens at the edges.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All that an operator can set. Each name is `TURNERO_` followed by the field in upper case."""

    model_config = SettingsConfigDict(
        env_prefix="TURNERO_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    environment: Literal["development", "production"] = Field(
        "development",
        description="`production` hides field suggestions, closes introspection and GraphiQL unless set, "
        "and refuses to start without a secret key.",
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port the API listens on.")
    public_url: str | None = Field(
        None,
        description="Address clients reach the API at, used in links (.ics). None: `http://HOST:PORT`, "
        "which other machines may not reach. Set it in production.",
    )
    api_processes: int = Field(1, ge=1, le=64, description="API processes that share the port.")
    data_dir: Path = Field(
        Path(".turnero"), description="Folder of the embedded servers, their logs and the generated secret key."
    )

    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("TURNERO_DATABASE_URL", "DATABASE_URL", "database_url"),
        description="PostgreSQL 18 or later; also read from `DATABASE_URL`. None: an embedded server.",
    )
    migration_database_url: str | None = Field(
        None,
        description="Login that owns the tables and migrates. None: the same as the database URL. "
        "Set it in production, so that the API's own login owns nothing.",
    )
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices("TURNERO_REDIS_URL", "REDIS_URL", "redis_url"),
        description="Valkey, or Redis 7 and later; also read from `REDIS_URL`. None: an embedded server.",
    )
    database_pool_size: int = Field(10, ge=1, le=200, description="Database connections of each process.")
    database_statement_timeout_ms: int = Field(10_000, ge=100, description="A statement that runs longer is cancelled.")
    database_transaction_timeout_ms: int = Field(
        15_000, ge=100, description="A transaction that stays open longer is ended: it would hold back all events."
    )
    database_idle_timeout_ms: int = Field(
        4_000,
        ge=100,
        description="A transaction whose process is silent for longer is ended: one that sleeps or hangs must not hold "
        "back the events of all others.",
    )

    secret_key: SecretStr | None = Field(
        None,
        description="Key of access tokens, hold tokens and guest links; at least 32 characters. "
        "None: made once and kept in the data folder (development only).",
    )
    access_token_ttl_s: int = Field(3600, ge=60, le=86_400, description="Life of a signed-in person's access token.")

    hold_ttl_s: int = Field(600, ge=1, le=86_400, description="How long a held slot is kept for its holder.")
    hold_limit_per_user: int = Field(
        3, ge=0, description="Active holds of one signed-in guest in one organization. 0: no limit."
    )
    hold_limit_per_address: int = Field(
        30, ge=0, description="Active holds of one network address (IPv6: /64) in one organization. 0: no limit."
    )
    waitlist_limit_per_address: int = Field(
        30,
        ge=0,
        description="Live waitlist entries of one network address (IPv6: /64) in one organization. 0: no limit.",
    )
    sign_in_limit: int = Field(10, ge=0, description="Failed sign-ins of one e-mail in 15 minutes. 0: no limit.")
    sign_in_limit_per_address: int = Field(
        100, ge=0, description="Sign-ins tried from one network address (IPv6: /64) in 15 minutes. 0: no limit."
    )
    sign_up_limit: int = Field(
        20, ge=0, description="Accounts made from one network address (IPv6: /64) in an hour. 0: no limit."
    )
    promo_guess_limit_per_address: int = Field(
        30, ge=0, description="Promo codes refused to one network address (IPv6: /64) in an hour. 0: no limit."
    )
    booking_lookup_limit_per_address: int = Field(
        20,
        ge=0,
        description="Bookings that one network address (IPv6: /64) may look for in vain by code and e-mail in 15 "
        "minutes. 0: no limit.",
    )
    booking_lookup_limit: int = Field(
        500, ge=0, description="The same for all who look for bookings of one organization. 0: no limit."
    )
    guest_session_limit_per_address: int = Field(
        200, ge=0, description="Guest sessions begun from one network address (IPv6: /64) in an hour. 0: no limit."
    )
    guest_session_ttl_s: int = Field(
        86_400, ge=60, le=2_592_000, description="How long a guest session lives after its last use."
    )
    guest_session_longest_s: int = Field(
        604_800, ge=60, le=7_776_000, description="How long a guest session lives at most, however often it is used."
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="Addresses or networks whose `X-Forwarded-For` is believed, as a JSON list: "
        '`["10.0.0.0/8"]`. Behind a proxy that is not in it, all clients count as one address.',
    )
    allowed_origins: list[str] = Field(
        default_factory=lambda: ["*"],
        description="Web origins that may call the API from a browser, as a JSON list. No cookies are used.",
    )

    graphiql: bool | None = Field(None, description="Serve GraphiQL at /graphql. None: only in development.")
    introspection: bool | None = Field(None, description="Answer introspection. None: only in development.")
    graphql_max_depth: int = Field(10, ge=1, description="Deepest nesting of fields in a document.")
    graphql_max_aliases: int = Field(15, ge=0, description="Most aliases in a document.")
    graphql_max_directives: int = Field(50, ge=0, description="Most directives in a document.")
    graphql_max_tokens: int = Field(1_000, ge=1, description="Most lexical tokens in a document.")
    graphql_max_cost: int = Field(1_000, ge=1, description="Highest cost of a document: objects, times `first`.")
    graphql_max_objects: int = Field(
        10_000, ge=100, description="Most objects in the lists of one answer; twice as many in all."
    )
    graphql_max_body_bytes: int = Field(262_144, ge=1_024, description="Largest request body or socket message.")

    sockets_per_client: int = Field(
        5,
        ge=0,
        description="Open WebSockets and event streams of one client in each process: of a signed-in user, or of an "
        "installation that gives itself a `clientId`. 0: no limit.",
    )
    sockets_per_address: int = Field(
        200,
        ge=0,
        description="The same of one network address (IPv6: /64), whoever they are. Behind it may be a school or a "
        "shop with many tablets. 0: no limit.",
    )
    operations_per_client: int = Field(
        20,
        ge=0,
        description="Operations under way on all sockets and streams of one client in each process; where the client "
        "is not known, on one socket. 0: no limit.",
    )

    shutdown_grace_s: int = Field(
        8,
        ge=1,
        le=600,
        description="From SIGTERM to the end of an API process, at most: up to half of it to close sockets and "
        "streams one after another, all of it for requests under way. Less than whoever stops it waits before killing.",
    )

    facts_cache_mb: int = Field(
        64, ge=0, le=4_096, description="Memory of each API process for the facts behind free slots. 0: none are kept."
    )
    facts_cache_shared_s: int = Field(
        900, ge=0, le=86_400, description="How long such facts stay in Valkey, for all processes. 0: none go there."
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="Bearer token that reads /metrics from anywhere; at least 16 characters. None: only programs on "
        "the same machine read it, and no request that came through a proxy.",
    )
    worker_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of 127.0.0.1 where the worker shows its metrics. None: nowhere."
    )

    event_retention_h: int = Field(72, ge=1, description="How long a subscriber may be away and still resume.")
    idempotency_retention_h: int = Field(48, ge=1, description="How long an idempotency key is remembered.")
    job_lease_s: int = Field(60, ge=1, description="A job whose worker is silent for longer is taken over.")

    calendar_poll_interval_s: int = Field(
        900, ge=60, le=86_400, description="How often a connected calendar is asked for its busy times."
    )
    calendar_allow_private_addresses: bool = Field(
        False,
        description="Also fetch calendars from private and local addresses. Whoever may connect a calendar can then "
        "make the worker ask any server that it reaches: only where all of them may.",
    )
    calendar_allow_plain_http: bool = Field(
        False, description="Also fetch calendars over http, where everybody on the way can read and change them."
    )

    platform_fee_guest_bps: int = Field(
        0,
        ge=0,
        le=10_000,
        description="The platform's share of a booking by a guest, in hundredths of a percent of the price without "
        "tax, where the organization has none of its own. It is taken from the provider's part, and not added.",
    )
    platform_fee_member_bps: int = Field(
        0, ge=0, le=10_000, description="The same share of a booking by somebody who is signed in."
    )

    stripe_secret_key: SecretStr | None = Field(
        None,
        description="Stripe's secret key (`sk_live_…`, `sk_test_…`, or a restricted `rk_…`). None: nobody pays online; "
        "`turnero up` starts a local Stripe in development.",
    )
    stripe_publishable_key: str | None = Field(
        None, description="Stripe's public key (`pk_…`), given to the guest's browser for its payment form."
    )
    stripe_webhook_secrets: list[SecretStr] = Field(
        default_factory=list,
        description="Signing secrets of the webhook endpoint `/webhooks/stripe`, as a JSON list: the current one, "
        "and the one before it while they are exchanged.",
    )
    stripe_api_base: str | None = Field(
        None, description="Address of a local Stripe (`turnero sandbox`). None: the real one."
    )
    mercadopago_access_token: SecretStr | None = Field(
        None,
        description="MercadoPago's access token (`APP_USR-…`, or `TEST-…`). None: no organization pays by MercadoPago; "
        "`turnero up` starts a local one in development.",
    )
    mercadopago_public_key: str | None = Field(
        None, description="MercadoPago's public key, given to the guest's browser for a form of its own."
    )
    mercadopago_webhook_secrets: list[SecretStr] = Field(
        default_factory=list,
        description="Secret signatures of the application's webhooks at `/webhooks/mercadopago`, as a JSON list: the "
        "current one, and the one before it while they are exchanged.",
    )
    mercadopago_is_live: bool | None = Field(
        None,
        description="Real money? None: unless the token begins with `TEST-`. Those of test users do not: say false.",
    )
    mercadopago_api_base: str | None = Field(
        None, description="Address of a local MercadoPago (`…/mercadopago` of `turnero sandbox`). None: the real one."
    )
    payment_return_url: str | None = Field(
        None,
        description="A page of yours that guests come to when they have paid on a processor's page; it is "
        "given `booking` in its query. None: a plain page of this server.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    log_format: Literal["console", "json"] = Field("console", description="`json` for machines, `console` for people.")

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; make one with: openssl rand -hex 32")
        return value

    @field_validator("metrics_token")
    @classmethod
    def _not_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters; make one with: openssl rand -hex 16")
        return value

    @field_validator("public_url", "stripe_api_base", "mercadopago_api_base", "payment_return_url")
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// or http://")
        return value.strip().rstrip("/")

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"postgres(ql)?(\+\w+)?://", value):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, values: list[str]) -> list[str]:
        for value in values:
            try:
                ip_network(value.strip(), strict=False)
            except ValueError:
                raise ValueError(f"{value!r} is no address and no network such as 10.0.0.0/8") from None
        return values

    @property
    def local_url(self) -> str:
        """Where a person on this machine opens the API: no wildcard address, IPv6 in brackets."""
        host = self.host
        with suppress(ValueError):
            address = ip_address(host)
            if address.is_unspecified:
                host = "127.0.0.1" if address.version == 4 else "::1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def graphiql_enabled(self) -> bool:
        return self.environment == "development" if self.graphiql is None else self.graphiql

    @property
    def introspection_enabled(self) -> bool:
        return self.environment == "development" if self.introspection is None else self.introspection


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
