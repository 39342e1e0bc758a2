"""Chance that spreads load: what began or failed together comes back apart. It hides nothing."""

from __future__ import annotations

from random import SystemRandom

_CHANCE = SystemRandom()


def between(least: float, most: float) -> float:
    """Any number of them is as likely as any other."""
    return _CHANCE.uniform(least, most)
