"""One pool of connections to Stripe, and each call on it: bounded in time, its errors those of the port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import httpx
import stripe

from app.adapters.stripe_errors import translated
from app.gateway import GatewayRefused, GatewayUnknown, RefusalKind

API_VERSION = "2026-10-28.endive"
"""What answers and webhooks look like; the webhook endpoint has to be of it too. The package's own: see its test."""
DEADLINE_S = 30.0
"""For a whole call. Card payments take seconds; Stripe's own clients wait up to 80."""
_TIMEOUT = httpx.Timeout(25.0, connect=5.0, pool=5.0)
_PAGE = 100
_T = TypeVar("_T")


class StripeConnection:
    """`base_url`: of a local Stripe; None: the real one. `http`: a pool that somebody else closes."""

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        http: stripe.HTTPXClient | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.is_live = api_key.startswith(("sk_live_", "rk_live_"))
        self._own_http = None if http else stripe.HTTPXClient(timeout=_TIMEOUT)
        self._deadline_s = deadline_s
        self.client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": base_url.rstrip("/")} if base_url else {},
            # Who asks again is decided by those who know what the answer means.
            max_network_retries=0,
            http_client=http or self._own_http,
        )

    async def close(self) -> None:
        if self._own_http is not None:
            # Any: the package does not type it.
            closing: Any = self._own_http
            await closing.close_async()

    async def ask(self, call: Awaitable[_T]) -> _T:
        """The answer. Raises GatewayError."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await call
        except TimeoutError as error:
            raise GatewayUnknown(f"Stripe did not answer within {self._deadline_s:g} seconds.", "no_answer") from error
        except stripe.StripeError as error:
            raise translated(error) from error

    async def found(self, call: Awaitable[_T]) -> _T | None:
        """The object, or None if there is no such. Raises GatewayError."""
        try:
            return await self.ask(call)
        except GatewayRefused as refused:
            if refused.kind is RefusalKind.MISSING:
                return None
            raise

    async def pages(self, listing: Callable[[Any], Awaitable[Any]], **filters: Any) -> AsyncIterator[Any]:
        """All objects of a list, newest first. Raises GatewayError."""
        filters["limit"] = _PAGE
        while True:
            page = await self.ask(listing(filters))
            for one in page.data:
                yield one
            if not page.has_more:
                return
            filters["starting_after"] = page.data[-1].id
