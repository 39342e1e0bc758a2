"""Who may take a booking where, and when, as a text that a person reviews: `permission_matrix.txt` beside this file.

`python -m tests.domain.permission_matrix` writes it anew; nothing else does. A test compares it with the rules, so that
no change goes unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from app.domain.booking import TRANSITIONS, BookingStatus
from app.domain.errors import IllegalTransition, NotAllowed
from app.domain.instants import zone
from app.domain.policy import (
    ActorKind,
    BookingFacts,
    broken_reschedule_rule,
    broken_rule,
    check_code_check_in,
)

FILE = Path(__file__).with_name("permission_matrix.txt")
TIME_ZONE = zone("America/Argentina/Buenos_Aires")
STARTS_AT = datetime(2026, 3, 4, 18, 0, tzinfo=UTC)  # 15:00 there
ENDS_AT = STARTS_AT + timedelta(hours=1)
TIMES = {
    "30 days before": STARTS_AT - timedelta(days=30),
    "25 h before": STARTS_AT - timedelta(hours=25),
    "20 h before": STARTS_AT - timedelta(hours=20),
    "23:59 the day before": STARTS_AT - timedelta(hours=15, minutes=1),
    "same day": STARTS_AT - timedelta(hours=2),
    "started": STARTS_AT + timedelta(minutes=20),
    "over": ENDS_AT + timedelta(hours=2),
    "next day": STARTS_AT + timedelta(hours=9, minutes=1),
    "30 days after": STARTS_AT + timedelta(days=30),
}
HEAD = """\
A booking from 15:00 to 16:00 with a cancellation notice of 24 hours, seen at nine times.
yes: allowed; otherwise the rule that refuses. Steps that are not listed do not exist.
Written by `python -m tests.domain.permission_matrix` alone; compared by tests/domain/test_policy.py.
"""

_S = BookingStatus
Rule = Callable[[ActorKind, datetime], str]


def facts(status: BookingStatus) -> BookingFacts:
    until = STARTS_AT - timedelta(hours=24)
    return BookingFacts(status, STARTS_AT, ENDS_AT, TIME_ZONE, until)


def render() -> str:
    lines = [HEAD]
    for actor in ActorKind:
        lines += [_row(f"== {actor.name}", list(TIMES)), *_steps(actor), *_moves(actor), ""]
    lines += ["", "Moving, with terms of its own", ""]
    lines += _for_each_actor(_limited_moves())
    lines += ["", "Accepting a request that lapses 20 hours before the start", ""]
    lines += _for_each_actor([("AWAITING_PROVIDER -> CONFIRMED", _answer(_S.CONFIRMED))])
    lines += _for_each_actor([("AWAITING_PROVIDER -> CANCELLED", _answer(_S.CANCELLED))])
    lines += ["", "Check-in by the confirmation code, from each state", ""]
    lines += _for_each_actor((f"code of {status.name}", _code(status)) for status in BookingStatus)
    lines += ["", "What the clock does: no-show 15 minutes after the start, completed an hour after the end", ""]
    lines += [_row("SYSTEM", list(TIMES)), *_automatic()]
    return "\n".join(lines).rstrip() + "\n"


def _steps(actor: ActorKind) -> Iterator[str]:
    for status in BookingStatus:
        for to in BookingStatus:
            if to in TRANSITIONS[status]:
                yield _row(f"{status.name} -> {to.name}", [_step(facts(status), actor, to, now) for now in _NOWS])


def _moves(actor: ActorKind) -> Iterator[str]:
    for status in BookingStatus:
        yield _row(f"{status.name} moved", [_move(facts(status), actor, now) for now in _NOWS])


_NOWS = tuple(TIMES.values())


def _step(booked: BookingFacts, actor: ActorKind, to: BookingStatus, now: datetime) -> str:
    broken = broken_rule(booked, actor, to, now)
    return "yes" if broken is None else broken.rule


def _move(booked: BookingFacts, actor: ActorKind, now: datetime) -> str:
    broken = broken_reschedule_rule(booked, actor, now)
    return "yes" if broken is None else broken.rule


def _limited_moves() -> Iterator[tuple[str, Rule]]:
    short = replace(facts(_S.CONFIRMED), reschedule_notice_minutes=60)
    lapsed = replace(facts(_S.AWAITING_PROVIDER), answer_until=STARTS_AT - timedelta(hours=24, minutes=30))
    used = replace(facts(_S.CONFIRMED), maximum_reschedules=2, reschedules=2)
    left = replace(used, reschedules=1)
    for title, booked in (
        ("notice of 1 hour", short),
        ("1 of 2 moves used", left),
        ("2 of 2 moves used", used),
        ("a request that lapsed 24.5 h before", lapsed),
    ):
        yield title, partial(_move, booked)


def _answer(to: BookingStatus) -> Rule:
    waiting = replace(facts(_S.AWAITING_PROVIDER), answer_until=STARTS_AT - timedelta(hours=20))
    return lambda actor, now: _step(waiting, actor, to, now)


def _code(status: BookingStatus) -> Rule:
    def answer(actor: ActorKind, now: datetime) -> str:
        try:
            is_new = check_code_check_in(facts(status), actor, now)
        except NotAllowed as refusal:
            return refusal.rule
        except IllegalTransition:
            return "no such step"
        return "yes" if is_new else "already there"

    return answer


def _automatic() -> Iterator[str]:
    no_show, complete = STARTS_AT + timedelta(minutes=15), ENDS_AT + timedelta(hours=1)
    for title, no_show_at, completes_at in (
        ("both on", no_show, complete),
        ("no-show on", no_show, None),
        ("completion on", None, complete),
        ("both off", None, None),
    ):
        for status in (_S.CONFIRMED, _S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED):
            for to in (_S.NO_SHOW, _S.COMPLETED):
                if to in TRANSITIONS[status]:
                    booked = replace(facts(status), no_show_at=no_show_at, completes_at=completes_at)
                    cells = [_step(booked, ActorKind.SYSTEM, to, now) for now in _NOWS]
                    yield _row(f"{title}: {status.name} -> {to.name}", cells)


def _for_each_actor(rows: Iterable[tuple[str, Rule]]) -> list[str]:
    lines = []
    for title, rule in rows:
        lines.append(_row(title, list(TIMES)))
        lines += [_row(f"  {actor.name}", [rule(actor, now) for now in _NOWS]) for actor in ActorKind]
    return lines


def _row(title: str, cells: list[str]) -> str:
    if len(set(cells)) == 1:
        cells = [f"{cells[0]} at all times"]
    return (f"{title:<42}" + "".join(f"{cell:<22}" for cell in cells)).rstrip()


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
