"""The payment processors that a process has keys for."""

from __future__ import annotations

from collections.abc import Sequence

from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_gateway import StripeGateway
from app.gateway import PaymentGateway
from app.ports import Clock


def make_gateways(
    *, stripe_key: str | None, stripe_secrets: Sequence[str], stripe_url: str | None, clock: Clock
) -> dict[str, PaymentGateway]:
    """By processor. Nothing is opened before the first call."""
    if stripe_key is None:
        return {}
    return {"stripe": StripeGateway(StripeConnection(stripe_key, base_url=stripe_url), stripe_secrets, clock=clock)}
