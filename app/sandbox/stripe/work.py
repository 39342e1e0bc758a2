"""What a handler works with: one transaction on behalf of one account."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe import tasks
from app.sandbox.stripe.errors import Json, missing
from app.sandbox.stripe.faults import Faults
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.store import PLATFORM, Store

FACTS: dict[str, tuple[str, ...]] = {
    "payment_intent": ("customer", "transfer_group", "status"),
    "charge": ("customer", "payment_intent", "transfer_group"),
    "refund": ("charge", "payment_intent"),
    "transfer": ("destination", "transfer_group", "source_transaction"),
    "transfer_reversal": ("transfer",),
    "customer": ("email",),
    "payment_method": ("customer", "type"),
    "setup_intent": ("customer", "payment_method"),
    "balance_transaction": ("source", "type", "currency"),
    "application_fee": ("charge",),
    "payout": ("status", "destination"),
    "dispute": ("charge", "payment_intent"),
    "event": ("type",),
    "mp_payment": ("external_reference",),
    "mp_preference": ("external_reference",),
}
"""By which fields lists are narrowed. Metadata can be searched for every kind."""

_LETTERS = string.ascii_letters + string.digits


def fresh_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(_LETTERS[byte % len(_LETTERS)] for byte in secrets.token_bytes(length))}"


def visible(body: Json) -> Json:
    """An object as clients see it: what the sandbox notes for itself begins with an underscore."""
    return {key: value for key, value in body.items() if not key.startswith("_")}


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked, as events tell it. Both None for what happens by itself."""

    id: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """One transaction. `account`: PLATFORM, or the connected account it acts for; `now`: seconds."""

    store: Store
    settings: SandboxSettings
    faults: Faults
    account: str = PLATFORM
    request: Request = field(default_factory=Request)
    is_publishable: bool = False
    """The key is one that browsers have: it opens only what its client secret names."""

    @property
    def now(self) -> int:
        return int(self.settings.clock())

    def of(self, account: str) -> Work:
        """The same for another account."""
        return replace(self, account=account)

    def find(self, kind: str, object_id: str) -> Json | None:
        return self.store.get(self.account, kind, object_id)

    def need(self, kind: str, object_id: str, param: str = "id", status: int = 404) -> Json:
        """The object, or the refusal that it does not exist."""
        found = self.find(kind, object_id)
        if found is None:
            raise missing(kind, object_id, param, status)
        return found

    def named(self, params: Params, kind: str, param: str | None = None) -> str | None:
        """The id of an object that a parameter names; it exists. None if it was not sent, or empty."""
        param = param or kind
        object_id = params.text(param)
        if not object_id:
            return None
        self.need(kind, object_id, params.name(param), 400)
        return object_id

    def save(self, body: Json) -> Json:
        facts = [(name, str(body[name])) for name in FACTS.get(body["object"], ()) if body.get(name) is not None]
        facts += [(f"metadata:{key}", value) for key, value in (body.get("metadata") or {}).items()]
        self.store.put(self.account, body, facts)
        return body

    def later(self, delay_s: float, kind: str, subject: str) -> None:
        """Have something happen to an object; `background` knows the kinds."""
        tasks.add(self.store, self.settings.clock() + delay_s, kind, f"{self.account}/{subject}")

    def page_url(self, path: str) -> str:
        return f"{self.settings.public_url}/_sandbox/{path}"


Handler = Callable[..., Json]
"""Work, Params and the ids of the address → the answer."""


def stamp(work: Work, kind: str, prefix: str, length: int = 24, **fields: Any) -> Json:
    """A new object: what all kinds have, then its own fields."""
    return {"id": fresh_id(prefix, length), "object": kind, "created": work.now, "livemode": False, **fields}
