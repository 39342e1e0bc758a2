"""Random lives of bookings against the real database; after each step nothing is overbooked, lost or unexplained.

See `lifecycle_machine.py`. A run is repeated with the seed that it printed: TURNERO_SEED=7 TURNERO_EXAMPLES=100.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.conftest import Databases
from tests.e2e.lifecycle_machine import run_lives

SEED = 5
EXAMPLES = 200
HALVES = 2
"""So that two processes share the work."""


@pytest.mark.parametrize("half", range(HALVES))
def test_random_lives(half: int, databases: Databases, redis_url: str) -> None:
    chosen = int(os.environ.get("TURNERO_SEED", SEED)) + half
    examples = int(os.environ.get("TURNERO_EXAMPLES", EXAMPLES // HALVES))
    sys.stdout.write(f"TURNERO_SEED={chosen} TURNERO_EXAMPLES={examples}\n")
    outcome = run_lives(examples, chosen, databases.create(), redis_url)
    sys.stdout.write(f"{outcome.report}\n")
