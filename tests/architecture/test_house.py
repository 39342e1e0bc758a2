"""Rules of the house that no linter knows. Each failure says what to do."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 400
FORBIDDEN_NAMES = ("utils", "helpers", "manager", "managers", "misc", "common")


def sources() -> list[Path]:
    return sorted((ROOT / "app").rglob("*.py"))


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources()
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE
    }
    assert not long, f"split these by use case (booking_reschedule.py): {long}"


def test_names_explain_themselves() -> None:
    vague = [str(path.relative_to(ROOT)) for path in sources() if path.stem in FORBIDDEN_NAMES]
    assert not vague, f"name these after what they do: {vague}"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.name not in {"__init__.py", "__main__.py"} and not path.read_text("utf-8").startswith('"""')
    ]
    assert not silent, f"begin these with a docstring: {silent}"


def test_the_decisions_are_numbered_without_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
