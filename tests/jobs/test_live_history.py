"""What a live source remembers is bounded, whoever comes back with what cursors."""

from __future__ import annotations

from app.resolvers.live_history import OPENED_KEPT, OPENINGS_KEPT, History


def test_what_those_who_came_back_were_told_is_kept_within_bounds() -> None:
    history: History[int] = History(0)
    long = list(range(OPENED_KEPT // 4))
    for number in range(20):
        history.opened(f"long {number}", long, 0)
    assert [history.missed(f"long {number}") is not None for number in range(20)] == [False] * 16 + [True] * 4
    history.opened("long 19", long, 0)
    assert history.missed("long 16") == long, "one that is there again takes no more room"
    history.opened("longest", list(range(OPENED_KEPT * 2)), 0)
    assert history.missed("long 19") is None
    assert history.missed("longest") is not None, "those who wait for it find it"
    for number in range(OPENINGS_KEPT + 5):
        history.opened(f"short {number}", [number], 0)
    assert history.missed("longest") is None
    assert [history.missed(f"short {number}") is not None for number in (0, 4, 5, 68)] == [False, False, True, True]
    assert history.missed("short 5") == [5]
    history.told("next", 99)
    assert history.missed("short 5") == [5, 99]
    assert history.missed("next") == []
