"""One request of MercadoPago's API, from headers to the bytes of the answer: token, key, faults around the work."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from app.sandbox.mercadopago import ACCOUNT, PREFIX
from app.sandbox.mercadopago.cards import create_token
from app.sandbox.mercadopago.fields import BadRequest, Fields, shown
from app.sandbox.mercadopago.payments import create_payment, get_payment, search_payments, update_payment
from app.sandbox.mercadopago.preferences import (
    create_preference,
    get_preference,
    search_preferences,
    update_preference,
)
from app.sandbox.mercadopago.returns import create_refund, get_chargeback, list_refunds
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe.api import Answer, ApiRequest, Dropped
from app.sandbox.stripe.faults import AFTER, BEFORE, Fault, FaultKind, Faults
from app.sandbox.stripe.store import KeptAnswer, Store
from app.sandbox.stripe.work import Work

log = structlog.get_logger(__name__)
KEY_LIFE_S = 86_400
_LONGEST_KEY = 128
_KEYED = frozenset({"POST v1/payments", "POST v1/payments/*/refunds"})
"""Refused without an idempotency key."""
_ROUTES: dict[str, Callable[..., Any]] = {
    "POST v1/card_tokens": create_token,
    "POST v1/payments": create_payment,
    "GET v1/payments/*": get_payment,
    "PUT v1/payments/*": update_payment,
    "POST v1/payments/*/refunds": create_refund,
    "GET v1/payments/*/refunds": list_refunds,
    "GET v1/chargebacks/*": get_chargeback,
    "POST checkout/preferences": create_preference,
    "GET checkout/preferences/*": get_preference,
    "PUT checkout/preferences/*": update_preference,
}
_SEARCHES: dict[str, Callable[..., Any]] = {
    "GET v1/payments/search": search_payments,
    "GET checkout/preferences/search": search_preferences,
}
_MESSAGES = {429: "too many requests", 500: "internal_error"}


class MercadoPagoApi:
    """Answers requests below PREFIX, one at a time between awaits."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults, on_change: Callable[[], None]) -> None:
        self._store = store
        self._settings = settings
        self._faults = faults
        self._on_change = on_change
        self._in_use: set[str] = set()

    async def answer(self, request: ApiRequest) -> Answer:
        """Dropped if a fault wants no answer."""
        subject = f"{request.method} {request.path}"
        key = request.headers.get("x-idempotency-key") if request.method in {"POST", "PUT"} else None
        name = f"{subject} {key}"
        try:
            _check_token(request)
            if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
                raise BadRequest("Invalid header X-Idempotency-Key", 4293)
            if name in self._in_use:
                raise BadRequest("Another request with this idempotency key is under way", status=409, error="conflict")
            if key is not None:
                self._in_use.add(name)
            try:
                for fault in self._faults.striking(BEFORE, subject):
                    await _strike_before(fault)
                answer = self._work(request, key, name)
            finally:
                if key is not None:
                    self._in_use.discard(name)
        except BadRequest as refusal:
            return _packed(refusal.status, refusal.body)
        except Dropped:
            raise
        except Exception as error:
            log.error("sandbox.failed", path=request.path, exc_info=error)
            return _failed(500)
        for fault in self._faults.striking(AFTER, subject):
            await asyncio.sleep(fault.seconds)
            if fault.kind is FaultKind.LOST_ANSWER:
                raise Dropped
            if fault.kind is FaultKind.LOST_TO_ERROR:
                return _failed(fault.status)
        return answer

    def _work(self, request: ApiRequest, key: str | None, name: str) -> Answer:
        """In one transaction, with the answer that is kept under the key. A refusal changes nothing and keeps none."""
        address, handler, ids = _route(request)
        if key is None and address in _KEYED:
            raise BadRequest("Header X-Idempotency-Key can't be null", 4292)
        kept_name = sha256(name.encode()).hexdigest()
        work = Work(self._store, self._settings, self._faults, ACCOUNT)
        with self._store.transaction():
            self._store.forget_answers(work.now - KEY_LIFE_S)
            kept = self._store.kept_answer(ACCOUNT, kept_name) if key is not None else None
            if kept is not None:
                # What the first request with the key was told, whatever this one asks for.
                return _answer(kept.status, kept.body)
            if address in _SEARCHES:
                result = handler(work, dict(parse_qsl(request.query.decode("latin-1"))))
            else:
                result = handler(work, _fields(request), *ids)
            answer = _packed(201 if request.method == "POST" else 200, shown(result))
            if key is not None:
                self._store.keep_answer(ACCOUNT, kept_name, KeptAnswer("", answer.status, answer.body, ""), work.now)
        self._on_change()
        return answer


def _check_token(request: ApiRequest) -> None:
    """An access token; for card tokens, the public key of the address does."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not token and request.path == f"{PREFIX}/v1/card_tokens":
        token = dict(parse_qsl(request.query.decode("latin-1"))).get("public_key", "")
    if token.startswith("APP_USR-"):
        raise BadRequest("A productive token was sent to a sandbox: renew it", status=401, error="unauthorized")
    if not token.startswith("TEST-"):
        raise BadRequest("invalid access token", status=401, error="unauthorized")


def _route(request: ApiRequest) -> tuple[str, Callable[..., Any], list[str]]:
    """The address as it is in the table, the handler, and the ids."""
    path = request.path.removeprefix(f"{PREFIX}/")
    exact = f"{request.method} {path}"
    if exact in _SEARCHES:
        return exact, _SEARCHES[exact], []
    parts = path.split("/")
    for address, handler in _ROUTES.items():
        method, _, pattern = address.partition(" ")
        wanted = pattern.split("/")
        if method != request.method or len(wanted) != len(parts):
            continue
        if all(name in {"*", part} for name, part in zip(wanted, parts, strict=True)):
            return address, handler, [part for name, part in zip(wanted, parts, strict=True) if name == "*"]
    raise BadRequest(f"resource not found: {request.method} /{path[:200]}", status=404, error="not_found")


def _fields(request: ApiRequest) -> Fields:
    try:
        values = msgspec.json.decode(request.body) if request.body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is no JSON", "json_syntax_error") from None
    if not isinstance(values, dict):
        raise BadRequest("The body must be an object", "json_syntax_error")
    return Fields(values)


async def _strike_before(fault: Fault) -> None:
    if fault.seconds:
        await asyncio.sleep(fault.seconds)
    if fault.kind is FaultKind.RESET:
        raise Dropped
    if fault.kind is FaultKind.ERROR:
        message = _MESSAGES.get(fault.status, "internal_error")
        raise BadRequest(message, status=fault.status, error=message)


def _failed(status: int) -> Answer:
    message = _MESSAGES.get(status, "internal_error")
    return _packed(status, {"message": message, "error": message, "status": status, "cause": []})


def _packed(status: int, body: Any) -> Answer:
    return _answer(status, msgspec.json.encode(body))


def _answer(status: int, body: bytes) -> Answer:
    request_id = secrets.token_hex(16)
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "X-Request-Id": request_id,
        "Cache-Control": "no-store",
    }
    return Answer(status, body, headers)
