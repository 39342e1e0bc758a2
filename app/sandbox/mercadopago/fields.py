"""Reads the JSON of requests, and shows stored objects as MercadoPago's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from app.sandbox.stripe.errors import Json

CURRENCIES = {"ARS": 2, "BRL": 2, "CLP": 0, "COP": 0, "MXN": 2, "PEN": 2, "UYU": 2}
"""Of its countries, with the decimals that it takes."""
_MONEY = frozenset(
    {
        "amount",
        "application_fee",
        "installment_amount",
        "marketplace_fee",
        "net_received_amount",
        "total_paid_amount",
        "transaction_amount",
        "transaction_amount_refunded",
        "unit_price",
    }
)
"""Kept in hundredths, shown with decimals."""
_ZONE = timezone(timedelta(hours=-4))
_LONGEST = 600


class BadRequest(Exception):
    """An answer that is an error. `code`: of its `cause`."""

    def __init__(self, message: str, code: int | str = 1, *, status: int = 400, error: str = "bad_request") -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "message": message,
            "error": error,
            "status": status,
            "cause": [{"code": code, "description": message, "data": None}] if status == 400 else [],
        }


class Fields:
    """A JSON object of a request; names lead into it."""

    def __init__(self, values: Mapping[str, Any], name: str = "") -> None:
        self._values = values
        self._name = name

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def text(self, key: str, longest: int = _LONGEST) -> str | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > longest:
            raise BadRequest(f"{self._name}{key} must be a text of at most {longest} characters", "invalid_parameter")
        return value

    def need_text(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise BadRequest(f"{self._name}{key} can't be null", "required_parameter")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise BadRequest(f"{self._name}{key} must be boolean", "invalid_parameter")
        return value

    def whole(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**12:
            raise BadRequest(f"{self._name}{key} must be a positive number", "invalid_parameter")
        return value

    def amount(self, key: str, code: int, decimals: int = 2) -> int | None:
        """In hundredths. `code`: of the refusal of what is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**12:
            raise BadRequest(f"Invalid {key}", code)
        hundredths = round(value * 100)
        step = 10 ** (2 - decimals)
        if abs(value * 100 - hundredths) > 1e-4 or hundredths < 1 or hundredths % step:
            raise BadRequest(f"Invalid {key}", code)
        return hundredths

    def section(self, key: str) -> Fields:
        """Empty if it was not sent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, dict):
            raise BadRequest(f"{self._name}{key} must be an object", "invalid_parameter")
        return Fields(value or {}, f"{self._name}{key}.")

    def sections(self, key: str) -> list[Fields]:
        value = self._values.get(key)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BadRequest(f"{self._name}{key} must be a list of objects", "invalid_parameter")
        return [Fields(one, f"{self._name}{key}.") for one in value]

    def metadata(self) -> dict[str, str]:
        """Names come back in snake case."""
        value = self._values.get("metadata") or {}
        if not isinstance(value, dict) or len(value) > 50:
            raise BadRequest("metadata must be an object", "invalid_parameter")
        return {str(name).lower().replace("-", "_"): str(text) for name, text in value.items()}


def shown(body: Any) -> Any:
    """As clients see it: without what the sandbox notes for itself, and amounts with decimals."""
    if isinstance(body, list):
        return [shown(one) for one in body]
    if not isinstance(body, dict):
        return body
    seen: Json = {}
    for name, value in body.items():
        if name.startswith("_") or name in {"object", "created"}:
            continue
        if name in _MONEY and isinstance(value, int):
            seen[name] = value / 100
        elif name == "id" and isinstance(value, str) and value.isdigit() and body.get("object") != "mp_chargeback":
            seen[name] = int(value)
        else:
            seen[name] = value if name == "metadata" else shown(value)
    return seen


def fresh_number() -> str:
    """An id such as payments have."""
    return str(10**10 + secrets.randbelow(9 * 10**10))


def moment(seconds: float) -> str:
    """`2026-11-21T13:24:40.123-04:00`."""
    return datetime.fromtimestamp(seconds, _ZONE).isoformat(timespec="milliseconds")


def read_moment(text: str, key: str) -> float:
    """Seconds. Raises BadRequest."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{key} invalid.", f"invalid_{key}") from None
    if found.tzinfo is None:
        raise BadRequest(f"{key} invalid.", f"invalid_{key}")
    return found.timestamp()
