"""Stripe's side of a marketplace: money sent on to connected accounts, the accounts themselves, the balance."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import stripe
from stripe.params import AccountCreateParams, TransferCreateParams

from app.adapters import stripe_objects as objects
from app.adapters.stripe_amounts import to_stripe
from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_errors import is_replayed
from app.gateway import (
    AccountOrder,
    AccountSnapshot,
    Balance,
    OnboardingLink,
    ReversalOrder,
    ReversalSnapshot,
    TransferOrder,
    TransferSnapshot,
)


class StripeMarketplace:
    """A part of StripeGateway."""

    def __init__(self, connection: StripeConnection) -> None:
        self._connection = connection
        self._ask = connection.ask
        self._found = connection.found
        self._pages = connection.pages
        self._v1 = connection.client.v1

    # ── transfers ─────────────────────────────────────────────────────────────────────────────────────

    async def transfer(self, order: TransferOrder) -> TransferSnapshot:
        """See PaymentGateway."""
        params: TransferCreateParams = {
            "amount": to_stripe(order.amount_minor, order.currency),
            "currency": order.currency.lower(),
            "destination": order.account_id,
            "metadata": {
                **order.metadata,
                objects.TRANSFER: str(order.transfer_id),
                objects.ORGANIZATION: str(order.organization_id),
            },
        }
        if order.charge_id:
            params["source_transaction"] = order.charge_id
        if order.transfer_group:
            params["transfer_group"] = order.transfer_group
        if order.description:
            params["description"] = order.description
        made = await self._ask(self._v1.transfers.create_async(params, key_option(order.idempotency_key)))
        if is_replayed(headers_of(made)):
            made = await self._ask(self._v1.transfers.retrieve_async(made.id))
        return await self._transfer(made)

    async def reverse_transfer(self, order: ReversalOrder) -> ReversalSnapshot:
        """See PaymentGateway."""
        amount = to_stripe(order.amount_minor, order.currency)
        made = await self._ask(
            self._v1.transfers.reversals.create_async(
                order.processor_id,
                {"amount": amount, "metadata": {objects.REVERSAL: str(order.reversal_id)}},
                key_option(order.idempotency_key),
            )
        )
        return objects.read_reversal(made)

    async def find_transfer(self, processor_id: str) -> TransferSnapshot | None:
        """See PaymentGateway."""
        found = await self._found(self._v1.transfers.retrieve_async(processor_id))
        return None if found is None else await self._transfer(found)

    async def look_up_transfers(self, transfer_group: str) -> tuple[TransferSnapshot, ...]:
        """See PaymentGateway. Lists of one group are up to date."""
        listed = self._pages(self._v1.transfers.list_async, transfer_group=transfer_group)
        return tuple([await self._transfer(one) async for one in listed][::-1])

    async def _transfer(self, transfer: stripe.Transfer) -> TransferSnapshot:
        reversals = list(transfer.reversals.data)
        if transfer.reversals.has_more:
            listing = self._v1.transfers.reversals.list_async
            reversals = [one async for one in self._pages(lambda filters: listing(transfer.id, filters))]
        return objects.read_transfer(transfer, reversals)

    # ── connected accounts ────────────────────────────────────────────────────────────────────────────

    async def create_account(self, order: AccountOrder) -> AccountSnapshot:
        """An account with Stripe's own dashboard, whose fees and losses the platform bears."""
        params: AccountCreateParams = {
            "country": order.country,
            "controller": {
                "stripe_dashboard": {"type": "express"},
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
            },
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {
                objects.PROVIDER: str(order.provider_id),
                objects.ORGANIZATION: str(order.organization_id),
            },
        }
        if order.email:
            params["email"] = order.email
        made = await self._ask(self._v1.accounts.create_async(params, key_option(order.idempotency_key)))
        if is_replayed(headers_of(made)):
            made = await self._ask(self._v1.accounts.retrieve_async(made.id))
        return objects.read_account(made)

    async def onboarding_link(self, account_id: str, *, return_url: str, refresh_url: str) -> OnboardingLink:
        """See PaymentGateway. Each call gives another link."""
        link = await self._ask(
            self._v1.account_links.create_async(
                {
                    "account": account_id,
                    "type": "account_onboarding",
                    "return_url": return_url,
                    "refresh_url": refresh_url,
                }
            )
        )
        return OnboardingLink(link.url, objects.instant(link.expires_at))

    async def find_account(self, account_id: str) -> AccountSnapshot | None:
        """See PaymentGateway."""
        found = await self._found(self._v1.accounts.retrieve_async(account_id))
        return None if found is None else objects.read_account(found)

    async def list_transfers(self, since: datetime, until: datetime | None = None) -> AsyncIterator[TransferSnapshot]:
        """See PaymentGateway."""
        async for one in self._pages(self._v1.transfers.list_async, created=between(since, until)):
            yield await self._transfer(one)

    async def balance(self) -> tuple[Balance, ...]:
        """See PaymentGateway."""
        return objects.read_balance(await self._ask(self._v1.balance.retrieve_async()))


def key_option(key: str) -> stripe.RequestOptions:
    return {"idempotency_key": key}


def headers_of(answer: stripe.StripeObject) -> Mapping[str, str] | None:
    response = answer.last_response
    return None if response is None else response.headers


def between(since: datetime, until: datetime | None) -> dict[str, int]:
    """A range of Stripe's whole seconds that leaves out nothing of this one."""
    begin = {"gte": int(since.timestamp())}
    return begin if until is None else {**begin, "lt": math.ceil(until.timestamp())}
