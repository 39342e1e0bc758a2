"""Composition root of the worker: settings → adapters → the relay, the ticker, the poll and the jobs."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
import uvloop

from app.adapters.calendar_feed import HttpCalendarFetcher
from app.adapters.calendar_reader import ChildCalendarReader
from app.adapters.job_queue import ArqJobQueue
from app.adapters.valkey import Valkey
from app.checkout.scope import Checkout
from app.commands.job import report_alive, report_leaving
from app.commands.waitlist_offer import offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.core.metrics import serve_locally
from app.core.outages import Outage, describe
from app.core.pauses import keep_pauses_short
from app.core.settings import Settings
from app.domain.price_quote import FeeRates
from app.jobs import bulk, calendars, outlook, payouts, precompute, reconciliation, sessions, waitlist
from app.jobs.payments import PaymentJobs
from app.jobs.poll import Poll
from app.jobs.recurring import Ticker
from app.jobs.registry import Handlers, JobServices
from app.jobs.relay import Relay
from app.jobs.runner import JOBS_AT_ONCE, Runner
from app.jobs.sweeps import HANDLERS, RECURRING
from app.ports import Clock, ShiftedClock
from app.processors import make_checkout

log = structlog.get_logger(__name__)

CONTROL_CONNECTIONS = 6
"""For the relay, the poll, the ticker, leases and the heartbeat: work in progress cannot starve them."""
SEEN_EVERY_S = 5.0
GRACE_S = 1.2
"""For jobs that are running when the end is asked for; then they are given back."""
CLOSING_S = 1.0
"""For giving back, goodbyes and closing connections. All together it is over within 3 s."""


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Servers that are away are waited for. Raises RuntimeError without their URLs."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_until_signal(settings))


async def _run_until_signal(settings: Settings) -> None:
    worker = build_worker(settings)
    _show_metrics(settings)
    keep_pauses_short()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await worker.run(stop)


def _show_metrics(settings: Settings) -> None:
    if settings.worker_metrics_port is None:
        return
    try:
        serve_locally(settings.worker_metrics_port)
    except OSError as error:  # another worker's, say: no reason not to work
        log.warning("worker.metrics_not_shown", port=settings.worker_metrics_port, error=describe(error))


def build_worker(settings: Settings, handlers: Handlers | None = None, clock: Clock | None = None) -> Worker:
    """Everything wired, nothing opened yet. Raises RuntimeError when a server's URL is not set."""
    if settings.database_url is None or settings.redis_url is None:
        raise RuntimeError("TURNERO_DATABASE_URL and TURNERO_REDIS_URL must be set. `turnero up` sets them itself.")
    valkey = Valkey(settings.redis_url)
    control = _database(settings, CONTROL_CONNECTIONS)
    services = JobServices(
        database=_database(settings, max(settings.database_pool_size, JOBS_AT_ONCE)),
        event_retention=timedelta(hours=settings.event_retention_h),
        idempotency_retention=timedelta(hours=settings.idempotency_retention_h),
    )
    queue = valkey.job_queue()
    clock = clock or ShiftedClock()
    checkout = make_checkout(settings, services.database, clock)
    handlers = handlers or {
        **_handlers(settings, valkey, clock),
        **PaymentJobs(checkout).handlers(),
        **reconciliation.ReconciliationJobs(checkout).handlers(),
        **bulk.BulkJobs(checkout).handlers(),
    }
    runner = Runner(control, services, handlers, lease=timedelta(seconds=settings.job_lease_s))
    return Worker(
        name=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        control=control,
        services=services,
        valkey=valkey,
        queue=queue,
        runner=runner,
        relay=Relay(control, valkey.event_stream()),
        ticker=Ticker(
            control,
            queue,
            clock,
            (
                *RECURRING,
                *sessions.RECURRING,
                *calendars.RECURRING,
                *outlook.RECURRING,
                *precompute.RECURRING,
                *payouts.RECURRING,
                *reconciliation.RECURRING,
                *bulk.RECURRING,
                *waitlist.RECURRING,
            ),
        ),
        poll=Poll(control, queue, runner),
        checkout=checkout,
    )


def _handlers(settings: Settings, valkey: Valkey, clock: Clock) -> Handlers:
    polling = calendars.CalendarPolling(
        HttpCalendarFetcher(
            allow_private=settings.calendar_allow_private_addresses,
            allow_plain_http=settings.calendar_allow_plain_http,
        ),
        ChildCalendarReader(),
        timedelta(seconds=settings.calendar_poll_interval_s),
    )
    shared = valkey.facts_cache() if settings.facts_cache_shared_s else None
    return {
        **HANDLERS,
        **sessions.HANDLERS,
        **outlook.HANDLERS,
        **waitlist.handlers(platform_fees(settings)),
        **polling.handlers(),
        **precompute.Precomputing(shared, clock).handlers(),
    }


def platform_fees(settings: Settings) -> FeeRates:
    return FeeRates(settings.platform_fee_guest_bps, settings.platform_fee_member_bps)


def _database(settings: Settings, pool_size: int) -> Database:
    assert settings.database_url is not None
    return Database(
        settings.database_url,
        role=SYSTEM_ROLE,
        pool_size=pool_size,
        statement_timeout_ms=settings.database_statement_timeout_ms,
        transaction_timeout_ms=settings.database_transaction_timeout_ms,
        idle_timeout_ms=settings.database_idle_timeout_ms,
        application_name="turnero-worker",
        closing=partial(offer_what_opened, fees=platform_fees(settings)),
    )


@dataclass(slots=True)
class Worker:
    """One worker process."""

    name: str
    control: Database
    services: JobServices
    valkey: Valkey
    queue: ArqJobQueue
    runner: Runner
    relay: Relay
    ticker: Ticker
    poll: Poll
    checkout: Checkout
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        log.info("worker.started", worker=self.name)
        loops: dict[str, Coroutine[Any, Any, None]] = {
            "heartbeat": self._report(),
            "relay": self.relay.run(),
            "calls": self.poll.answer(),
            "poll": self.poll.run(),
            "ticker": self.ticker.run(),
            "money": reconciliation.MoneyGauges(self.checkout).run(),
        }
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
        stopping = asyncio.create_task(stop.wait())
        try:
            # None of them ends by itself. If one did, a process that looks alive and does half its work would be worse
            # than one that ends and is started again.
            done, _ = await asyncio.wait([stopping, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stopping.cancel()
            await self._close()

    async def _report(self) -> None:
        outage = Outage("worker.database")
        while True:
            try:
                async with self.control.transaction() as tx:
                    await report_alive(tx, self.name)
            except Exception as error:
                await asyncio.sleep(outage.failed(error))
                continue
            outage.ok()
            await asyncio.sleep(SEEN_EVERY_S)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S + CLOSING_S):
                await self.runner.stop(GRACE_S)
                await asyncio.wait(self._tasks)
                await self._say_goodbye()
                await self.queue.close()
                await self.valkey.close()
                for gateway in self.checkout.gateways.values():
                    await gateway.close()
                await self.services.database.dispose()
                await self.control.dispose()
        log.info("worker.stopped", worker=self.name)

    async def _say_goodbye(self) -> None:
        try:
            async with self.control.transaction() as tx:
                await report_leaving(tx, self.name)
        except Exception:
            log.debug("worker.goodbye_failed", worker=self.name)
