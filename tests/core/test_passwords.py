"""Passwords: what is checked, how many at once, and for how long."""

from __future__ import annotations

import asyncio
import time

import pytest
from argon2 import PasswordHasher

from app.core import passwords
from app.core.passwords import Passwords, Verdict
from app.domain.errors import Unavailable

WEAK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


async def test_right_and_wrong() -> None:
    own = Passwords(WEAK)
    kept = await own.hash("correct horse")
    assert "correct" not in kept
    assert await own.verify(kept, "correct horse") == Verdict(True)
    for wrong in ("correct horsE", "", "x" * 10_000, "\ud800"):
        assert await own.verify(kept, wrong) == Verdict(False)
    assert await own.verify("no hash at all", "correct horse") == Verdict(False)


async def test_nobody_has_no_password() -> None:
    own = Passwords(WEAK)
    for guess in ("", "guess", "\ud800", "x" * 201):
        assert await own.verify(None, guess) == Verdict(False)
    # What stands for "too long" in the check is no password of anyone either.
    assert await own.verify(await own.hash(""), "x" * 201) == Verdict(False)


async def test_older_hashes_are_renewed() -> None:
    old = WEAK.hash("correct horse")
    own = Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    verdict = await own.verify(old, "correct horse")
    assert verdict.matches
    assert verdict.renewed is not None
    assert await own.verify(verdict.renewed, "correct horse") == Verdict(True)
    assert await own.verify(old, "wrong") == Verdict(False)


async def test_an_unknown_name_takes_as_long_as_a_wrong_password() -> None:
    own = Passwords(PasswordHasher(time_cost=4, memory_cost=16_384, parallelism=1))
    kept = await own.hash("correct horse")

    async def taken(known: str | None) -> float:
        start = time.perf_counter()
        await own.verify(known, "wrong password")
        return time.perf_counter() - start

    # In turns, so that what else the machine does is in the way of both. Without the work it would be a thousandth.
    unknown, wrong = zip(*[(await taken(None), await taken(kept)) for _ in range(5)], strict=True)
    assert 0.25 < min(unknown) / min(wrong) < 4


async def test_the_event_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Passwords(PasswordHasher(time_cost=8, memory_cost=16_384, parallelism=1))
    work = asyncio.gather(*(own.hash("correct horse") for _ in range(4)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 4
    monkeypatch.setattr(passwords, "QUEUE_LENGTH", 2)
    results = await asyncio.gather(*(own.hash("correct horse") for _ in range(4)), return_exceptions=True)
    assert [isinstance(result, Unavailable) for result in results] == [False, False, True, True]
    assert isinstance(await own.hash("correct horse"), str)
