"""Sets of minutes as integers: bit i is minute i of an axis. A month is 43,200 bits; one `&` intersects two of them.

Spans are half-open pairs of minutes. Nothing here knows about dates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import sub

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

    Of spans that do not overlap the mask is Σ 2^end - Σ 2^start: two numbers with one bit a span, which are written
    bytewise. Or-ing the spans one by one would build a number of the whole length for each.
    """
    starts = bytearray((length >> 3) + 1)
    ends = bytearray((length >> 3) + 1)
    reach = 0  # all before is done
    for low, high in sorted(spans):
        # No min and max here: the calls would cost as much as the rest.
        start = low if low > reach else reach
        end = high if high < length else length
        if start < end:
            starts[start >> 3] |= 1 << (start & 7)
            ends[end >> 3] |= 1 << (end & 7)
            reach = end
    return int.from_bytes(ends, "little") - int.from_bytes(starts, "little")


def edges_mask(lows: Iterable[int], highs: Iterable[int], before: int, after: int, length: int) -> int:
    """As `span_mask`, of spans that begin `before` earlier and end `after` later; both are rising, as many of each.

    Which low belongs to which high makes no difference to what they cover together.
    """
    starts = bytearray((length >> 3) + 1)
    ends = bytearray((length >> 3) + 1)
    reach, last = 0, length - after
    for low, high in zip(lows, highs, strict=True):
        start = low - before if low > reach + before else reach
        end = high + after if high < last else length
        if start < end:
            starts[start >> 3] |= 1 << (start & 7)
            ends[end >> 3] |= 1 << (end & 7)
            reach = end
    return int.from_bytes(ends, "little") - int.from_bytes(starts, "little")


@lru_cache(maxsize=256)
def comb(step: int, count: int) -> int:
    """Bits 0, step, 2·step …, `count` of them."""
    return ones(step * count) // ones(step)


def placed_mask(parts: Iterable[tuple[int, int]], length: int) -> int:
    """All parts or-ed, each shifted to its offset (which may be negative), cut to 0 … length-1.

    Written bytewise: shifting and or-ing numbers of the whole length would cost that much for each part.
    """
    written = bytearray((length >> 3) + 1)
    for offset, bits_there in parts:
        shift = offset & 7
        start = (offset - shift) >> 3
        part = bits_there << shift
        if start < 0:
            part >>= -start << 3
            start = 0
        end = start + ((part.bit_length() + 7) >> 3)
        if end > len(written):
            end = max(start, len(written))
            part &= ones((end - start) << 3)
        there = int.from_bytes(written[start:end], "little") | part
        written[start:end] = there.to_bytes(end - start, "little")
    return int.from_bytes(written, "little") & ones(length)


def erode(mask: int, minutes: int) -> int:
    """Bit i stays if bits i … i+minutes-1 are all set. Doubles the distance each time: log2(minutes) shifts."""
    have = 1
    while have < minutes:
        step = min(have, minutes - have)
        mask &= mask >> step
        have += step
    return mask


def bits(mask: int, first: int = 0) -> list[int]:
    """The numbers of the set bits, rising; bit 0 has the number `first`."""
    # Powers of two print in linear time. The rest are loops in C: how long is each stretch that ends with a one?
    stretches = f"{mask:b}".replace("1", "1 ").split(" ")
    stretches.pop()
    found = list(accumulate(map(len, stretches), sub, initial=first + mask.bit_length()))
    found.reverse()
    found.pop()
    return found


def lowest(mask: int) -> int | None:
    """The number of the lowest set bit."""
    return (mask & -mask).bit_length() - 1 if mask else None


def around(mask: int, place: int, count: int) -> int:
    """The set bits next to a place: the first `count` from it on, and the last `count` below it."""
    place = max(place, 0)
    above, below = mask >> place << place, mask & ones(place)
    found = 0
    for _ in range(count):
        found |= above & -above
        above &= above - 1 if above else 0
        if below:
            last = 1 << below.bit_length() - 1
            found |= last
            below ^= last
    return found


def counted(masks: Iterable[int]) -> list[int]:
    """How many of the masks have each bit, as a binary number standing upright: element k holds the digits of 2^k."""
    digits: list[int] = []
    for mask in masks:
        carry = mask
        for place, digit in enumerate(digits):
            if not carry:
                break
            digits[place], carry = digit ^ carry, digit & carry
        if carry:
            digits.append(carry)
    return digits


def at_least(digits: Sequence[int], count: int) -> int:
    """The bits whose number in `digits` (as of `counted`) is at least `count` (1 or more)."""
    if count.bit_length() > len(digits):
        return 0
    above = 0
    equal = -1  # all bits
    for place in range(len(digits) - 1, -1, -1):
        if count >> place & 1:
            equal &= digits[place]
        else:
            above |= equal & digits[place]
            equal &= ~digits[place]
    return above | equal
