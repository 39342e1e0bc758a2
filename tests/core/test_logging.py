from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from app.core.logging import configure_logging
from app.core.outages import trace

FORGED = "ok\n2026-01-01T00:00:00Z [info     ] forged\r\x1b[2J\u2028\x85\ud800\u202e"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.rstrip("\n").split("\n")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_value_can_forge_a_line(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json" if log_format == "json" else "console")
    structlog.get_logger("one").info(FORGED, value=FORGED, nested={FORGED: [FORGED]}, **{FORGED: b"\n"})
    logging.getLogger("two").warning("%s", FORGED, extra={"more": FORGED})
    found = lines(capsys)
    assert len(found) == 2
    assert not any(character in "".join(found) for character in "\r\x1b\u2028\x85\u202e")


@pytest.mark.parametrize("logger", ["structlog", "stdlib"])
def test_a_traceback_cannot_forge_a_line(logger: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    log = structlog.get_logger("one") if logger == "structlog" else logging.getLogger("one")
    try:
        raise ValueError(FORGED)
    except ValueError:
        log.exception("failed")
    first, *rest = lines(capsys)
    assert "failed" in first
    assert any("ValueError" in line for line in rest)
    assert all(line.startswith("  ") for line in rest)


def test_every_line_carries_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.contextvars.bind_contextvars(request_id="request-1")
    structlog.get_logger("one").info("a")
    logging.getLogger("two").info("b")
    assert [json.loads(line)["request_id"] for line in lines(capsys)] == ["request-1", "request-1"]


def test_the_level_rules_both(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "json")
    structlog.get_logger("one").info("a")
    logging.getLogger("two").info("b")
    structlog.get_logger("one").warning("c")
    assert [json.loads(line)["event"] for line in lines(capsys)] == ["c"]


class Failing(Exception):
    """As the driver raises it: the row that was refused stands below the first line."""

    sqlstate = "23514"


def test_no_value_of_a_statement_or_row_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")
    secret = "$argon2id$secret"
    refused = Failing(f'new row violates check constraint "user_name"\nDETAIL: Failing row contains ({secret}).')
    wrong = Failing(f"invalid input for query argument $1: {secret}")
    wrong.sqlstate = "22000"
    for cause in (refused, wrong):
        try:
            try:
                raise cause
            except Failing as error:
                raise IntegrityError("UPDATE user_account", {"hash": secret}, error, hide_parameters=True) from error
        except IntegrityError:
            structlog.get_logger("one").exception("failed")
            logging.getLogger("two").exception("failed")
    text = capsys.readouterr().err
    assert secret not in text
    assert text.count("Failing (22000)") == 4
    assert text.count('Failing (23514): new row violates check constraint "user_name"') == 4
    assert text.count("test_logging.py") >= 8


def test_a_trace_tells_of_the_whole_chain_and_group() -> None:
    try:
        try:
            raise ExceptionGroup("two", [ValueError("first"), KeyError("second")])
        except ExceptionGroup as group:
            raise RuntimeError("third") from group
    except RuntimeError as error:
        text = trace(error)
    places = [text.index(f"{kind}: ") for kind in ("ExceptionGroup", "ValueError", "KeyError", "RuntimeError")]
    assert places == sorted(places)
