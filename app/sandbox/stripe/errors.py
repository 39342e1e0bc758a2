"""Refusals, with the bodies, codes and statuses that Stripe gives."""

from __future__ import annotations

from enum import Enum
from typing import Any

Json = dict[str, Any]


class Stage(Enum):
    """How far a request came. An answer is kept under its idempotency key once the endpoint has begun."""

    REQUEST = "request"
    """Nothing was done: another request with the same key starts afresh."""
    STATE = "state"
    """The endpoint refused: nothing is changed, and the key keeps the refusal."""
    DONE = "done"
    """The refusal is itself a result (a declined card): changes are kept, and so is the answer."""


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stage: Stage = Stage.STATE,
        details: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stage = stage
        self.body: Json = {"message": message, "type": kind}
        if code is not None:
            self.body["code"] = code
            self.body["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self.body["param"] = param
        self.body.update(details or {})


def wrong_param(message: str, param: str | None, code: str | None = None) -> Refusal:
    """A parameter that is missing, unknown or not of its kind."""
    return Refusal(message, code=code, param=param, stage=Stage.REQUEST)


def missing(kind: str, object_id: str, param: str = "id", status: int = 404) -> Refusal:
    """No such object; 404 when the address names it, 400 when a parameter does."""
    return Refusal(
        f"No such {kind}: '{object_id}'", status=status, code="resource_missing", param=param, stage=Stage.REQUEST
    )


def unauthorized(message: str) -> Refusal:
    return Refusal(message, status=401, stage=Stage.REQUEST)


def unexpected_state(message: str, name: str, intent: Json, code: str | None = None) -> Refusal:
    """An intent that is in no state for this. `name`: payment_intent or setup_intent; the body holds it."""
    return Refusal(message, code=code or f"{name}_unexpected_state", details={name: intent})


def insufficient_balance(message: str) -> Refusal:
    return Refusal(message, code="balance_insufficient")
