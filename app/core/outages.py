"""Loops that outlive the servers they use: one line when a server goes, one when it is back, pauses in between."""

from __future__ import annotations

import time
import traceback

import structlog
from sqlalchemy.exc import DBAPIError, StatementError

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_GOING_DOWN = frozenset({None, "57P01", "57P02", "57P03"})
"""No answer at all; ended by an administrator or a crash; starting up."""

log = structlog.get_logger(__name__)


class Outage:
    """Tells of one thing that can be away. `what` becomes the log's event: `relay.failing`, `relay.recovered`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self._pause_s = SHORTEST_PAUSE_S

    @property
    def is_on(self) -> bool:
        return self._since is not None

    def failed(self, error: BaseException) -> float:
        """Logs the first failure. Returns how many seconds to wait before the next try: at most one."""
        if self._since is None:
            self._since = time.monotonic()
            # A fault of ours shows where it is; that a server is away needs one line.
            log.warning(f"{self._what}.failing", error=describe(error), exc_info=None if _is_expected(error) else error)
        pause_s, self._pause_s = self._pause_s, min(LONGEST_PAUSE_S, self._pause_s * 2)
        return pause_s

    def ok(self) -> None:
        """Logs the end of an outage."""
        if self._since is not None:
            log.info(f"{self._what}.recovered", after_s=round(time.monotonic() - self._since, 1))
            self._since = None
            self._pause_s = SHORTEST_PAUSE_S


def describe(error: BaseException) -> str:
    """Kind and text of an error, without the values of a failed statement or row: they are customers' data."""
    kind = type(error).__name__
    if isinstance(error, StatementError):
        return kind if error.orig is None else f"{kind}: {describe(error.orig)}"
    state = getattr(error, "sqlstate", None)
    if not isinstance(state, str):
        return f"{kind}: {error}"
    # The server puts the row below the first line; a fault of class 22 quotes the value in the first line itself.
    text = "" if state.startswith("22") else str(error).partition("\n")[0]
    return f"{kind} ({state}): {text}" if text else f"{kind} ({state})"


def trace(error: BaseException) -> str:
    """The traceback of an error and of what led to it, each told by `describe`."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts.append(_one_trace(current))
        cause = current.__cause__
        current = cause if cause is not None or current.__suppress_context__ else current.__context__
    return "\n\nwhich led to:\n\n".join(reversed(parts))


def _one_trace(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__), describe(error)]
    for index, inner in enumerate(getattr(error, "exceptions", ()), 1):
        lines.append(f"\n\n{index}. of the group:\n\n{trace(inner)}")
    return "".join(lines)


def _is_expected(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _GOING_DOWN
    return not isinstance(error, TypeError | ValueError | LookupError | AttributeError | AssertionError)
