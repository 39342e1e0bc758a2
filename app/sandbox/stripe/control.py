"""`/_sandbox`: pages for people, and the same actions, faults and deliveries as JSON for tests."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec

from app.sandbox.mercadopago.actions import ACTIONS as MERCADOPAGO_ACTIONS
from app.sandbox.mercadopago.pages import checkout_page
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe import deliveries, pages
from app.sandbox.stripe.actions import ACTIONS
from app.sandbox.stripe.api import Answer, ApiRequest
from app.sandbox.stripe.errors import Json, Refusal, Stage
from app.sandbox.stripe.expand import render
from app.sandbox.stripe.faults import Faults
from app.sandbox.stripe.html import HEADERS, page
from app.sandbox.stripe.store import Store
from app.sandbox.stripe.work import Work

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_MOST_DELIVERIES = 1_000
_ACTIONS = {**ACTIONS, **MERCADOPAGO_ACTIONS}
_PAGES = {**pages.PAGES, "checkout": checkout_page}


@dataclass(frozen=True, slots=True)
class Control:
    """What developers and tests ask of the sandbox itself."""

    store: Store
    settings: SandboxSettings
    faults: Faults

    def answer(self, request: ApiRequest) -> Answer:
        """`path` begins with `/_sandbox`."""
        path = request.path.removeprefix("/_sandbox").strip("/")
        try:
            if request.method in {"POST", "DELETE"}:
                _refuse_other_origins(request)
                return self._change(request, path)
            if request.method in {"GET", "HEAD"}:
                return self._show(request, path)
            raise _not_found()
        except Refusal as refusal:
            return _refused(request, refusal)

    def _show(self, request: ApiRequest, path: str) -> Answer:
        name, _, object_id = path.partition("/")
        if name == "health" and not object_id:
            return _json({"status": "ok"})
        if name == "faults" and not object_id:
            return _json({"data": self.faults.listed()})
        query = dict(parse_qsl(request.query.decode("latin-1")))
        with self.store.transaction():
            if name == "deliveries" and not object_id:
                listed = deliveries.latest(self.store, _MOST_DELIVERIES, query.get("event"))
                return _json({"counts": deliveries.counts(self.store), "data": [one.to_json() for one in listed]})
            notice = query.get("notice", "")[:500]
            if not path:
                return Answer(200, pages.overview(self._work(), notice), HEADERS)
            if name in _PAGES and object_id:
                return Answer(200, _PAGES[name](self._work(), object_id, notice), HEADERS)
        raise _not_found()

    def _change(self, request: ApiRequest, path: str) -> Answer:
        name, _, rest = path.partition("/")
        if name == "faults":
            return self._change_faults(request, rest)
        object_id, _, verb = rest.rpartition("/")
        action = _ACTIONS.get(f"{name}/*/{verb}")
        if action is None or request.method != "POST" or "/" in object_id:
            raise _not_found()
        fields = _fields(request)
        notice = "Done."
        result: Json = {}
        try:
            with self.store.transaction():
                try:
                    result = action(self._work(), object_id, fields)
                except Refusal as refusal:
                    # A declined card is an outcome like another: it is written down, and shown.
                    if refusal.stage is not Stage.DONE:
                        raise
                    result, notice = {"error": refusal.body}, str(refusal)
        except Refusal as refusal:
            if not _is_form(request):
                raise
            result, notice = {}, str(refusal)
        if not _is_form(request):
            return _json(render(result))
        return _see_other(self._next_page(name, object_id, result, notice))

    def _change_faults(self, request: ApiRequest, rest: str) -> Answer:
        if request.method == "DELETE":
            if rest and not (rest.isascii() and rest.isdigit()):
                raise _not_found()
            removed = self.faults.remove(int(rest[:18]) if rest else None)
            if rest and not removed:
                raise _not_found()
            return _json({"removed": removed})
        if rest:
            raise _not_found()
        try:
            rule = self.faults.add(_fields(request))
        except ValueError as error:
            raise Refusal(str(error)) from None
        return _json(next(one for one in self.faults.listed() if one["id"] == rule.id), 201)

    def _next_page(self, name: str, object_id: str, result: Json, notice: str) -> str:
        """Where a form leads: back to the shop when a payment is through, else to what was acted on."""
        if result.get("object") == "redirect":
            return str(result["url"])
        shown = f"?notice={quote(notice)}"
        if name == "intents":
            found = self.store.find(object_id)
            intent = found[1] if found else {}
            if intent.get("status") == "requires_action":
                return f"/_sandbox/authenticate/{quote(object_id)}{shown}"
            back = intent.get("_return_url") or ""
            if result.get("status") in {"succeeded", "requires_capture"} and back and not self._is_ours(back):
                return pages.return_address(intent)
            return f"/_sandbox/intents/{quote(object_id)}{shown}"
        if name == "accounts":
            return f"/_sandbox/accounts/{quote(object_id)}{shown}"
        return f"/_sandbox/{shown}"

    def _is_ours(self, url: str) -> bool:
        return url.startswith(f"{self.settings.public_url}/_sandbox/")

    def _work(self) -> Work:
        return Work(self.store, self.settings, self.faults)


def _fields(request: ApiRequest) -> dict[str, Any]:
    """The form's fields, or the JSON object."""
    try:
        if _is_form(request):
            return dict(parse_qsl(request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=50))
        fields = msgspec.json.decode(request.body) if request.body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        raise Refusal("The body is neither a form nor JSON.") from None
    if not isinstance(fields, dict):
        raise Refusal("The body must be a JSON object.")
    return fields


def _is_form(request: ApiRequest) -> bool:
    # curl calls everything a form unless it is told otherwise.
    is_json = request.body.lstrip()[:1] in {b"{", b"["}
    return not is_json and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _refuse_other_origins(request: ApiRequest) -> None:
    """A page elsewhere must not pay, or make webhooks, through a developer's browser."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Refusal("This is for pages of the sandbox alone.", status=403)


def _not_found() -> Refusal:
    return Refusal("There is nothing here.", status=404)


def _json(body: Json, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(body), _JSON)


def _see_other(address: str) -> Answer:
    return Answer(303, b"", {"Location": address, "Cache-Control": "no-store"})


def _refused(request: ApiRequest, refusal: Refusal) -> Answer:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return Answer(refusal.status, page("Not found", f"<p>{escape(str(refusal))}</p>"), HEADERS)
    return _json({"error": refusal.body}, refusal.status)
