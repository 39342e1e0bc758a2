"""One pool of connections to MercadoPago, and each call on it: bounded in time, its errors those of the port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import msgspec

from app.domain.money import EXPONENTS
from app.gateway import GatewayError, GatewayRefused, GatewayUnavailable, GatewayUnknown, RefusalKind

BASE_URL = "https://api.mercadopago.com"
DEADLINE_S = 30.0
"""For a whole call."""
_TIMEOUT = httpx.Timeout(25.0, connect=5.0, pool=5.0)
_T = TypeVar("_T")
# Numbers, as MercadoPago wants its amounts; never by way of a binary fraction.
_ENCODER = msgspec.json.Encoder(decimal_format="number")

_DECIMALS: Mapping[str, int] = MappingProxyType({"ARS": 2, "BRL": 2, "CLP": 0, "COP": 0, "MXN": 2, "PEN": 2, "UYU": 2})
"""The currencies of its countries. Colombia's has two decimals by ISO 4217, of which MercadoPago takes none."""

_KINDS: Mapping[str, RefusalKind] = MappingProxyType(
    {
        "2000": RefusalKind.MISSING,
        "invalid_id": RefusalKind.MISSING,
        "2018": RefusalKind.STATE,
        "2024": RefusalKind.STATE,
        "2063": RefusalKind.STATE,
        "3024": RefusalKind.STATE,
        "2085": RefusalKind.AMOUNT,
        "4020": RefusalKind.AMOUNT,
        "4037": RefusalKind.AMOUNT,
        "4040": RefusalKind.AMOUNT,
        "4041": RefusalKind.AMOUNT,
    }
)
"""By the code of the answer's cause."""
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NEVER_SENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


class _Cause(msgspec.Struct):
    code: int | str | None = None
    description: str | None = None


class _Problem(msgspec.Struct):
    message: str | None = None
    error: str | None = None
    cause: list[_Cause] | _Cause | None = None


class MercadoPagoConnection:
    """`access_token`: the platform's own, or of an organization that let the platform act for it (OAuth).

    `base_url`: of a local MercadoPago. `transport`: a pool that somebody else closes.
    """

    def __init__(
        self,
        access_token: str,
        *,
        base_url: str = BASE_URL,
        is_live: bool | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        # Tokens of test users look like real ones: then it has to be said.
        self.is_live = not access_token.startswith("TEST-") if is_live is None else is_live
        self._deadline_s = deadline_s
        self._is_own = transport is None
        self._http = httpx.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/",
            headers={"Authorization": f"Bearer {access_token}", "X-Render-In-Process-Refunds": "true"},
            timeout=_TIMEOUT,
            transport=transport,
        )

    async def close(self) -> None:
        if self._is_own:
            await self._http.aclose()

    async def get(self, kind: type[_T], path: str, **query: Any) -> _T:
        """Raises GatewayError."""
        return await self._ask(kind, self._http.build_request("GET", path, params=query))

    async def found(self, kind: type[_T], path: str) -> _T | None:
        """None if there is no such. Raises GatewayError."""
        try:
            return await self.get(kind, path)
        except GatewayRefused as refused:
            if refused.kind is RefusalKind.MISSING:
                return None
            raise

    async def send(self, kind: type[_T], method: str, path: str, body: Mapping[str, Any], key: str) -> _T:
        """POST or PUT, with an idempotency key. Raises GatewayError."""
        headers = {"Content-Type": "application/json", "X-Idempotency-Key": key}
        return await self._ask(
            kind, self._http.build_request(method, path, content=_ENCODER.encode(body), headers=headers)
        )

    async def _ask(self, kind: type[_T], request: httpx.Request) -> _T:
        try:
            async with asyncio.timeout(self._deadline_s):
                response = await self._http.send(request)
        except TimeoutError as error:
            raise GatewayUnknown("MercadoPago did not answer in time.", "no_answer") from error
        except _NOT_SENT as error:
            name = type(error).__name__
            raise GatewayUnavailable(f"MercadoPago was not reached ({name}).", "not_reached") from error
        except _NEVER_SENT as error:
            name = type(error).__name__
            raise GatewayRefused(f"This cannot be sent to MercadoPago ({name}).", "not_sendable") from error
        except httpx.HTTPError as error:
            name = type(error).__name__
            raise GatewayUnknown(f"MercadoPago's answer did not arrive ({name}).", "no_answer") from error
        if not response.is_success:
            raise _refusal(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GatewayUnknown(f"MercadoPago's answer cannot be read: {error}", "unreadable") from error


def is_taken(currency: str) -> bool:
    """An ISO code in upper case of a country that MercadoPago is in."""
    return currency in _DECIMALS


def to_decimal(amount_minor: int, currency: str) -> Decimal:
    """`(123456, "ARS")` → 1234.56. Raises GatewayRefused (AMOUNT) for what cannot be charged."""
    if not is_taken(currency):
        raise GatewayRefused(f"MercadoPago does not take {currency}.", "currency_not_taken", RefusalKind.AMOUNT)
    step = 10 ** (EXPONENTS[currency] - _DECIMALS[currency])
    if amount_minor < 1 or amount_minor % step:
        raise GatewayRefused(
            f"{amount_minor} is no amount of {currency} that can be charged: it must be a positive multiple of {step}.",
            "amount_not_chargeable",
            RefusalKind.AMOUNT,
        )
    return Decimal(amount_minor).scaleb(-EXPONENTS[currency])


def to_minor(amount: Decimal, currency: str) -> int:
    """ISO minor units, rounded where the processor counts finer."""
    return int(amount.scaleb(EXPONENTS.get(currency, 2)).to_integral_value())


def _refusal(response: httpx.Response) -> GatewayError:
    problem = _problem(response.content)
    causes = problem.cause if isinstance(problem.cause, list) else [problem.cause or _Cause()]
    code = next((str(one.code) for one in causes if one.code is not None), problem.error or "")
    text = (problem.message or problem.error or f"HTTP {response.status_code}")[:500]
    status = response.status_code
    if status == 429:
        return GatewayUnavailable(text, code or "rate_limit")
    # 423: locked by another request for it.
    if not 400 <= status < 500 or status in {408, 409, 423}:
        return GatewayUnknown(text, code or str(status))
    if status in {401, 403}:
        kind = RefusalKind.ACCESS
    elif status == 404:
        kind = RefusalKind.MISSING
    else:
        kind = _KINDS.get(code, RefusalKind.AMOUNT if "amount" in text.lower() else RefusalKind.REQUEST)
    return GatewayRefused(text, code or str(status), kind)


def _problem(body: bytes) -> _Problem:
    try:
        return msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Problem()
