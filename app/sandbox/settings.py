"""What the sandbox is started with. Read by `app.sandbox.main` alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

IN_MEMORY = ":memory:"


@dataclass(frozen=True, slots=True)
class ConfiguredEndpoint:
    """A webhook endpoint that exists from the start, for events of the platform and of connected accounts."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """A local Stripe, and a local MercadoPago beside it. Times are seconds, amounts are minor units."""

    public_url: str
    """Where clients and browsers reach it, without a slash at the end: links to its pages begin with this."""
    data_path: str = IN_MEMORY
    """SQLite file that keeps everything over a restart."""
    api_key: str | None = None
    """The one secret key that is accepted. None: any that begins with `sk_test_` or `rk_test_`."""
    endpoints: tuple[ConfiguredEndpoint, ...] = ()
    country: str = "DE"
    currency: str = "eur"
    fee_basis_points: int = 150
    fee_fixed: int = 25
    """Processing fee of each payment: a share of it and a fixed part."""
    dispute_fee: int = 2_000
    settlement_s: int = 0
    """How long money of a payment stays `pending` before it can be sent on."""
    authorization_s: int = 7 * 86_400
    """After this an authorization that was not captured is released."""
    dispute_after_s: float = 0.0
    refund_settles_after_s: float = 0.0
    """When a refund with a refund test card changes its state."""
    payout_arrives_after_s: float = 0.0
    search_lag_s: int = 0
    """How old an object is before search finds it (up to a minute at Stripe)."""
    enforce_onboarding: bool = False
    """Refuse transfers and payouts to connected accounts that are not onboarded, as Stripe does."""
    retry_base_s: float = 1.0
    """Pause before a webhook's second attempt; it doubles with each, up to an hour."""
    most_attempts: int = 16
    webhook_timeout_s: float = 10.0
    mercadopago_endpoint: ConfiguredEndpoint | None = None
    """Its secret signs all notifications; its address gets those of what names none itself. None: nothing is told."""
    mercadopago_currency: str = "ARS"
    clock: Callable[[], float] = field(default=time.time)
