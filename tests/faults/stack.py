"""The whole system on this machine, durable, made to be killed: every process of it was started here."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import httpx

from app.adapters.embedded import DataFolder
from app.adapters.process import GENTLY
from app.adapters.supervisor import ChildSpec, Supervisor
from app.core.migrations import migrate
from tests.fixtures_api import SECRET

HOLD_TTL_S = 7_200
READY_S = 150.0
"""On a machine that has much else to do."""
STRIPE_KEY = "sk_test_of_the_stack"
STRIPE_WEBHOOK_SECRET = "whsec_of_the_stack"


class Victim(StrEnum):
    """What is killed. The values are the names of the supervisor's children."""

    API = "api"
    WORKER = "worker"
    VALKEY = "valkey"
    POSTGRES = "postgres"


@dataclass(slots=True)
class Stack:
    """Running until the block that made it ends. What dies is started again by the supervisor, as in `turnero up`."""

    supervisor: Supervisor
    database_url: str
    redis_url: str
    port: int
    log: Path
    api_processes: int = 1
    """Processes that share the port, under one that SIGHUP tells to put a new one in the place of each."""
    stripe_url: str = ""
    """Of its local Stripe, whose webhooks go to the API; none: guests cannot pay online."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self, victim: Victim) -> bool:
        """kill -9. False when it is down already."""
        pid = self.supervisor.pid_of(victim.value)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    async def keep_running(self) -> None:
        """Until cancelled. Raises ChildFailed for a child that would not come back."""
        while True:
            self.supervisor.tick()
            await asyncio.sleep(0.02)

    async def is_ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                answer = await client.get(f"{self.url}/health/ready")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json().get("status") == "ok"


@asynccontextmanager
async def running_stack(
    *, with_stripe: bool = False, api_processes: int = 1, workers: Sequence[str] = ("worker",)
) -> AsyncIterator[Stack]:
    """Yields once everything answers. The folder is removed afterwards, unless the block raised: then its logs stay.

    `workers`: their names among the supervisor's children.
    """
    folder = Path(tempfile.mkdtemp(prefix="turnero-faults-"))
    with DataFolder(folder) as data, Supervisor(data.ledger) as supervisor:
        postgres, valkey = data.postgres(durable=True), data.valkey()
        postgres.start(supervisor)
        valkey.start(supervisor)
        with ThreadPoolExecutor(1) as pool:  # migrations run an event loop of their own
            pool.submit(migrate, postgres.url()).result()
        stack = Stack(supervisor, postgres.url(), valkey.url(), free_port(), folder / "logs" / "app.log", api_processes)
        if with_stripe:
            supervisor.start(_local_stripe(stack))
        supervisor.start(_spec("api", stack))
        for name in workers:
            supervisor.start(replace(_spec("worker", stack), name=name))
        async with asyncio.timeout(READY_S):
            while not await stack.is_ready():  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.1)
        yield stack
    shutil.rmtree(folder, ignore_errors=True)


def _spec(name: str, stack: Stack) -> ChildSpec:
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TURNERO_")},
        "TURNERO_DATABASE_URL": stack.database_url,
        "TURNERO_REDIS_URL": stack.redis_url,
        "TURNERO_SECRET_KEY": SECRET,
        "TURNERO_PORT": str(stack.port),
        "TURNERO_API_PROCESSES": str(stack.api_processes),
        "TURNERO_HOLD_TTL_S": str(HOLD_TTL_S),
        "TURNERO_HOLD_LIMIT_PER_ADDRESS": "0",
        # All clients of a run come from one machine.
        "TURNERO_SOCKETS_PER_ADDRESS": "0",
        "TURNERO_SOCKETS_PER_CLIENT": "0",
        "TURNERO_OPERATIONS_PER_CLIENT": "0",
        "TURNERO_LOG_LEVEL": "warning",
        "TURNERO_LOG_FORMAT": "json",
        **_payment_settings(stack),
    }
    return ChildSpec(
        name=name,
        command=(sys.executable, "-P", "-m", "app", name),
        env=env,
        stage=2,
        stop=GENTLY,
        log=stack.log,
        follows_supervisor=True,
    )


def _payment_settings(stack: Stack) -> dict[str, str]:
    if not stack.stripe_url:
        return {}
    return {
        "TURNERO_STRIPE_SECRET_KEY": STRIPE_KEY,
        "TURNERO_STRIPE_PUBLISHABLE_KEY": "pk_test_of_the_stack",
        "TURNERO_STRIPE_WEBHOOK_SECRETS": json.dumps([STRIPE_WEBHOOK_SECRET]),
        "TURNERO_STRIPE_API_BASE": stack.stripe_url,
    }


def _local_stripe(stack: Stack) -> ChildSpec:
    port = free_port()
    stack.stripe_url = f"http://127.0.0.1:{port}"
    hooks = ("--webhook-url", f"{stack.url}/webhooks/stripe", "--webhook-secret", STRIPE_WEBHOOK_SECRET)
    return ChildSpec(
        name="sandbox",
        command=(sys.executable, "-P", "-m", "app", "sandbox", "--port", str(port), "--data", ":memory:", *hooks),
        env=dict(os.environ),
        stage=2,
        stop=GENTLY,
        log=stack.log,
        follows_supervisor=True,
    )


def free_port() -> int:
    """Below the range from which the system gives ports to connections: none of ours may sit on it after a kill."""
    chance = random.SystemRandom()
    while True:
        port = chance.randint(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
