"""Sets of minutes as integers: bit i is minute i of an axis. A month is 43,200 bits; one `&` intersects two of them.

Spans are half-open pairs of minutes. Nothing here knows about dates.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

Span = tuple[int, int]


def ones(count: int) -> int:
    """Bits 0 … count-1 (none for a count below 1)."""
    return (1 << count) - 1 if count > 0 else 0


def merge(spans: Iterable[Span]) -> list[Span]:
    """Sorted, and joined where they overlap or touch. Empty and backward spans vanish."""
    merged: list[Span] = []
    low, high = 0, -1  # the stretch that still grows; none yet
    for start, end in sorted(spans):
        if end <= start:
            continue
        if high < low:
            low, high = start, end
        elif start <= high:
            high = max(high, end)
        else:
            merged.append((low, high))
            low, high = start, end
    if high > low:
        merged.append((low, high))
    return merged


def span_mask(spans: Iterable[Span], length: int) -> int:
    """The minutes of all spans, cut to 0 … length-1.

    Merged spans neither overlap nor touch, so their mask is Σ 2^end - Σ 2^start: two numbers with one bit a span, which
    are written bytewise. Or-ing the spans one by one would build a number of the whole length for each.
    """
    starts = bytearray((length >> 3) + 1)
    ends = bytearray((length >> 3) + 1)
    for start, end in merge(spans):
        if end <= 0 or start >= length:
            continue
        low = max(start, 0)
        high = min(end, length)
        starts[low >> 3] |= 1 << (low & 7)
        ends[high >> 3] |= 1 << (high & 7)
    return int.from_bytes(ends, "little") - int.from_bytes(starts, "little")


@lru_cache(maxsize=256)
def comb(step: int, count: int) -> int:
    """Bits 0, step, 2·step …, `count` of them."""
    return ones(step * count) // ones(step)


def erode(mask: int, minutes: int) -> int:
    """Bit i stays if bits i … i+minutes-1 are all set. Doubles the distance each time: log2(minutes) shifts."""
    have = 1
    while have < minutes:
        step = min(have, minutes - have)
        mask &= mask >> step
        have += step
    return mask


def bits(mask: int) -> list[int]:
    """The numbers of the set bits, rising."""
    text = f"{mask:b}"  # powers of two print in linear time, and the search for ones runs in C
    last = len(text) - 1
    found: list[int] = []
    at = text.find("1")
    while at >= 0:
        found.append(last - at)
        at = text.find("1", at + 1)
    found.reverse()
    return found


def lowest(mask: int) -> int | None:
    """The number of the lowest set bit."""
    return (mask & -mask).bit_length() - 1 if mask else None
