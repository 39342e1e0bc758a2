"""When an offer is free in the coming weeks, in few numbers: runs of starts at even distances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.schedule import DAY_MINUTES

COVERED_DAYS = 65
"""UTC days from today on. A search of 62 days ends on the 63rd at the latest, wherever the customer's midnight is."""
RENEWED_DAYS = 64
"""With fewer left an outlook is renewed: every other day."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Starts at firsts[i], then every steps[i] minutes until lasts[i], rising; `days`: the UTC days that have one.

    All count from 1970.
    """

    days: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def starts(self) -> list[int]:
        """Every start again, in minutes since 1970."""
        runs = zip(self.firsts, self.lasts, self.steps, strict=True)
        return [minute for first, last, step in runs for minute in range(first, last + 1, step)]


def outlook_of(starts: Iterable[int]) -> Outlook:
    """`starts` in minutes since 1970, rising, each once."""
    found = Outlook()
    firsts, lasts, steps = found.firsts, found.lasts, found.steps
    days: dict[int, None] = {}
    alone = True  # the last run has a single start, so that any step would do
    for minute in starts:
        days[minute // DAY_MINUTES] = None
        if firsts and (alone or minute - lasts[-1] == steps[-1]):
            distance = minute - lasts[-1]
            if not alone or distance <= DAY_MINUTES // 2:
                steps[-1], lasts[-1], alone = distance, minute, False
                continue
        firsts.append(minute)
        lasts.append(minute)
        steps.append(1)
        alone = True
    found.days.extend(days)
    return found
