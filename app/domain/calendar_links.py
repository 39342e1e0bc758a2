"""Links that open somebody's calendar with an entry filled in: plain facts, no secret: others run those sites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class CalendarFacts:
    """What an entry says. It has no confirmation code: with the e-mail address that opens the booking."""

    title: str
    starts_at: datetime
    ends_at: datetime
    description: str
    location: str | None


@dataclass(frozen=True, slots=True)
class CalendarLinks:
    google: str
    outlook: str
    office365: str
    yahoo: str


def calendar_links(facts: CalendarFacts) -> CalendarLinks:
    """Times in UTC, so that no site guesses a zone."""
    place = facts.location or ""
    times = {"startdt": _extended(facts.starts_at), "enddt": _extended(facts.ends_at)}
    outlook = {
        "path": "/calendar/action/compose",
        "rru": "addevent",
        "subject": facts.title,
        **times,
        "body": facts.description,
        "location": place,
    }
    google = {
        "action": "TEMPLATE",
        "text": facts.title,
        "dates": f"{_basic(facts.starts_at)}/{_basic(facts.ends_at)}",
        "details": facts.description,
        "location": place,
    }
    yahoo = {
        "v": "60",
        "title": facts.title,
        "st": _basic(facts.starts_at),
        "et": _basic(facts.ends_at),
        "desc": facts.description,
        "in_loc": place,
    }
    return CalendarLinks(
        google=_link("https://calendar.google.com/calendar/render", google),
        outlook=_link("https://outlook.live.com/calendar/0/action/compose", outlook),
        office365=_link("https://outlook.office.com/calendar/0/action/compose", outlook),
        yahoo=_link("https://calendar.yahoo.com/", yahoo),
    )


def _link(base: str, query: dict[str, str]) -> str:
    """A space as %20: not all of them read a plus sign as one."""
    given = {name: value for name, value in query.items() if value}
    return f"{base}?{urlencode(given, quote_via=quote, safe='')}"


def _basic(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _extended(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
