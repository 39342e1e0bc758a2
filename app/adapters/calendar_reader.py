"""Reads a stranger's calendar in a process of its own.

Rules that never match, zones that change every minute and lists that grow when they are expanded keep libraries busy
for hours, and nothing stops a thread; what a library remembers of one tenant's calendar (names of time zones, for one)
must not reach another's. So each calendar is read by a fresh child with limits on its time and memory, which is killed
when it goes past them, and which has none of our secrets. It starts in a quarter of a second, and only for a calendar
that has changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog

from app.adapters.ical_events import read_events
from app.adapters.ical_lines import read_lines
from app.domain.busy_calendar import CalendarRefused, Span, busy_spans
from app.domain.instants import zone
from app.ports import CalendarBusy, FeedProblem

log = structlog.get_logger(__name__)

DEADLINE_S = 20.0
CPU_S = 10
MEMORY_BYTES = 1 << 30
"""Of address space: a child that has only just started takes a quarter of it."""
TOO_HARD = FeedProblem("The calendar takes too long to work out. Does an event repeat without end?", is_refused=True)

_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_SLACK = timedelta(days=2)
"""Dates of any zone are within this of the same instants' dates in UTC."""


class ChildCalendarReader:
    """Implements CalendarReader. Each reading has its own child process."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s

    async def read(self, body: bytes, home: ZoneInfo, window: Span) -> CalendarBusy | FeedProblem:
        request = json.dumps([home.key, *(instant.isoformat() for instant in window)]).encode()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.adapters.calendar_reader",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
        try:
            async with asyncio.timeout(self._deadline_s):
                answer, _ = await child.communicate(request + b"\n" + body)
        except TimeoutError:
            return TOO_HARD
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        if child.returncode != 0:
            log.warning("calendar.not_read", exit_code=child.returncode, size=len(body))
            return TOO_HARD
        return _decoded(answer)


def read_calendar(body: bytes, home: ZoneInfo, window: Span) -> CalendarBusy:
    """In this process, without limits on time and memory. Raises CalendarRefused."""
    raw = read_lines(body, (window[0] - _SLACK).date(), (window[1] + _SLACK).date())
    found = read_events(raw, home)
    warning = None
    if found.unreadable:
        left_out = "An event could not be read and blocks no time"
        if found.unreadable > 1:
            left_out = f"{found.unreadable:,} events could not be read and block no time"
        warning = f"{left_out}; see line {found.first_line} of the calendar."
    return CalendarBusy(busy_spans(found.series, window), warning)


def _decoded(answer: bytes) -> CalendarBusy | FeedProblem:
    refusal, spans, warning = json.loads(answer)
    if refusal is not None:
        return FeedProblem(refusal, is_refused=True)
    return CalendarBusy(tuple((_instant(start), _instant(end)) for start, end in spans), warning)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _answer(stream: bytes) -> bytes:
    head, _, body = stream.partition(b"\n")
    home, start, end = json.loads(head)
    try:
        found = read_calendar(body, zone(home), (datetime.fromisoformat(start), datetime.fromisoformat(end)))
    except CalendarRefused as refusal:
        return json.dumps([str(refusal), [], None]).encode()
    spans = [[int(instant.timestamp()) for instant in span] for span in found.spans]
    return json.dumps([None, spans, found.warning]).encode()


def main() -> None:
    """The child: a line that says what is wanted and a calendar on standard input, the answer on standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    with suppress(ValueError, OSError):  # macOS has no limit on address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
