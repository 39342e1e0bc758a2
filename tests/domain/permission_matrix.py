"""Who may take a booking where, and when, as a text that a person reviews: `permission_matrix.txt` beside this file.

`python -m tests.domain.permission_matrix` writes it anew. A test compares it with the rules, so that no change goes
unseen.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.domain.booking import TRANSITIONS, BookingStatus
from app.domain.instants import zone
from app.domain.policy import ActorKind, BookingFacts, broken_reschedule_rule, broken_rule

FILE = Path(__file__).with_name("permission_matrix.txt")
TIME_ZONE = zone("America/Argentina/Buenos_Aires")
STARTS_AT = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)  # 15:00 there
TIMES = {
    "2 days before": STARTS_AT - timedelta(days=2),
    "20 h before": STARTS_AT - timedelta(hours=20),
    "same day": STARTS_AT - timedelta(hours=2),
    "started": STARTS_AT + timedelta(minutes=10),
    "next day": STARTS_AT + timedelta(hours=9, minutes=1),
}
HEAD = """\
A booking at 15:00 with a cancellation notice of 24 hours, seen at five times.
yes: allowed; otherwise the rule that refuses. Steps that are not listed do not exist.
Written by `python -m tests.domain.permission_matrix`; compared by tests/domain/test_policy.py.
"""


def facts(status: BookingStatus) -> BookingFacts:
    until = STARTS_AT - timedelta(hours=24)
    return BookingFacts(status, STARTS_AT, STARTS_AT + timedelta(hours=1), TIME_ZONE, until)


def render() -> str:
    lines = [HEAD]
    for actor in ActorKind:
        lines.append(_row(f"== {actor.name}", list(TIMES)))
        for status in BookingStatus:
            for to in BookingStatus:
                if to in TRANSITIONS[status]:
                    broken = [broken_rule(facts(status), actor, to, now) for now in TIMES.values()]
                    cells = ["yes" if rule is None else rule.rule for rule in broken]
                    lines.append(_row(f"{status.name} -> {to.name}", cells))
        for status in BookingStatus:
            moves = [broken_reschedule_rule(facts(status), actor, now) for now in TIMES.values()]
            lines.append(_row(f"{status.name} moved", ["yes" if rule is None else rule.rule for rule in moves]))
        lines.append("")
    return "\n".join(lines)


def _row(title: str, cells: list[str]) -> str:
    if len(set(cells)) == 1:
        cells = [f"{cells[0]} at all times"]
    return (f"{title:<38}" + "".join(f"{cell:<21}" for cell in cells)).rstrip()


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
