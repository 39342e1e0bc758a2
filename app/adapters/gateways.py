"""The payment processors that a process has keys for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.adapters.mercadopago_connection import BASE_URL, MercadoPagoConnection
from app.adapters.mercadopago_gateway import MercadoPagoGateway
from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_gateway import StripeGateway
from app.gateway import PaymentGateway
from app.ports import Clock


@dataclass(frozen=True, slots=True)
class ProcessorKeys:
    """`secrets`: of webhooks, for who receives some. `url`: of a local stand-in. `is_live`: None: the key tells."""

    key: str = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    url: str | None = None
    is_live: bool | None = None


def make_gateways(
    *, stripe: ProcessorKeys | None, mercadopago: ProcessorKeys | None, clock: Clock
) -> dict[str, PaymentGateway]:
    """By processor. Nothing is opened before the first call."""
    made: dict[str, PaymentGateway] = {}
    if stripe is not None:
        made["stripe"] = StripeGateway(StripeConnection(stripe.key, base_url=stripe.url), stripe.secrets, clock=clock)
    if mercadopago is not None:
        connection = MercadoPagoConnection(
            mercadopago.key, base_url=mercadopago.url or BASE_URL, is_live=mercadopago.is_live
        )
        made["mercadopago"] = MercadoPagoGateway(connection, mercadopago.secrets, clock=clock)
    return made
