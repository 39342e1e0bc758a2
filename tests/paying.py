"""The API with a local Stripe beside it, and no worker: a test says when a job runs and when a webhook arrives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import stripe
from sqlalchemy import text

from app.checkout.scope import Checkout
from app.commands.expiry import expire_unpaid_bookings
from app.commands.job import claim_job, finish_job
from app.core.database import SYSTEM_ROLE, Database
from app.core.ids import IdKind, decode_id
from app.jobs.payments import PaymentJobs
from app.jobs.registry import JobRun, JobServices
from app.queries.tenancy import bind
from app.sandbox.settings import ConfiguredEndpoint
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve
from tests.journey import Answer, Made, Visitor, booking_input
from tests.sandbox.running import KEY, Delivery, Hooks, Sandbox, receiving, running
from tests.shop import Shop
from tests.sweeps import sweep

SECRET = "whsec_of_the_tests"
GOOD = "pm_card_visa"
NO_FUNDS = "pm_card_visa_chargeDeclinedInsufficientFunds"

SESSION = (
    "id status processor amount { amountMinor currency } clientSecret redirectUrl publishableKey expiresAt declineCode"
)
BOOKING = f"""
  id status version paymentStatus paymentMethod expiresAt
  payment {{ {SESSION} }} refunds {{ amount {{ amountMinor }} status cause }}
  transitions {{ from to }} cancellationTerms {{ refund {{ amountMinor }} fee {{ amountMinor }} }}
"""
ERRORS = "... on Error { code message } ... on NotAllowed { rule } ... on InvalidInput { violations { path message } }"
BOOK = f"""
mutation ($input: CreateBookingInput!) {{ createBooking(input: $input) {{ __typename
  ... on CreateBookingPayload {{ accessToken payment {{ {SESSION} }} booking {{ {BOOKING} }} }} {ERRORS} }} }}
"""
REFRESH = f"""
mutation ($id: ID!, $token: String) {{ refreshPayment(bookingId: $id, accessToken: $token) {{ __typename
  ... on PaymentPayload {{ payment {{ {SESSION} }} booking {{ {BOOKING} }} }}
  ... on Error {{ code message }} ... on NotAllowed {{ rule }} }} }}
"""
RETRY = f"""
mutation ($input: RetryPaymentInput!) {{ retryPayment(input: $input) {{ __typename
  ... on PaymentPayload {{ payment {{ {SESSION} }} booking {{ {BOOKING} }} }}
  ... on PaymentDeclined {{ declineCode retryable }} ... on IllegalTransition {{ from to }} {ERRORS} }} }}
"""
REFUND = f"""
mutation ($input: RefundBookingInput!) {{ refundBooking(input: $input) {{ __typename
  ... on Booking {{ {BOOKING} }} ... on StaleVersion {{ currentVersion }} {ERRORS} }} }}
"""
READ = f"query ($id: ID!, $token: String) {{ booking(id: $id, accessToken: $token) {{ {BOOKING} }} }}"
LEDGER = "query ($id: ID!) { booking(id: $id) { ledger { kind entries { account amount { amountMinor } } } } }"


@dataclass(slots=True)
class Paying:
    """What a test has in hand."""

    api: RunningApi
    sandbox: Sandbox
    hooks: Hooks
    worker: Database
    jobs: PaymentJobs
    http: httpx.AsyncClient
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def client(self) -> GraphQLClient:
        return GraphQLClient(self.http, self.api.graphql_url)

    # ── jobs ──

    async def work(self, *kinds: str, later: timedelta = timedelta(0), at_most: int = 1_000) -> int:
        """Do every job that is due `later`, of these kinds (none named: all of payments); how many it were.

        Fails with what a job fails with, and leaves it to be done again.
        """
        handlers = self.jobs.handlers()
        wanted = list(kinds) or list(handlers)
        services = JobServices(self.worker, timedelta(1), timedelta(1))
        offset = self.api.clock.offset + later
        count = 0
        while count < at_most:
            async with self.worker.transaction() as tx:
                await bind(tx, clock_offset=offset)
                job_id = (await tx.execute(_DUE, {"kinds": wanted})).scalar()
                if job_id is None:
                    return count
                claim = await claim_job(tx, job_id, LEASE, wanted)
            assert claim is not None
            run = JobRun(claim, services)
            try:
                await handlers[claim.kind](run)
                if not run.is_finished:
                    async with self.worker.transaction() as tx:
                        await finish_job(tx, claim)
            except BaseException:
                # As if its lease had lapsed and its pause were over.
                again = "UPDATE job SET lease_until = NULL, attempts = 0 WHERE id = :id RETURNING 1"
                await asyncio.shield(self.rows(again, id=claim.job_id))
                raise
            count += 1
        return count

    async def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        async with self.worker.transaction() as tx:
            found = [dict(row._mapping) for row in await tx.execute(text(query), values)]
            await let_pass(tx)
            return found

    # ── webhooks ──

    async def deliver(self, delivery: Delivery, **changes: Any) -> httpx.Response:
        """To the API, as it came or changed."""
        if "x-signature" in delivery.headers:
            return await self._deliver_mercadopago(delivery, **changes)
        facts: dict[str, Any] = {"body": delivery.body, "signature": delivery.signature, **changes}
        return await self.http.post(
            f"{self.api.url}/webhooks/stripe",
            content=facts["body"],
            headers={"stripe-signature": facts["signature"], "content-type": "application/json"},
        )

    async def _deliver_mercadopago(self, delivery: Delivery, **changes: Any) -> httpx.Response:
        passed_on = ("content-type", "x-signature", "x-request-id")
        headers = {name: delivery.headers[name] for name in passed_on} | changes.get("headers", {})
        query = changes.get("query", delivery.target.partition("?")[2])
        return await self.http.post(
            f"{self.api.url}/webhooks/mercadopago?{query}", content=changes.get("body", delivery.body), headers=headers
        )

    async def collected(self) -> list[Delivery]:
        """Every webhook so far, once none is on its way."""
        await self.sandbox.settled()
        return self.arrived()

    def arrived(self) -> list[Delivery]:
        """Those that came so far."""
        found = []
        while not self.hooks.arrived.empty():
            found.append(self.hooks.arrived.get_nowait())
        return found

    async def pass_on(self) -> int:
        """All webhooks to the API, in their order, and the work they mean."""
        found = await self.collected()
        for one in found:
            assert (await self.deliver(one)).status_code == 200
        await self.work("process_payment_event")
        return len(found)

    # ── at the processor ──

    async def pay(self, made: Made, card: str = GOOD) -> None:
        """In the guest's browser."""
        intent = made.answer["payment"]["clientSecret"].partition("_secret")[0]
        await self.sandbox.control(f"intents/{intent}/pay", card=card)

    async def pay_on_page(self, made: Made, holder: str = "APRO") -> str:
        """On MercadoPago's page; where it leads."""
        page = made.answer["payment"]["redirectUrl"].rpartition("/")[2]
        return str((await self.sandbox.control(f"checkout/{page}/pay", holder=holder))["url"])

    async def intents(self, made: Made) -> list[Any]:
        """All that the processor has for a booking."""
        listed = await self.sandbox.v1.payment_intents.list_async({"limit": 100})
        [row] = await self.rows("SELECT id FROM booking WHERE id = :id", id=decode_id(IdKind.BOOKING, made.id))
        return [one for one in listed.data if one.metadata.to_dict().get("turnero_booking") == str(row["id"])]


LEASE = timedelta(days=30)
_DUE = text(
    "SELECT id FROM job WHERE done_at IS NULL AND failed_at IS NULL AND kind = ANY (:kinds)"
    " AND run_after <= turnero_now() AND lease_until IS NULL ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)


@asynccontextmanager
async def paying_api(
    database_url: str,
    redis_url: str,
    http: httpx.AsyncClient,
    package_http: stripe.HTTPXClient,
    *,
    mercadopago: bool = False,
    **settings: Any,
) -> AsyncIterator[Paying]:
    """`mercadopago`: has a key, too."""
    async with (
        receiving() as hooks,
        running(
            package_http,
            endpoints=(ConfiguredEndpoint(hooks.url, SECRET),),
            mercadopago_endpoint=ConfiguredEndpoint(hooks.url, SECRET),
            enforce_onboarding=True,
        ) as sandbox,
        serve(
            make_settings(
                database_url,
                redis_url,
                stripe_secret_key=KEY,
                stripe_publishable_key="pk_test_1",
                stripe_webhook_secrets=[SECRET],
                stripe_api_base=sandbox.url,
                **(_mercadopago(sandbox) if mercadopago else {}),
                **settings,
            )
        ) as api,
    ):
        worker = Database(database_url, role=SYSTEM_ROLE, pool_size=4)
        known = api.api.services.checkout
        checkout = Checkout(worker, known.clock, known.gateways, {}, known.return_url)
        try:
            yield Paying(api, sandbox, hooks, worker, PaymentJobs(checkout), http)
        finally:
            await worker.dispose()


def _mercadopago(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "mercadopago_access_token": "TEST-1",
        "mercadopago_public_key": "TEST-public",
        "mercadopago_webhook_secrets": [SECRET],
        "mercadopago_api_base": f"{sandbox.url}/mercadopago",
    }


@dataclass(frozen=True, slots=True)
class Payer(Visitor):
    """A guest who pays online."""

    async def pay_now(self, start: Any, **extra: Any) -> Made:
        held = await self.held(start)
        answer = await self.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW", **extra)})
        assert answer["__typename"] == "CreateBookingPayload", answer
        return Made(answer["booking"]["id"], answer["accessToken"], answer)

    async def refresh(self, made: Made) -> Answer:
        answer: Answer = await self.client(REFRESH, {"id": made.id, "token": made.token})
        return answer

    async def retry(self, made: Made, **extra: Any) -> Answer:
        wanted = {"bookingId": made.id, "accessToken": made.token, **extra}
        answer: Answer = await self.client(RETRY, {"input": wanted})
        return answer

    async def seen(self, made: Made) -> Answer:
        answer: Answer = await self.client(READ, {"id": made.id, "token": made.token})
        return answer

    async def paid(self, paying: Paying, start: Any) -> Made:
        """A confirmed booking."""
        made = await self.pay_now(start)
        await paying.pay(made)
        answer = await self.refresh(made)
        assert answer["booking"]["status"] == "CONFIRMED", answer
        return made


async def sweep_unpaid(paying: Paying) -> None:
    """End bookings whose time to pay is over: other tests' too, so that nothing hangs on how many it are."""
    await sweep(paying.worker, paying.api.clock, expire_unpaid_bookings)


async def pay_whatever(paying: Paying, made: Made) -> None:
    """In a form that was opened in time, though our side may have given the payment up in the meantime."""
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"intents/{intent.id}/pay", card=GOOD)


async def ledger_of(client: GraphQLClient, made: Made) -> dict[str, int]:
    """Balances by account, as the staff see them."""
    found: dict[str, int] = {}
    for journal in (await client(LEDGER, {"id": made.id}))["ledger"]:
        assert sum(one["amount"]["amountMinor"] for one in journal["entries"]) == 0
        for one in journal["entries"]:
            found[one["account"]] = found.get(one["account"], 0) + one["amount"]["amountMinor"]
    return {account: amount for account, amount in found.items() if amount}


def owner_of(paying: Paying, shop: Shop) -> Visitor:
    return Visitor(paying.client.signed_in(shop.owner.token), shop)
