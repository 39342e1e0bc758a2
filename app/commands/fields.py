"""What may stand in each field of an input, as tables: every violation is found at once, at its path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain import instants, text
from app.domain.errors import FieldErrors
from app.models.base import Base

Check = Callable[[Any], Any]
"""The value as it is kept. Raises ValueError with a text for a person."""

NAME_MAXIMUM = 200
TEXT_MAXIMUM = 5_000
NOTICE_MAXIMUM_MINUTES = 1_095 * 1_440
"""As far as anything can be booked ahead."""
RESCHEDULES_MAXIMUM = 1_000
"""Moves of one booking by its customer."""


def _nothing(_values: Mapping[str, Any], _errors: FieldErrors) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one noun. `whole` judges those that depend on each other; any of them may be missing."""

    checks: Mapping[str, Check]
    whole: Callable[[Mapping[str, Any], FieldErrors], None] = _nothing

    def clean(self, values: Mapping[str, Any], prefix: str = "input.") -> dict[str, Any]:
        """Values by field, as they are kept. Raises InvalidInput with every violation."""
        errors = FieldErrors()
        cleaned: dict[str, Any] = {}
        for name, value in values.items():
            try:
                cleaned[name] = self.checks[name](value)
            except Faults as faults:
                for index, message in faults.found:
                    errors.add(f"{prefix}{camel(name)}.{index}", message)
            except ValueError as fault:
                errors.add(f"{prefix}{camel(name)}", str(fault))
        self.whole(cleaned, errors)
        errors.raise_any()
        return cleaned

    def check_whole(self, record: Base, changes: Mapping[str, Any]) -> None:
        """Would the record still be right with these changes? Raises InvalidInput."""
        errors = FieldErrors()
        columns = record.__mapper__.columns.keys()
        current = {name: getattr(record, name) for name in self.checks if name in columns}
        self.whole({**current, **changes}, errors)
        errors.raise_any()


class Faults(ValueError):
    """Wrong items of a list: (index, what is wrong)."""

    def __init__(self, found: list[tuple[int, str]]) -> None:
        super().__init__("has items that are not possible")
        self.found = found


def camel(name: str) -> str:
    """`time_zone` → `timeZone`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────


def required(check: Check) -> Check:
    """An update may not take it away."""

    def checked(value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return check(value)

    return checked


def optional(check: Check) -> Check:
    """None, or what reads as nothing, is none."""

    def checked(value: Any) -> Any:
        return None if value is None else (check(value) or None)

    return checked


def name(maximum: int = NAME_MAXIMUM) -> Check:
    return required(lambda value: text.clean_name(value, maximum))


def optional_line(maximum: int) -> Check:
    """One line; an empty one is none."""

    def checked(value: Any) -> Any:
        blank = value is None or not text.clean_text(value, maximum)
        return None if blank else text.clean_name(value, maximum)

    return checked


def optional_text(maximum: int = TEXT_MAXIMUM) -> Check:
    return optional(lambda value: text.clean_text(value, maximum))


def whole_number(least: int, most: int, unit: str = "") -> Check:
    def checked(value: Any) -> Any:
        if value is None:
            return None
        if not least <= value <= most:
            raise ValueError(f"must be {least} to {most}{unit}")
        return value

    return checked


def coordinate(limit: float) -> Check:
    """Degrees within ±limit, or none."""

    def checked(value: Any) -> Any:
        if value is not None and not (math.isfinite(value) and -limit <= value <= limit):
            raise ValueError(f"must be a number of degrees from -{limit:g} to {limit:g}")
        return None if value is None else float(value)

    return checked


def line_list(most: int, maximum: int) -> Check:
    """Each once, in the order given."""

    def checked(value: Any) -> Any:
        if len(value) > most:
            raise ValueError(f"must have at most {most} items")
        found: list[str] = []
        faults: list[tuple[int, str]] = []
        for index, item in enumerate(value):
            try:
                found.append(text.clean_name(item, maximum))
            except ValueError as fault:
                faults.append((index, str(fault)))
        if faults:
            raise Faults(faults)
        return list(dict.fromkeys(found))

    return required(checked)


def as_given(value: Any) -> Any:
    """Its type says it all."""
    return value


def time_zone(value: str) -> str:
    return instants.zone(value).key
