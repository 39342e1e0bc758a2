"""How often the interpreter looks for what nobody refers to any more, in cycles.

Its own settings look after each 700 new objects, and every few seconds through all there is: a pause of 0.1 s and more,
once the product is loaded, in which nobody is answered.
"""

from __future__ import annotations

import gc

_NEW_OBJECTS = 50_000
"""A look through so many takes one or two milliseconds."""


def look_seldom() -> None:
    """Before the product is imported: nearly all that imports make stays to the end."""
    gc.set_threshold(_NEW_OBJECTS, 20, 20)


def set_aside() -> None:
    """Once all is loaded: what there is by now is not looked through again."""
    look_seldom()
    gc.collect()
    gc.freeze()


def leave_uncollected() -> None:
    """Before the end: else the interpreter goes through all there is once more on its way out, for most of a second."""
    gc.freeze()
