"""The pictures of docs/availability.md are what the engine offers today."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.mark.parametrize("name", ["day", "room"])
def test_a_picture_is_drawn_by_the_engine_as_it_is(name: str) -> None:
    draw = runpy.run_path(str(PICTURES / "draw.py"))
    assert (PICTURES / f"{name}.svg").read_text("utf-8") == draw[name]()
