"""Taken time as the hot read path has it says the same as the claims one by one."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from app.domain.busy import Busy, BusyKind
from app.domain.instants import at_minute
from app.domain.masks import span_mask
from app.domain.packed_busy import PackedBusy

NOW = at_minute(1_000)


@pytest.mark.parametrize("seed", range(300))
def test_edges_cover_what_their_spans_do(seed: int) -> None:
    """Time off may overlap anything, and lie inside it."""
    rng = Random(seed)
    before, after, length = rng.randint(0, 10), rng.randint(0, 10), rng.randint(1, 120)
    spans = [(low, low + rng.randint(0, 40)) for low in (rng.randint(-40, 140) for _ in range(rng.randint(0, 8)))]
    packed = PackedBusy([low for low, _ in spans], [high for _, high in spans])
    wanted = span_mask([(low - before, high + after) for low, high in spans], length)
    assert packed.mask(before, after, length, NOW) == wanted


def test_holds_count_until_they_lapse() -> None:
    hold = Busy(at_minute(20), at_minute(30), BusyKind.HELD, expires_at=NOW)
    packed = PackedBusy([5], [10], (hold,))
    assert packed.mask(0, 0, 60, NOW) == span_mask([(5, 10)], 60)
    assert packed.mask(0, 0, 60, NOW - timedelta(seconds=1)) == span_mask([(5, 10), (20, 30)], 60)
    assert len(packed) == 2
    assert hold in packed
