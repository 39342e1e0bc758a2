"""Any calendar at all is refused, or read as sorted and disjoint times: with the product's own budget of steps."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.adapters.test_calendar_parse import run_anything

EXAMPLES = 2_000


@pytest.mark.faults
def test_anything_at_length() -> None:
    run_anything(settings(max_examples=EXAMPLES, derandomize=False, suppress_health_check=list(HealthCheck)))
