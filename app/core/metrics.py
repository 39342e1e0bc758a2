"""What the process counts about itself. Labels have few values, known beforehand: no ids, no names, no addresses."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

FACTS_LOOKUPS = Counter(
    "turnero_facts_lookups",
    "What a cache knew of the facts behind a search: hit (still so in PostgreSQL), stale (parts were read anew), miss,"
    " error (the cache did not answer, or with something else).",
    ["layer", "outcome"],
    registry=REGISTRY,
)
FACTS_SECONDS = Histogram(
    "turnero_facts_statement_seconds",
    "The one statement of a search, with the wait for a connection: unchanged, changed in part, or read whole.",
    ["answer"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
    registry=REGISTRY,
)
FACTS_BYTES = Gauge("turnero_facts_cache_bytes", "About what the cache in this process takes.", registry=REGISTRY)
PRECOMPUTED = Counter(
    "turnero_facts_precomputed",
    "Facts of busy services and people looked at beforehand: written, unchanged, too_large, failed.",
    ["outcome"],
    registry=REGISTRY,
)
MONEY_DIFFERENCES = Gauge(
    "turnero_money_differences",
    "Open differences between our books and a processor's, or within our own (books), by kind.",
    ["processor", "kind"],
    registry=REGISTRY,
)
MONEY_CHECKED_AGE = Gauge(
    "turnero_money_checked_age_seconds",
    "Since all was last compared with a processor, or within our own books. In workers alone.",
    ["processor"],
    registry=REGISTRY,
)


def exposition() -> bytes:
    """All of it, in Prometheus's text format."""
    return generate_latest(REGISTRY)


def serve_locally(port: int) -> None:
    """All of it on this machine alone, from a thread that ends with the process. Raises OSError: the port is taken."""
    start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
