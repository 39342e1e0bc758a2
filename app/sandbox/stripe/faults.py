"""Faults on demand: what goes wrong with requests and webhooks, how often, and with which chance.

Draws come from the rule's seed and the number of the request that it saw, so a run can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

Json = dict[str, Any]


class FaultKind(StrEnum):
    DELAY = "delay"
    """The request waits `seconds` before anything is done; its idempotency key is in use meanwhile."""
    ERROR = "error"
    """Answered with `status` before anything is done."""
    RESET = "reset"
    """The connection is reset before anything is done."""
    LATE_ANSWER = "late_answer"
    """Done at once, answered after `seconds`."""
    LOST_ANSWER = "lost_answer"
    """Done; the connection is closed after `seconds`, without an answer."""
    LOST_TO_ERROR = "lost_to_error"
    """Done, and answered with `status`; the same idempotency key later gets the true answer."""
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    """Delivered `copies` more times."""
    WEBHOOK_LATE = "webhook_late"
    """Delivered after `seconds`."""
    WEBHOOK_SHUFFLE = "webhook_shuffle"
    """Each delivery after its own share of `seconds`."""
    WEBHOOK_LOST = "webhook_lost"
    """The first attempt does not leave; the next comes by the usual schedule."""


BEFORE = frozenset({FaultKind.DELAY, FaultKind.ERROR, FaultKind.RESET})
AFTER = frozenset({FaultKind.LATE_ANSWER, FaultKind.LOST_ANSWER, FaultKind.LOST_TO_ERROR})


@dataclass(slots=True)
class Fault:
    """One rule. `times` None: until it is removed; `skip`: this many matches pass first."""

    id: int
    kind: FaultKind
    match: str = "*"
    """Glob over `POST /v1/refunds` for requests, over the type for webhooks."""
    times: int | None = None
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    status: int = 500
    copies: int = 1
    seen: int = field(default=0)
    hit: int = field(default=0)

    def strikes(self, subject: str) -> bool:
        """Whether it does so now; counts."""
        if not fnmatchcase(subject, self.match):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hit >= self.times):
            return False
        if self.share() >= self.probability:
            return False
        self.hit += 1
        return True

    def share(self, salt: str = "") -> float:
        """A number from 0 to below 1, the same for the same seed and count."""
        drawn = blake2b(f"{self.seed}:{self.seen}:{salt}".encode(), digest_size=7).digest()
        return int.from_bytes(drawn, "big") / 2**56


class Faults:
    """The rules in force. They end with the process."""

    def __init__(self) -> None:
        self._rules: dict[int, Fault] = {}
        self._last_id = 0

    def add(self, values: Json) -> Fault:
        """A rule from JSON. ValueError with a text for a person."""
        unknown = set(values) - {"kind", "match", *_NUMBERS}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        try:
            kind = FaultKind(values.get("kind", ""))
        except ValueError:
            raise ValueError(f"kind must be one of {', '.join(FaultKind)}") from None
        match = values.get("match", "*")
        if not isinstance(match, str) or len(match) > 200:
            raise ValueError("match must be a text of at most 200 characters")
        numbers = {name: _number(name, values[name]) for name in _NUMBERS if values.get(name) is not None}
        self._last_id += 1
        rule = Fault(id=self._last_id, kind=kind, match=match, **numbers)
        self._rules[rule.id] = rule
        return rule

    def remove(self, rule_id: int | None = None) -> int:
        """Remove one rule, or all; how many there were."""
        if rule_id is None:
            count = len(self._rules)
            self._rules.clear()
            return count
        return 1 if self._rules.pop(rule_id, None) else 0

    def listed(self) -> list[Json]:
        return [asdict(rule) for rule in self._rules.values()]

    def striking(self, kinds: frozenset[FaultKind], subject: str) -> Iterator[Fault]:
        """The rules of these kinds that strike now, in the order in which they were made."""
        for rule in [*self._rules.values()]:
            if rule.kind in kinds and rule.strikes(subject):
                yield rule

    def plan_delivery(self, event_type: str) -> DeliveryPlan:
        """What happens to the delivery of an event."""
        plan = DeliveryPlan()
        for rule in self.striking(_WEBHOOKS, event_type):
            if rule.kind is FaultKind.WEBHOOK_DUPLICATE:
                plan.copies += rule.copies
            elif rule.kind is FaultKind.WEBHOOK_LATE:
                plan.delay_s += rule.seconds
            elif rule.kind is FaultKind.WEBHOOK_SHUFFLE:
                plan.shuffle = rule
            else:
                plan.is_lost = True
        return plan


@dataclass(slots=True)
class DeliveryPlan:
    """How one event reaches one endpoint."""

    copies: int = 1
    delay_s: float = 0.0
    shuffle: Fault | None = None
    is_lost: bool = False

    def delay_of(self, copy: int) -> float:
        """Seconds before this copy leaves."""
        return self.delay_s + (self.shuffle.share(str(copy)) * self.shuffle.seconds if self.shuffle else 0.0)


_WEBHOOKS = frozenset(
    {FaultKind.WEBHOOK_DUPLICATE, FaultKind.WEBHOOK_LATE, FaultKind.WEBHOOK_SHUFFLE, FaultKind.WEBHOOK_LOST}
)
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "times": (int, 1, 10**9),
    "skip": (int, 0, 10**9),
    "probability": (float, 0, 1),
    "seed": (int, -(2**53), 2**53),
    "seconds": (float, 0, 86_400),
    "status": (int, 400, 599),
    "copies": (int, 1, 1_000),
}


def _number(name: str, value: object) -> Any:
    kind, least, most = _NUMBERS[name]
    is_number = isinstance(value, int | float) if kind is float else isinstance(value, int)
    if not isinstance(value, int | float) or isinstance(value, bool) or not is_number or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}")
    return kind(value)
