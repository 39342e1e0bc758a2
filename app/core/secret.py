"""The key that signs tokens: set by the operator, or made once and kept in the data folder (development only)."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Literal

_FILE = "secret.key"
_SHAPE = re.compile(r"[0-9a-f]{64}")


class SecretMissing(Exception):
    """Production has no secret key, or the kept one cannot be used. The text says what to do."""


def require_secret(environment: Literal["development", "production"], secret_key: str | None, data_dir: Path) -> str:
    """The key that is set; in development else the one of the data folder. Raises SecretMissing."""
    if secret_key is not None:
        return secret_key
    if environment == "production":
        raise SecretMissing(
            "TURNERO_SECRET_KEY is not set, and in production it must be: every process needs the same key, and tokens "
            "outlive restarts. Make one with: openssl rand -hex 32"
        )
    return load_or_create_secret(data_dir)


def load_or_create_secret(data_dir: Path) -> str:
    """64 hexadecimal digits from `DATA/secret.key` (mode 0600), made if missing. All racing processes get the same.

    Raises SecretMissing when the file holds something else.
    """
    path = data_dir.expanduser() / _FILE
    if not path.exists():
        _create(path)
    secret = path.read_text().strip()
    if not _SHAPE.fullmatch(secret):
        raise SecretMissing(
            f"{path} does not hold 64 hexadecimal digits. Remove it to have a new key made (everyone signs in again)."
        )
    return secret


def _create(path: Path) -> None:
    """Write a draft in full, then link it to the name: whoever comes second finds the name taken and uses that key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{_FILE}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
