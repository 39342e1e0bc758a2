"""What Python does by itself now and then, while everybody waits: kept short in processes that serve for long.

Its own settings look for garbage after each 700 new objects, and again and again through all there is.
"""

from __future__ import annotations

import gc
import sys

NEW_OBJECTS = 20_000
"""Of so many that refer to others it looks through at once, in about a millisecond."""
COLLECTIONS_BETWEEN_FULL_ONES = 50
"""Smaller collections before all is looked through once more. With thousands of connections that takes a fifth of a
second; when hardly anything is left behind it comes every few minutes, and in a storm of connections every second."""
THREAD_TURN_S = 0.0005
"""How long a thread that computes goes on while the event loop wants to. Each time the loop wakes up it waits for that:
a step of several answers, each of them quick, would wait several times."""


def look_seldom() -> None:
    """Before the product is imported: of what imports make, nearly all stays to the end."""
    _, middle, _ = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, middle, COLLECTIONS_BETWEEN_FULL_ONES)


def keep_pauses_short() -> None:
    """Once, when everything is loaded: what is there now stays, and is never looked through for garbage again."""
    gc.collect()
    gc.freeze()
    look_seldom()
    sys.setswitchinterval(THREAD_TURN_S)


def leave_uncollected() -> None:
    """Before the end: else Python goes through all there is once more on its way out, for most of a second."""
    gc.freeze()
