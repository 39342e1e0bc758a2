"""What the tests of the payment gateways share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[stripe.HTTPXClient]:
    """Stripe's pool of connections. Making one reads all certificates, so there is one."""
    # Any: the package does not type how it is closed.
    made: Any = stripe.HTTPXClient(timeout=5)
    yield made
    await made.close_async()
