"""Reads the parameters of one request. What a handler does not read is refused, as Stripe refuses it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from app.sandbox.stripe.errors import Json, Refusal, wrong_param
from app.sandbox.stripe.forms import Tree

MOST_METADATA = 50
LARGEST_AMOUNT = 99_999_999
_URL_LETTERS = re.compile(r"[!-~]+")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_CURRENCIES = re.compile(
    "usd|eur|gbp|ars|aud|bhd|brl|cad|chf|clp|cop|czk|dkk|hkd|huf|inr|jod|jpy|krw|kwd|mxn|nok|nzd|omr|pen|pln|pyg|ron"
    "|sek|sgd|thb|tnd|try|uyu|vnd|zar"
)


class Params:
    """The parameters below one name. Reading takes them out; `done` refuses the rest.

    A value sent empty is "": it unsets what it names.
    """

    def __init__(self, tree: Tree, prefix: str = "") -> None:
        self._tree = dict(tree)
        self._prefix = prefix
        self._opened: list[Params] = []

    def name(self, key: str) -> str:
        """The full name, for messages: `transfer_data[amount]`."""
        return f"{self._prefix}[{key}]" if self._prefix else key

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def is_hash(self, key: str) -> bool:
        return isinstance(self._tree.get(key), dict)

    def text(self, key: str, *, choices: Sequence[str] = (), longest: int = 5_000) -> str | None:
        """A text, or None if it was not sent."""
        value = self._tree.pop(key, None)
        if value is None:
            return None
        if isinstance(value, dict):
            raise wrong_param(f"Invalid string: {self.name(key)} must be a string.", self.name(key))
        if choices and value not in choices:
            listed = ", ".join(choices)
            raise wrong_param(f"Invalid {self.name(key)}: must be one of {listed}", self.name(key))
        if len(value) > longest:
            message = f"Invalid string: {self.name(key)} must be at most {longest} characters."
            raise wrong_param(message, self.name(key), "parameter_invalid_string_too_long")
        return str(value)

    def need_text(self, key: str, *, choices: Sequence[str] = (), longest: int = 5_000) -> str:
        """A text that must be there and not be empty."""
        value = self.text(key, choices=choices, longest=longest)
        if value is None:
            raise wrong_param(f"Missing required param: {self.name(key)}.", self.name(key), "parameter_missing")
        if value == "":
            message = f"You passed an empty string for '{self.name(key)}'. We assume empty values are an attempt to "
            raise wrong_param(f"{message}unset a parameter; however it cannot be unset.", self.name(key), _EMPTY)
        return value

    def url(self, key: str) -> str | None:
        """An absolute http(s) address without letters that do not belong into one, or None if it was not sent."""
        value = self.text(key, longest=2_048)
        if not value:
            return None
        try:
            parts = urlsplit(value)
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_usable = False
        if not is_usable or not _URL_LETTERS.fullmatch(value):
            raise wrong_param("Not a valid URL", self.name(key), "url_invalid")
        return value

    def need_url(self, key: str) -> str:
        address = self.url(key)
        if address is None:
            raise wrong_param(f"Missing required param: {self.name(key)}.", self.name(key), "parameter_missing")
        return address

    def integer(self, key: str, *, minimum: int | None = None, maximum: int | None = None) -> int | None:
        value = self.text(key)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise wrong_param(f"Invalid integer: {value[:80]}", self.name(key), "parameter_invalid_integer")
        number = int(value)
        if minimum is not None and number < minimum:
            message = f"This value must be greater than or equal to {minimum}."
            raise wrong_param(message, self.name(key), "parameter_invalid_integer")
        if maximum is not None and number > maximum:
            message = f"This value must be less than or equal to {maximum}."
            raise wrong_param(message, self.name(key), "parameter_invalid_integer")
        return number

    def amount(self, key: str = "amount", *, minimum: int = 1) -> int | None:
        """Minor units, positive unless said otherwise."""
        number = self.integer(key, minimum=minimum)
        if number is not None and number > LARGEST_AMOUNT:
            raise wrong_param("Amount must be no more than 999,999.99.", self.name(key), "amount_too_large")
        return number

    def need_amount(self, key: str = "amount", *, minimum: int = 1) -> int:
        number = self.amount(key, minimum=minimum)
        if number is None:
            raise wrong_param(f"Missing required param: {self.name(key)}.", self.name(key), "parameter_missing")
        return number

    def need_currency(self) -> str:
        """ISO code in lower case."""
        value = self.need_text("currency").lower()
        if not _CURRENCIES.fullmatch(value):
            raise wrong_param(f"Invalid currency: {value[:80]}.", self.name("currency"))
        return value

    def flag(self, key: str) -> bool | None:
        value = self.text(key)
        if value is None:
            return None
        if value not in {"true", "false"}:
            raise wrong_param(f"Invalid boolean: {value[:80]}", self.name(key))
        return value == "true"

    def strings(self, key: str) -> list[str] | None:
        """A list of texts."""
        value = self._tree.pop(key, None)
        if value is None or value == "":
            return None if value is None else []
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise wrong_param("Invalid array", self.name(key))
        return [value[position] for position in _in_order(value, self.name(key))]

    def section(self, key: str) -> Params | None:
        """The parameters below this name; what is not read of them is refused with the rest."""
        value = self._tree.pop(key, None)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise wrong_param("Invalid object", self.name(key))
        below = Params(value, self.name(key))
        self._opened.append(below)
        return below

    def anything(self, key: str) -> Json | None:
        """A hash that is kept as it came: what the sandbox answers with, and does not act on."""
        value = self._tree.pop(key, None)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise wrong_param("Invalid object", self.name(key))
        return value

    def ignore(self, *keys: str) -> None:
        """Known to Stripe, without effect here."""
        for key in keys:
            self._tree.pop(key, None)

    def metadata(self) -> dict[str, str]:
        """What to merge; an empty value removes its name."""
        value = self._tree.pop("metadata", {})
        if value == "":
            return {}
        if not isinstance(value, dict):
            raise wrong_param("Invalid object", self.name("metadata"))
        for key, text in value.items():
            if isinstance(text, dict):
                raise wrong_param("Metadata values must be strings.", f"metadata[{key[:40]}]")
            if len(key) > 40:
                raise wrong_param("Metadata keys can have up to 40 characters.", "metadata")
            if len(text) > 500:
                raise wrong_param(
                    f"Metadata values can have up to 500 characters, but you passed in a value that is {len(text)} "
                    "characters.",
                    f"metadata[{key}]",
                )
        return value

    def done(self) -> None:
        """Everything has been read. Before anything is changed, so that a request that is wrong changes nothing."""
        for below in self._opened:
            below.done()
        for key in self._tree:
            raise wrong_param(
                f"Received unknown parameter: {self.name(key)[:200]}", self.name(key)[:200], "parameter_unknown"
            )


_EMPTY = "parameter_invalid_empty"


def merge_metadata(kept: Json, changes: dict[str, str]) -> Json:
    """Sent names replace or remove; the others stay."""
    merged = {**kept, **changes}
    merged = {key: text for key, text in merged.items() if text != ""}
    if len(merged) > MOST_METADATA:
        raise Refusal(f"Metadata can have up to {MOST_METADATA} keys.", param="metadata")
    return merged


def assign(target: Json, params: Params, *keys: str) -> None:
    """Texts that were sent replace; sent empty, they unset."""
    for key in keys:
        value = params.text(key)
        if value is not None:
            target[key] = value or None


def _in_order(numbered: Tree, name: str) -> list[str]:
    try:
        return sorted(numbered, key=int)
    except ValueError:
        raise wrong_param("Invalid array", name) from None
