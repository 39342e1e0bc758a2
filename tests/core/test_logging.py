from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.core.logging import bind_request_id, configure_logging, request_id_from

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
    bind_request_id("request-1")
    structlog.get_logger("one").info("a")
    logging.getLogger("two").info("b")
    assert [json.loads(line)["request_id"] for line in lines(capsys)] == ["request-1", "request-1"]


def test_the_level_rules_both(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "json")
    structlog.get_logger("one").info("a")
    logging.getLogger("two").info("b")
    structlog.get_logger("one").warning("c")
    assert [json.loads(line)["event"] for line in lines(capsys)] == ["c"]


@pytest.mark.parametrize("header", [None, "", "short", "x" * 65, "with space", "new\nline", "ünïcode1", "<script>"])
def test_a_harmful_request_id_is_replaced(header: str | None) -> None:
    assert request_id_from(header) != header
    assert len(request_id_from(header)) == 32


def test_a_harmless_request_id_is_kept() -> None:
    assert request_id_from("01J9-trace.id_42") == "01J9-trace.id_42"
