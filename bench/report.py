"""The table, and the files that are committed. Nothing in them depends on the machine's folders."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.faults.report import RESULTS, describe_commit


@dataclass(frozen=True, slots=True)
class Line:
    """`ours` and `peer` in `unit`; `peer` is what the figure is held against: a limit, or the bare work.

    `at_least` and `at_most`: what was promised of the ratio.
    """

    what: str
    unit: str
    ours: float
    against: str
    peer: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def is_missed(self) -> bool:
        too_low = self.at_least is not None and self.ratio < self.at_least
        return too_low or (self.at_most is not None and self.ratio > self.at_most)

    @property
    def promised(self) -> str:
        """Of the ratio; empty where nothing was."""
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What PostgreSQL did for a statement: EXPLAIN (ANALYZE, BUFFERS)."""

    title: str
    text: str


Findings = Sequence[Line | Plan]


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    processor: str
    memory_gb: int
    system: str
    python: str
    postgres: str
    load_before: float
    """Of the minute before: anything much above 0 is other people's work, and makes every figure worse."""

    @classmethod
    def here(cls, postgres: str, load_before: float) -> Machine:
        memory_gb = round(psutil.virtual_memory().total / 2**30)
        system, python = platform.system(), platform.python_version()
        return cls(os.cpu_count() or 0, _processor(), memory_gb, system, python, postgres, load_before)

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gb} GB, {self.system}, Python {self.python}, "
            f"PostgreSQL {self.postgres}"
        )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def percentile(samples: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def tell(what: str) -> None:
    """How far the run is."""
    print(what, file=sys.stderr, flush=True)


def table(lines: Iterable[Line]) -> str:
    """Markdown."""
    rows = ["| what | ours | against | that | ratio | promised |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {one.what} | {_with_unit(one.ours, one)} | {one.against} | {_with_unit(one.peer, one)} "
        f"| {_number(one.ratio)} | {one.promised}{', missed' if one.is_missed else ''} |"
        for one in lines
    ]
    return "\n".join(rows)


def write(lines: Sequence[Line], plans: Sequence[Plan], machine: Machine, duration_s: float) -> Path:
    """The table for people and for programs, and the plans; the table's file."""
    now = datetime.now(UTC)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"bench-{now:%Y-%m-%d}.md"
    plans_path = path.with_stem(f"{path.stem}-plans")
    commit = describe_commit()
    facts = {
        "date": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "commit": commit,
        "duration_s": round(duration_s, 1),
        "machine": asdict(machine),
        "results": [{**asdict(one), "ratio": round(one.ratio, 3), "is_missed": one.is_missed} for one in lines],
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    when = f"`make bench` on {now:%Y-%m-%d}, commit `{commit}`"
    path.write_text(
        f"# Benchmarks\n\n{when}: {machine}, fsync on; {duration_s:.0f} s.\n"
        "Clients, API, worker, PostgreSQL and Valkey share the machine; one run. Ratios travel, figures do not.\n"
        f"Load of the machine before it began: {machine.load_before}. What PostgreSQL does: [{plans_path.name}]"
        f"({plans_path.name}).\n\n{table(lines)}\n"
    )
    parts = [f"# Plans\n\n{when}: EXPLAIN (ANALYZE, BUFFERS) of the statements that were measured."]
    parts += [f"## {one.title}\n\n```\n{one.text.rstrip()}\n```" for one in plans]
    plans_path.write_text("\n\n".join(parts) + "\n")
    return path


def _with_unit(value: float, line: Line) -> str:
    return f"{_number(value)} {line.unit}".rstrip()


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
