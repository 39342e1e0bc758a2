"""What happens between requests ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe.background import Background
from app.sandbox.stripe.faults import Faults
from app.sandbox.stripe.store import Store


async def test_it_ends_though_there_is_news_in_the_same_moment() -> None:
    store = Store(":memory:")
    background = Background(store, SandboxSettings(public_url="http://localhost"), Faults())
    running = asyncio.create_task(background.run())
    await asyncio.sleep(0.01)
    background.wake()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await running
    await background.close()
    store.close()
