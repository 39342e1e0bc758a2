"""The slot engine against brute force, at length: 50,000 random worlds, and every change of clocks of every IANA zone.

PROPERTY_EXAMPLES  how many worlds (50,000)
"""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.domain.test_slots_property import PROPERTIES, Check, name_of, run
from tests.domain.zone_changes import all_changes, check_around

EXAMPLES = 50_000


@pytest.mark.faults
@pytest.mark.parametrize("check", PROPERTIES, ids=name_of)
def test_engine_at_length(check: Check) -> None:
    wanted = int(os.environ.get("PROPERTY_EXAMPLES", EXAMPLES))
    examples = max(1, -(-wanted * PROPERTIES[check] // sum(PROPERTIES.values())))
    ran = run(check, examples, settings(derandomize=False, suppress_health_check=list(HealthCheck)))
    sys.stdout.write(f"{name_of(check)}: {ran} worlds\n")
    assert ran >= examples


@pytest.mark.faults
def test_every_change_of_clocks() -> None:
    checked = 0
    for name, change in all_changes():
        check_around(name, change)
        checked += 1
    sys.stdout.write(f"{checked} changes of clocks\n")
    assert checked > 5_000
