"""What every composition root makes of the settings of payments."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import SecretStr

from app.adapters.gateways import ProcessorKeys, make_gateways
from app.checkout.scope import Checkout
from app.core.database import Database
from app.core.settings import Settings
from app.ports import Clock


def make_checkout(settings: Settings, database: Database, clock: Clock, *, receives: bool = False) -> Checkout:
    """With a gateway for each processor that has a key. `receives`: webhooks, so that their secrets are needed."""
    gateways = make_gateways(
        stripe=_stripe(settings, receives), mercadopago=_mercadopago(settings, receives), clock=clock
    )
    publishable = {"stripe": settings.stripe_publishable_key, "mercadopago": settings.mercadopago_public_key}
    return Checkout(
        database,
        clock,
        gateways,
        {name: key for name, key in publishable.items() if key},
        settings.public_url or settings.local_url,
    )


def _stripe(settings: Settings, receives: bool) -> ProcessorKeys | None:
    key = settings.stripe_secret_key
    if key is None:
        return None
    secrets = _plain(settings.stripe_webhook_secrets) if receives else ()
    return ProcessorKeys(key.get_secret_value(), secrets, settings.stripe_api_base)


def _mercadopago(settings: Settings, receives: bool) -> ProcessorKeys | None:
    token = settings.mercadopago_access_token
    if token is None:
        return None
    secrets = _plain(settings.mercadopago_webhook_secrets) if receives else ()
    url, is_live = settings.mercadopago_api_base, settings.mercadopago_is_live
    return ProcessorKeys(token.get_secret_value(), secrets, url, is_live)


def _plain(secrets: Sequence[SecretStr]) -> list[str]:
    return [secret.get_secret_value() for secret in secrets]
