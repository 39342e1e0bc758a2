"""Where a service is given that comes to the customer, and how far its provider comes."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EARTH_KM = 6_371.0088
FURTHEST_KM = 500.0
AREA_ITEMS = 200
"""Most postal codes, and most cities, of one area."""

_POSTAL_CODE = re.compile(r"[0-9A-Z](?:[ -]?[0-9A-Z]){1,11}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """As checked at the edge. Latitude and longitude (degrees) are both there, or neither."""

    street: str
    city: str
    building: str | None = None
    apartment: str | None = None
    postal_code: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceArea:
    """A circle (kilometres round a point, in degrees), postal codes, cities: whatever lies in one of them is within."""

    latitude: float | None = None
    longitude: float | None = None
    radius_km: float | None = None
    postal_codes: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()


def check_postal_code(value: str) -> str:
    """`c1425 abc` → `C1425 ABC`. Raises ValueError."""
    code = value.strip().upper()
    if not _POSTAL_CODE.fullmatch(code):
        raise ValueError("must be 2 to 12 letters and digits, such as C1425 or SW1A 1AA")
    return code


def why_outside(area: ServiceArea, address: Address) -> str | None:
    """What is against this address, for a person; None: it is within."""
    if address.postal_code is not None and _same_code(address.postal_code) in map(_same_code, area.postal_codes):
        return None
    if _same_city(address.city) in map(_same_city, area.cities):
        return None
    if area.latitude is None or area.longitude is None or area.radius_km is None:
        return "is outside the area that this provider comes to"
    if address.latitude is None or address.longitude is None:
        return "needs latitude and longitude: this provider comes to places within a distance"
    away = distance_km((area.latitude, area.longitude), (address.latitude, address.longitude))
    if away <= area.radius_km:
        return None
    return f"is {away:.1f} km away; this provider comes at most {area.radius_km:g} km"


def distance_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """As the crow flies, between two points in degrees (latitude, longitude)."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(lat), math.radians(lon)) for lat, lon in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def _same_code(code: str) -> str:
    return code.replace(" ", "").replace("-", "").upper()


def _same_city(name: str) -> str:
    """Without case and accents."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(sign for sign in plain if not unicodedata.combining(sign)).split())


# ── as they are kept ──────────────────────────────────────────────────────────────────────────────────

_ADDRESS = ("street", "city", "building", "apartment", "postal_code", "country", "latitude", "longitude")


def address_to_json(address: Address) -> dict[str, Any]:
    """What is not given is left out."""
    values = {name: getattr(address, name) for name in _ADDRESS}
    return {name: value for name, value in values.items() if value is not None}


def address_from_json(kept: Mapping[str, Any]) -> Address:
    """As `address_to_json` wrote it."""
    return Address(
        street=kept["street"],
        city=kept["city"],
        building=kept.get("building"),
        apartment=kept.get("apartment"),
        postal_code=kept.get("postal_code"),
        country=kept.get("country"),
        latitude=kept.get("latitude"),
        longitude=kept.get("longitude"),
    )


def area_to_json(area: ServiceArea) -> dict[str, Any]:
    circle = {"latitude": area.latitude, "longitude": area.longitude, "radius_km": area.radius_km}
    return {**circle, "postal_codes": list(area.postal_codes), "cities": list(area.cities)}


def area_from_json(kept: Mapping[str, Any]) -> ServiceArea:
    return ServiceArea(
        kept["latitude"], kept["longitude"], kept["radius_km"], tuple(kept["postal_codes"]), tuple(kept["cities"])
    )
