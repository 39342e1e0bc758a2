"""What a field is given: who asks, and its arguments as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, TypeAlias

import strawberry
from strawberry.types import Info

from app.domain.errors import BadInput
from app.domain.text import clean_name
from app.resolvers.context import RequestContext

WANTED_MAXIMUM = 200

Ctx: TypeAlias = Info[RequestContext, None]


def given(source: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The fields of an input that were given (by default or by the client), apart from some. An explicit null stays."""
    skipped = {"idempotency_key", *without}
    values = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
    return {name: value for name, value in values.items() if name not in skipped and value is not strawberry.UNSET}


def read_wanted(value: str | None, path: str) -> str | None:
    """A text to search by; an empty one searches for nothing. Raises BadInput at `path`."""
    if value is None or not value.strip():
        return None
    try:
        return clean_name(value, WANTED_MAXIMUM)
    except ValueError as fault:
        raise BadInput.at(path, str(fault)) from None
