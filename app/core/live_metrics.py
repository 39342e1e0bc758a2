"""What the process counts about its live streams. Plain numbers, read when somebody asks: a delivery costs a few
microseconds in all, and a counter of the metrics' library would be one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core.metrics import REGISTRY


@dataclass(slots=True)
class LiveCounts:
    """`open_…` go up and down, all others up alone."""

    open_sockets: int = 0
    open_operations: int = 0
    open_broadcasts: int = 0
    executions: int = 0
    deliveries: int = 0
    merged: int = 0
    resyncs: int = 0
    closed_slow: int = 0


LIVE = LiveCounts()

_MEANINGS = {
    "open_sockets": "WebSockets that are open.",
    "open_operations": "Operations that run on them: subscriptions nearly all.",
    "open_broadcasts": "Executions that several of those may share.",
    "executions": "Updates that were executed and encoded, each for all who share it.",
    "deliveries": "Updates that were written to somebody.",
    "merged": "Updates that were joined to an earlier one, since a client had not taken that yet.",
    "resyncs": "Snapshots in the place of what a client was too slow to take.",
    "closed_slow": "Sockets closed since their client took nothing for too long.",
}


class _LiveCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        for name, meaning in _MEANINGS.items():
            family = GaugeMetricFamily if name.startswith("open_") else CounterMetricFamily
            yield family(f"turnero_live_{name}", meaning, value=getattr(LIVE, name))

    def describe(self) -> Iterator[Metric]:
        return self.collect()


REGISTRY.register(_LiveCollector())
