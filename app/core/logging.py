"""Structured logs of every process, the standard library's included: one line for each event, on standard error."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Literal

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from app.core.outages import trace

# C0 and C1 controls, DEL, the Unicode line ends and the marks that reverse or hide text, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LONGEST_VALUE = 4_000
_DEEPEST = 4


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info", log_format: Literal["console", "json"] = "console"
) -> None:
    """Send structlog and the standard library's logging through one chain. Once in each process; again is harmless."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(_trace),
        escape_control_characters,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=repr)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq", "arq.worker", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Statements and frames are noise at `info`, and carry customers' data; a server's start and end are told by `up`.
    quiet = ("sqlalchemy.engine", "websockets", "httpx", "httpcore", "uvicorn.access", "uvicorn.error", "stripe")
    for name in (*quiet, "alembic.runtime.plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _trace(exc_info: ExcInfo) -> str:
    """No traceback shows the values of a statement, whoever logs it."""
    return trace(exc_info[1])


def escape_control_characters(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Values that came from outside must not look like lines of ours: control characters become `\\n`, `\\x1b`, …

    A traceback keeps its lines, each indented, so that none can pass for an event.
    """
    trace = event.pop("exception", None)
    stack = event.pop("stack", None)
    # The formatter's own entries (the log record among them) are objects that it removes later.
    safe = {_escape(str(k)): v if str(k).startswith("_") else _safe(v) for k, v in event.items()}
    for name, text in (("exception", trace), ("stack", stack)):
        if text is not None:
            safe[name] = "\n".join("  " + _escape(line) for line in str(text).split("\n"))
    return safe


def _safe(value: object, depth: int = 0) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _escape(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_escape(str(k)): _safe(v, depth + 1) for k, v in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_safe(v, depth + 1) for v in value]
    return _escape(str(value))


def _escape(text: str) -> str:
    if len(text) > _LONGEST_VALUE:
        text = f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)
