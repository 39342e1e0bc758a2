"""Servers for the tests: each test process has its own small PostgreSQL and Valkey, without fsync.

- `database_url`: a migrated database, the same for all tests of a process.
- `fresh_database_url`: one of its own for each test that asks.
- `databases`: makes more of them.
- `redis_url`: the process's Valkey.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings

from app.adapters.embedded import DataFolder, embedded_servers
from app.adapters.embedded_postgres import EmbeddedPostgres
from app.adapters.embedded_valkey import EmbeddedValkey
from app.adapters.process import FolderInUse
from app.adapters.supervisor import ChildFailed
from app.core.migrations import migrate
from app.core.pauses import keep_pauses_short, look_seldom
from tests import audit_guard, facts_guard

pytest_plugins = ["tests.fixtures_api", "tests.fixtures_live", "tests.fixtures_pay", "tests.city"]

# How long an example takes says nothing where other tests take turns on the same processors. The same examples in each
# run, so that a red one is about what was changed; `make faults` draws new ones.
settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")

_PREFIX = "turnero-test-"
_TEMPLATE = "migrated"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the server and the worker run on; tests spend a good part of their time in it."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_configure() -> None:
    look_seldom()


def pytest_collection_finish() -> None:
    keep_pauses_short()


@dataclass(slots=True)
class Databases:
    """Databases at head, copied from a template."""

    server: EmbeddedPostgres
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def create(self) -> str:
        """URL of a new, migrated, empty database. Takes about 0.1 s."""
        name = f"test_{next(self._numbers)}"
        # A third of the work of writing it all to the log, where nothing waits for the disk.
        self.server.query(f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}" STRATEGY FILE_COPY')
        # Else they would share a stream in the one Valkey.
        self.server.query("UPDATE relay_state SET installation_id = uuidv7()", database=name)
        return self.server.url(name)

    def drop(self, url: str) -> None:
        """Drop it, connections and all."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.server.query(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    _sweep()
    # Not pytest's own folder: its path is long for a socket, and private to a user who may not be the servers'.
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with embedded_servers(folder, durable=False) as both:
            yield both
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> Databases:
    postgres, _ = servers
    postgres.query(f'CREATE DATABASE "{_TEMPLATE}"')
    # In a thread of its own: migrations run an event loop, and this one may be running already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(migrate, postgres.url(_TEMPLATE)).result()
    postgres.query(facts_guard.INSTALL, database=_TEMPLATE)
    postgres.query(audit_guard.INSTALL, database=_TEMPLATE)
    return Databases(postgres)


@pytest.fixture(scope="session")
def database_url(databases: Databases) -> str:
    return databases.create()


@pytest.fixture
def fresh_database_url(databases: Databases) -> Iterator[str]:
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def redis_url(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> str:
    return servers[1].url()


def _sweep() -> None:
    """End servers of test runs that were killed, and remove their folders."""
    for state in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/processes.json"):
        try:
            with DataFolder(state.parent):
                pass
        except (FolderInUse, ChildFailed, OSError):
            continue
        shutil.rmtree(state.parent, ignore_errors=True)
