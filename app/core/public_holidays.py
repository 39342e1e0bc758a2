"""Public holidays by country and region, as days that are closed. The library has them; nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache, lru_cache

import holidays

from app.domain.schedule import DayException, ExceptionKind


def public_holidays(
    country: str, region: str | None, from_date: date, to_date: date, locale: str | None = None
) -> tuple[DayException, ...]:
    """One for each holiday between two dates, both included, in order; `reason` is its name.

    `country` and `region` are codes as `check_country` and `check_region` accept them. Names are in the language of
    `locale` (a BCP 47 tag) where the library has it, else in the country's own. A region that the library knows no
    more has the holidays of its country, such a country none.
    """
    return _between(country, region, from_date, to_date, locale)


@lru_cache(maxsize=1_024)  # the same for all providers of a venue, and the same value in each of their plans
def _between(
    country: str, region: str | None, from_date: date, to_date: date, locale: str | None
) -> tuple[DayException, ...]:
    days = (day for year in range(from_date.year, to_date.year + 1) for day in _of_year(country, region, year, locale))
    return tuple(day for day in days if from_date <= day.from_date <= to_date)


@lru_cache(maxsize=1_024)
def _of_year(country: str, region: str | None, year: int, locale: str | None) -> tuple[DayException, ...]:
    if country not in _countries():
        return ()
    found = holidays.country_holidays(
        country,
        subdiv=region if region in _regions(country).values() else None,
        years=year,
        expand=False,
        language=_language(country, locale),
    )
    return tuple(DayException(day, day, ExceptionKind.HOLIDAY, reason=name) for day, name in sorted(found.items()))


@lru_cache(maxsize=1_024)
def _language(country: str, locale: str | None) -> str | None:
    """The library's name (`pt_BR`) of the language that comes nearest. None: that country has one alone.

    It is always named where there are several: unnamed, it would follow the environment of the process.
    """
    entity = holidays.country_holidays(country)
    wanted = (locale or "").replace("-", "_")
    spoken = wanted.partition("_")[0]
    exact = [known for known in entity.supported_languages if known in {wanted, spoken}]
    near = [known for known in entity.supported_languages if known.partition("_")[0] == spoken]
    return next(iter((*sorted(exact, reverse=True), *near)), entity.default_language)


# ── what there is ─────────────────────────────────────────────────────────────────────────────────────


@cache
def _countries() -> frozenset[str]:
    return frozenset(holidays.list_supported_countries(include_aliases=False))


@cache
def _regions(country: str) -> Mapping[str, str]:
    """Codes of a country's regions by themselves and by the names people know, in small letters."""
    entity = holidays.country_holidays(country)
    names = {name.casefold(): code for name, code in entity.subdivisions_aliases.items()}
    return {**names, **{code.casefold(): code for code in entity.subdivisions}}


def check_country(code: str) -> str:
    """An ISO 3166-1 alpha-2 code whose holidays are known. Raises ValueError."""
    if code not in _countries():
        raise ValueError("must be an ISO 3166 country code of two capital letters whose holidays are known, such as AR")
    return code


def check_region(country: str, region: str) -> str:
    """The code of a country's region, given as that code or by name. Raises ValueError naming the accepted codes."""
    known = _regions(country)
    code = known.get(region.casefold())
    if code is None:
        codes = ", ".join(sorted(set(known.values())))
        raise ValueError(
            f"must be one of {codes} for {country}" if codes else f"must be left out: {country} has no regions to tell"
        )
    return code
