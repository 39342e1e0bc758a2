"""Alembic, driven from the program: the scripts lie in `migrations/` beside the package, wherever it is installed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import app


def migration_config(url: str) -> Config:
    """Alembic's configuration for one database. `migrations/env.py` reads `sqlalchemy.url`."""
    config = Config()
    # The parser of alembic reads % as the beginning of a reference.
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str) -> None:
    """Bring the database to head. Not from a running event loop: `migrations/env.py` starts its own."""
    command.upgrade(migration_config(url), "head")


@lru_cache(maxsize=1)
def head_revision() -> str | None:
    """The newest revision that this version of the program knows; None when it has no migration."""
    return ScriptDirectory(str(_scripts())).get_current_head()


def _scripts() -> Path:
    return Path(app.__file__).resolve().parent.parent / "migrations"
