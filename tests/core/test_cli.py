"""The commands' edges: what a person gets for a wrong setting, and files made from the code."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app import reference
from app.core.settings import Settings
from app.up import _no_demo


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
    assert settings_of(host=host, port=8000).local_url == url


@pytest.mark.parametrize("given", [None, "", "  "])
def test_an_empty_public_address_is_none(given: str | None) -> None:
    assert settings_of(public_url=given).public_url is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("TRUSTED_PROXIES", '["10.0.0.0/8", "proxy"]', "'proxy' is no address and no network"),
        ("DATABASE_URL", "mysql://user:hunter2@host/db", "must begin with postgresql://"),
        ("MIGRATION_DATABASE_URL", "hunter2", "must begin with postgresql://"),
        ("REDIS_URL", "http://:hunter2@host", "must begin with redis://, rediss:// or unix://"),
        ("PUBLIC_URL", "bookings.example.com", "must begin with https:// or http://"),
    ],
)
def test_a_setting_of_the_wrong_shape_is_explained(tmp_path: Path, name: str, value: str, reason: str) -> None:
    result = turnero("up", folder=tmp_path, **{f"TURNERO_{name}": value})
    assert result.returncode == 1
    assert f"TURNERO_{name}: Value error, {reason}" in result.stderr
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("database_url", "environment", "seed", "goes_in"),
    [
        (None, "development", None, True),
        (None, "development", False, False),
        (None, "production", True, False),
        ("postgresql://host/db", "development", None, False),
        ("postgresql+asyncpg://host/db", "development", True, True),
        ("postgres://host/db", "production", True, False),
    ],
)
def test_where_the_demo_goes(database_url: str | None, environment: str, seed: bool | None, goes_in: bool) -> None:
    settings = settings_of(database_url=database_url, environment=environment)
    assert (_no_demo(settings, seed) is None) == goes_in


def settings_of(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


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
