"""The commands' edges: what a person gets for a wrong setting, and files made from the code."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from app import reference
from app.core.settings import Settings
from app.up import local_url


def turnero(*arguments: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it in an empty folder, where no `.env` is."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("TURNERO_") and k not in {"DATABASE_URL", "REDIS_URL"}
    }
    return subprocess.run(
        (sys.executable, "-P", "-m", "app", *arguments),
        env={**kept, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_the_commands(tmp_path: Path) -> None:
    result = turnero("--help", folder=tmp_path)
    assert result.returncode == 0
    for command in ("up", "api", "worker", "migrate", "seed", "demo", "export-schema", "settings-doc"):
        assert f"    {command}" in result.stdout


def test_wrong_settings_are_named_and_their_values_kept_out(tmp_path: Path) -> None:
    result = turnero("up", "--port", "99999", folder=tmp_path, TURNERO_SECRET_KEY="too-short-a-secret")
    assert result.returncode == 1
    assert "TURNERO_PORT: Input should be less than or equal to 65535" in result.stderr
    assert "TURNERO_SECRET_KEY: Value error, must have at least 32 characters" in result.stderr
    assert "too-short-a-secret" not in result.stderr
    assert "Traceback" not in result.stderr


def test_production_without_a_key_does_not_start(tmp_path: Path) -> None:
    result = turnero("up", folder=tmp_path, TURNERO_ENVIRONMENT="production", TURNERO_PORT=str(free_port()))
    assert result.returncode == 1
    assert "TURNERO_SECRET_KEY is not set" in result.stderr
    assert not (tmp_path / ".turnero" / "postgres").exists()


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = turnero("up", "--port", str(port), folder=tmp_path)
    assert result.returncode == 1
    assert f"Port {port} is in use" in result.stderr
    assert not (tmp_path / ".turnero" / "postgres").exists()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_alone_needs_its_servers(tmp_path: Path, command: str) -> None:
    result = turnero(command, folder=tmp_path)
    assert result.returncode == 1
    assert "DATABASE_URL is not set" in result.stderr


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1", "http://[fe80::1]:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_the_address_to_open(host: str, url: str) -> None:
    assert local_url(Settings(host=host, port=8000)) == url


def test_the_settings_page_names_every_setting() -> None:
    page = reference.settings_markdown()
    for name in Settings.model_fields:
        assert f"`TURNERO_{name.upper()}`" in page
    assert "`DATABASE_URL`" in page


def test_a_difference_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    assert "+new" in reference.difference(path, "new\n")
    reference.write(path, "new\n")
    assert reference.difference(path, "new\n") == ""


def free_port() -> int:
    """Below the ports that the system hands out by itself: one of those may be taken again before it is used."""
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
