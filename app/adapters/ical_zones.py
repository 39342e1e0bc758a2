"""Names of time zones as calendars write them → zones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from icalendar import Timezone
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from app.adapters.ical_lines import split_line
from app.domain.instants import zone


class ZoneNames:
    """The names of one calendar, each looked up once. `definitions`: its VTIMEZONE components, as text."""

    def __init__(self, definitions: Iterable[str]) -> None:
        self._definitions = {name: text for text in definitions if (name := _name(text))}
        self._found: dict[str, tzinfo | None] = {}

    def find(self, name: str) -> tzinfo | None:
        """IANA's first, by Windows' name too, since its rules are kept up; else as the calendar itself defines it."""
        if name not in self._found:
            self._found[name] = _known(name) or self._defined(name)
        return self._found[name]

    def _defined(self, name: str) -> tzinfo | None:
        text = self._definitions.get(name)
        # A change of clocks every few minutes is no zone, and would take for ever.
        if text is None or "FREQ=SECONDLY" in text.upper() or "FREQ=MINUTELY" in text.upper():
            return None
        try:
            component = Timezone.from_ical(text)
            return component.to_tz(lookup_tzid=False) if isinstance(component, Timezone) else None
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            return None


def _known(name: str) -> tzinfo | None:
    """`Europe/Madrid`, `Romance Standard Time`, `/freeassociation.sourceforge.net/Europe/Madrid`."""
    bare = name.strip().strip("/")
    parts = bare.split("/") if name.strip().startswith("/") else []
    for candidate in (bare, WINDOWS_TO_OLSON.get(bare, ""), *("/".join(parts[at:]) for at in range(1, len(parts))[:5])):
        try:
            return zone(candidate)
        except ValueError:
            continue
    return None


def _name(definition: str) -> str | None:
    for line in definition.splitlines():
        if line[:4].upper() == "TZID":
            try:
                return split_line(line)[1]
            except ValueError:
                return None
    return None
