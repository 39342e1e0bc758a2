"""`turnero sandbox`: what it says, serves and refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TURNERO_")}


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "app", "sandbox", *arguments)


def test_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--api-key", "sk_test_one", "--webhook-url", "http://127.0.0.1:9/", "--webhook-secret")
    with subprocess.Popen(
        command(*arguments, "whsec_x"), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.removeprefix("Local Stripe at ").partition("/ ")[0]
        # It listens before it says so; the answer waits until it is ready.
        assert httpx.get(f"{url}/_sandbox/health", trust_env=False).json() == {"status": "ok"}
        key = {"Authorization": "Bearer sk_test_one"}
        listed = httpx.get(f"{url}/v1/webhook_endpoints", headers=key, trust_env=False).json()
        assert [endpoint["url"] for endpoint in listed["data"]] == ["http://127.0.0.1:9/"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in {0, -signal.SIGTERM}
    assert (tmp_path / ".turnero" / "sandbox" / "stripe.sqlite3").exists()
    assert "Pages: http://127.0.0.1:" in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--port", "x"), "must be a number from 0 to 65535"),
        (("--port", "65536"), "must be a number from 0 to 65535"),
        (("--webhook-url", "http://127.0.0.1/"), "--webhook-url and --webhook-secret belong together"),
        (("--webhook-url", "x", "--webhook-secret", "whsec_x"), "--webhook-url must begin with http"),
        (("--mercadopago-webhook-secret", "x"), "--mercadopago-webhook-url and --mercadopago-webhook-secret belong"),
        (("--api-key", "sk_live_0123456789"), "--api-key must begin with sk_test_"),
    ],
)
def test_refuses(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    text: str,
) -> None:
    from app import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.core.logging.configure_logging", lambda *_: None)
    try:
        code = cli.run(("sandbox", *arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr().err
    assert code in {1, 2}
    assert text in said
    assert "0123456789" not in said


def test_a_port_in_use_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("app.core.logging.configure_logging", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.run(("sandbox", "--port", str(port))) == 1
    assert f"Port {port} of 127.0.0.1 cannot be had" in capsys.readouterr().err
