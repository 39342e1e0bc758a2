"""One API request, from headers to the bytes of the answer: keys, versions, idempotency, faults around the work."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import structlog

from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe import API_VERSION, forms
from app.sandbox.stripe.errors import Json, Refusal, Stage, unauthorized, wrong_param
from app.sandbox.stripe.expand import expand, render
from app.sandbox.stripe.faults import AFTER, BEFORE, Fault, FaultKind, Faults
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.routes import find_handler
from app.sandbox.stripe.store import PLATFORM, KeptAnswer, Store
from app.sandbox.stripe.work import Handler, Request, Work

log = structlog.get_logger(__name__)
KEY_LIFE_S = 86_400
LONGEST_KEY = 255


class Dropped(Exception):
    """There is no answer: the connection is to be reset."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`path` begins with `/v1/`; header names are in lower case."""

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that passed the gate."""

    handler: Handler
    ids: list[str]
    tree: forms.Tree
    expansions: list[str]
    work: Work
    key: str | None
    fingerprint: str


class Api:
    """Answers requests, one at a time between awaits."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults, on_change: Callable[[], None]) -> None:
        self._store = store
        self._settings = settings
        self._faults = faults
        self._on_change = on_change
        self._in_use: set[tuple[str, str]] = set()

    async def answer(self, request: ApiRequest) -> Answer:
        """Dropped if a fault wants no answer."""
        request_id = f"req_{secrets.token_hex(7)}"
        try:
            call = self._admit(request, request_id)
            return await self._answer(request, call)
        except Refusal as refusal:
            return _refused(refusal, request_id)
        except Dropped:
            raise
        except Exception as error:
            log.error("sandbox.failed", path=request.path, request_id=request_id, exc_info=error)
            return _failed(500, request_id)

    def _admit(self, request: ApiRequest, request_id: str) -> _Call:
        is_publishable = self._check_key(request.headers)
        version = request.headers.get("stripe-version", API_VERSION)
        if version != API_VERSION:
            raise Refusal(
                f"Invalid Stripe API version: {version[:40]}. This sandbox speaks {API_VERSION} alone.",
                stage=Stage.REQUEST,
            )
        handler, ids = find_handler(request.method, request.path.removeprefix("/v1/"), is_publishable=is_publishable)
        account = self._account(request.headers.get("stripe-account"))
        if request.method == "POST" and request.body.lstrip()[:1] in {b"{", b"["}:
            raise wrong_param("Invalid request: parameters are sent as a form, not as JSON.", None)
        tree = forms.decode(request.query) | (forms.decode(request.body) if request.method == "POST" else {})
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is not None and not 1 <= len(key) <= LONGEST_KEY:
            raise wrong_param(f"Idempotency keys must have from 1 to {LONGEST_KEY} characters.", None)
        text = "\n".join([request.method, request.path, *(f"{n}={v}" for n, v in forms.encode(tree))])
        fingerprint = sha256(text.encode()).hexdigest()
        expansions = Params({"expand": tree.pop("expand")}).strings("expand") if "expand" in tree else []
        work = Work(self._store, self._settings, self._faults, account, Request(request_id, key), is_publishable)
        return _Call(handler, ids, tree, expansions or [], work, key, fingerprint)

    async def _answer(self, request: ApiRequest, call: _Call) -> Answer:
        subject = f"{request.method} {request.path}"
        with self._reserved(call):
            for fault in self._faults.striking(BEFORE, subject):
                await self._strike_before(fault)
            answer = self._kept(call) or self._run(call)
        for fault in self._faults.striking(AFTER, subject):
            await asyncio.sleep(fault.seconds)
            if fault.kind is FaultKind.LOST_ANSWER:
                raise Dropped
            if fault.kind is FaultKind.LOST_TO_ERROR:
                return _failed(fault.status, call.work.request.id or "")
        return answer

    async def _strike_before(self, fault: Fault) -> None:
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault.kind is FaultKind.RESET:
            raise Dropped
        if fault.kind is FaultKind.ERROR:
            raise Refusal(_MESSAGES.get(fault.status, _BROKEN), status=fault.status, kind="api_error", stage=_REQUEST)

    def _reserved(self, call: _Call) -> _InUse | nullcontext[None]:
        """The request's key is in use until its answer is kept; a second request with it is refused."""
        if call.key is None:
            return nullcontext()
        name = (call.work.account, call.key)
        if name in self._in_use:
            raise Refusal(
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {call.key}. Please try again later.",
                status=409,
                code="idempotency_key_in_use",
                stage=Stage.REQUEST,
            )
        return _InUse(self._in_use, name)

    def _kept(self, call: _Call) -> Answer | None:
        """The answer under the key, or None: it is new, or old enough to be forgotten."""
        if call.key is None:
            return None
        self._store.forget_answers(call.work.now - KEY_LIFE_S)
        kept = self._store.kept_answer(call.work.account, call.key)
        if kept is None:
            return None
        if kept.fingerprint != call.fingerprint:
            raise Refusal(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
                f"using a key other than '{call.key}' if you meant to execute a different request.",
                kind="idempotency_error",
                stage=Stage.REQUEST,
            )
        headers = {"Idempotent-Replayed": "true", "Original-Request": kept.request_id}
        return _answer(kept.status, kept.body, call.work.request.id or "", {**headers, **_key_header(call.key)})

    def _run(self, call: _Call) -> Answer:
        """The work and the kept answer in one transaction; a refusal of the state changes nothing but the latter."""
        try:
            with self._store.transaction():
                try:
                    body = call.handler(call.work, Params(call.tree), *call.ids)
                    answer = _packed(200, render(expand(call.work, body, call.expansions)), call)
                except Refusal as refusal:
                    if refusal.stage is not Stage.DONE:
                        raise
                    answer = _packed(refusal.status, {"error": render(refusal.body)}, call)
                self._keep(call, answer)
        except Refusal as refusal:
            answer = _packed(refusal.status, {"error": render(refusal.body)}, call)
            if refusal.stage is Stage.STATE:
                with self._store.transaction():
                    self._keep(call, answer)
        self._on_change()
        return answer

    def _keep(self, call: _Call, answer: Answer) -> None:
        if call.key is not None:
            kept = KeptAnswer(call.fingerprint, answer.status, answer.body, call.work.request.id or "")
            self._store.keep_answer(call.work.account, call.key, kept, call.work.now)

    def _check_key(self, headers: Mapping[str, str]) -> bool:
        """Whether the key is a publishable one; a Refusal if it is none of ours."""
        key = _api_key(headers.get("authorization", ""))
        if not key:
            raise unauthorized(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
        if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
            raise unauthorized("A live key was sent to a sandbox. Take it out of your settings, and roll it.")
        if key.startswith("pk_test_"):
            return True
        wanted = self._settings.api_key
        accepted = secrets.compare_digest(key.encode(), wanted.encode()) if wanted else key.startswith(_SECRET_KEYS)
        if not accepted:
            raise unauthorized(f"Invalid API Key provided: {_masked(key)}")
        return False

    def _account(self, account_id: str | None) -> str:
        """Whom the request acts for."""
        if account_id is None:
            return PLATFORM
        if self._store.get(PLATFORM, "account", account_id) is None:
            raise Refusal(
                f"The provided key does not have access to account '{account_id[:80]}' (or that account does not "
                "exist). Application access may have been revoked.",
                status=403,
                code="account_invalid",
                stage=Stage.REQUEST,
            )
        return account_id


class _InUse:
    """Holds a key while it lives."""

    def __init__(self, held: set[tuple[str, str]], name: tuple[str, str]) -> None:
        self._held, self._name = held, name

    def __enter__(self) -> None:
        self._held.add(self._name)

    def __exit__(self, *_: object) -> None:
        self._held.discard(self._name)


_SECRET_KEYS = ("sk_test_", "rk_test_")
_REQUEST = Stage.REQUEST
_BROKEN = "An unknown error occurred"
_MESSAGES = {429: "Request rate limit exceeded.", 503: "Stripe is temporarily unavailable."}


def _answer(status: int, body: bytes, request_id: str, more: Mapping[str, str]) -> Answer:
    return Answer(
        status,
        body,
        {
            "Content-Type": "application/json",
            "Cache-Control": "no-cache, no-store",
            "Request-Id": request_id,
            "Stripe-Version": API_VERSION,
            **more,
        },
    )


def _packed(status: int, body: Json, call: _Call) -> Answer:
    return _answer(status, msgspec.json.encode(body), call.work.request.id or "", _key_header(call.key))


def _key_header(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _refused(refusal: Refusal, request_id: str) -> Answer:
    return _answer(refusal.status, msgspec.json.encode({"error": render(refusal.body)}), request_id, {})


def _failed(status: int, request_id: str) -> Answer:
    body = {"error": {"message": _MESSAGES.get(status, _BROKEN), "type": "api_error"}}
    return _answer(status, msgspec.json.encode(body), request_id, {})


def _api_key(header: str) -> str:
    """From `Bearer KEY`, or `Basic` with the key as the user's name."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)
