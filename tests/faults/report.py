"""What a run found, for people and for programs. Nothing in it depends on the machine's folders."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.stack import Victim

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, and the requests that were in flight.

    `recovered_s`: until the part did its work again; None when the next kill did not wait for that.
    `unanswered`: how many of those in flight ended without an answer.
    """

    victim: Victim
    in_flight: frozenset[int]
    recovered_s: float | None
    unanswered: int = 0


@dataclass(slots=True)
class Report:
    seed: int
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    duration_s: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    traffic: dict[str, Any] = field(default_factory=dict)
    delivery: dict[str, Any] = field(default_factory=dict)
    invariants: dict[str, int] = field(default_factory=dict)

    def write(self) -> Path:
        """Both files; the one for programs."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"faults-{self.began_at:%Y-%m-%d}.json"
        path.write_text(json.dumps(self.facts(), indent=2) + "\n")
        path.with_suffix(".md").write_text(self.markdown())
        return path

    def markdown(self) -> str:
        return _markdown(self.facts())

    def facts(self) -> dict[str, Any]:
        return {
            "date": f"{self.began_at:%Y-%m-%dT%H:%M:%SZ}",
            "commit": describe_commit(),
            "seed": self.seed,
            "duration_s": round(self.duration_s, 1),
            "kills": {victim.value: _summary([k for k in self.kills if k.victim is victim]) for victim in Victim},
            "traffic": self.traffic,
            "delivery": self.delivery,
            "broken_invariants": self.invariants,
        }


def describe_commit() -> str:
    """As `git describe` has it; `unknown` outside a checkout."""
    command = ("git", "describe", "--always", "--dirty", "--tags")
    said = subprocess.run(command, cwd=RESULTS.parents[1], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def _summary(kills: Sequence[Kill]) -> dict[str, Any]:
    waits = [kill.recovered_s for kill in kills if kill.recovered_s is not None]
    flying = [len(kill.in_flight) for kill in kills]
    cut = [kill.unanswered for kill in kills]
    return {
        "kills": len(kills),
        "in_flight_least": min(flying, default=0),
        "in_flight_median": statistics.median(flying) if flying else 0,
        "cut_off_least": min(cut, default=0),
        "cut_off_median": statistics.median(cut) if cut else 0,
        "recovered_s_median": round(statistics.median(waits), 2) if waits else None,
        "recovered_s_most": round(max(waits), 2) if waits else None,
    }


def _markdown(facts: dict[str, Any]) -> str:
    lines = [
        "# Killed in the middle of bookings",
        "",
        f"`make faults` on {facts['date'][:10]}, commit `{facts['commit']}`, seed {facts['seed']} "
        f"(`FAULT_SEED={facts['seed']} make faults` draws the same kills), {facts['duration_s']:.0f} s.",
        "",
        "kill -9, each while guests were holding, booking, moving and cancelling; fsync on; the supervisor starts",
        "again what died. Guests repeat a request with the same idempotency key until they have an answer. Cut off are",
        "requests that had no answer because of the kill: their connection broke, or they were told to try again.",
        "",
        "| killed | times | in flight, least | median | of these cut off, least | median | back after, median | most |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in facts["kills"].items():
        lines.append(
            f"| {name} | {one['kills']} | {one['in_flight_least']} | {one['in_flight_median']:g} "
            f"| {one['cut_off_least']} | {one['cut_off_median']:g} "
            f"| {one['recovered_s_median']} s | {one['recovered_s_most']} s |"
        )
    for title, part in (("Guests", facts["traffic"]), ("Subscribers", facts["delivery"])):
        lines += ["", f"## {title}", "", "| what | count |", "|---|---|"]
        lines += [f"| {name.replace('_', ' ')} | {_plain(value)} |" for name, value in part.items()]
    lines += ["", "## What must not be", "", "Asked in SQL afterwards (`tests/faults/verdict.py`).", ""]
    lines += ["| what | found |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in facts["broken_invariants"].items()]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return str(value)
