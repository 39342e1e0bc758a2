"""The table, and the files that are committed. Nothing in them depends on the machine's folders."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.faults.report import RESULTS, describe_commit


@dataclass(frozen=True, slots=True)
class Line:
    """`ours` and `peer` in `unit`; `peer` is what the figure is held against: a limit, or the bare work."""

    what: str
    unit: str
    ours: float
    against: str
    peer: float

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    memory_gb: int
    system: str
    python: str
    postgres: str
    load_before: float
    """Of the minute before: anything much above 0 is other people's work, and makes every figure worse."""

    @classmethod
    def here(cls, postgres: str, load_before: float) -> Machine:
        memory_gb = round(psutil.virtual_memory().total / 2**30)
        return cls(os.cpu_count() or 0, memory_gb, platform.system(), platform.python_version(), postgres, load_before)


def percentile(samples: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def table(lines: Sequence[Line]) -> str:
    """Markdown."""
    rows = ["| what | ours | against | that | ratio |", "|---|---|---|---|---|"]
    rows += [
        f"| {one.what} | {_number(one.ours)} {one.unit} | {one.against} | {_number(one.peer)} {one.unit} "
        f"| {one.ratio:.2f} |"
        for one in lines
    ]
    return "\n".join(rows)


def write(lines: Sequence[Line], machine: Machine, duration_s: float) -> Path:
    """Both files; the one for programs."""
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"bench-{now:%Y-%m-%d}.json"
    facts = {
        "date": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "commit": describe_commit(),
        "duration_s": round(duration_s, 1),
        "machine": asdict(machine),
        "results": [{**asdict(one), "ratio": round(one.ratio, 3)} for one in lines],
    }
    path.write_text(json.dumps(facts, indent=2) + "\n")
    text = (
        f"# Benchmarks\n\n`make bench` on {now:%Y-%m-%d}, commit `{facts['commit']}`: {machine.cores} cores, "
        f"{machine.memory_gb} GB, {machine.system}, Python {machine.python}, PostgreSQL {machine.postgres}, fsync on.\n"
        "Clients, API, worker, PostgreSQL and Valkey share the machine; one run. Ratios travel, figures do not.\n"
        f"Load of the machine before it began: {machine.load_before}.\n\n"
        f"{table(lines)}\n"
    )
    path.with_suffix(".md").write_text(text)
    return path


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
