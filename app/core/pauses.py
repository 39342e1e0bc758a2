"""What Python does by itself now and then, while everybody waits: kept short in processes that serve for long."""

from __future__ import annotations

import gc
import sys

COLLECTIONS_BETWEEN_FULL_ONES = 50
"""Smaller collections before all is looked through once more. With thousands of connections that takes a fifth of a
second; when hardly anything is left behind it comes every few minutes, and in a storm of connections every second."""
THREAD_TURN_S = 0.0005
"""How long a thread that computes goes on while the event loop wants to. Each time the loop wakes up it waits for that:
a step of several answers, each of them quick, would wait several times."""


def keep_pauses_short() -> None:
    """Once, when everything is loaded: what is there now stays, and is never looked through for garbage again."""
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, COLLECTIONS_BETWEEN_FULL_ONES)
    sys.setswitchinterval(THREAD_TURN_S)
