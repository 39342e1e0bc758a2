"""Countries and languages."""

from __future__ import annotations

from importlib import resources

import pytest

from app.domain.places import check_country, check_locale


def test_the_countries_are_those_of_the_zone_database() -> None:
    table = (resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    codes = {line.split("\t")[0] for line in table.splitlines() if not line.startswith("#")}
    accepted = {a + b for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if _is_country(a + b)}
    assert accepted == codes


def _is_country(code: str) -> bool:
    try:
        return check_country(code) == code
    except ValueError:
        return False


@pytest.mark.parametrize("tag", ["en", "es-AR", "he-IL", "zh-Hant-TW", "es-419", "yue"])
def test_locales(tag: str) -> None:
    assert check_locale(tag) == tag


@pytest.mark.parametrize(
    "tag", ["", "e", "EN", "es_AR", "es-ar", "es-XX", "english", "en-", "en-US-x", "en\n", "\uff45\uff4e"]
)
def test_locales_that_are_none(tag: str) -> None:
    with pytest.raises(ValueError, match="language tag"):
        check_locale(tag)
