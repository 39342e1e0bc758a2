from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.secret import SecretMissing, load_or_create_secret, require_secret


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    data = tmp_path / "data"
    secret = load_or_create_secret(data)
    assert len(bytes.fromhex(secret)) == 32
    assert load_or_create_secret(data) == secret
    assert [p.name for p in data.iterdir()] == ["secret.key"]
    assert (data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_all_racing_processes_get_the_same(tmp_path: Path) -> None:
    for round_number in range(20):
        folder = tmp_path / str(round_number)
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(load_or_create_secret, [folder] * 8))) == 1


@pytest.mark.parametrize("text", ["", "abc", "g" * 64])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(SecretMissing, match="64 hexadecimal digits"):
        load_or_create_secret(tmp_path)


def test_production_needs_one_that_is_set(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="TURNERO_SECRET_KEY"):
        require_secret("production", None, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert require_secret("production", "x" * 32, tmp_path) == "x" * 32
    assert len(require_secret("development", None, tmp_path)) == 64
