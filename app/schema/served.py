"""Who is served, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import strawberry

from app.core.contact import normalize_phone
from app.domain.errors import FieldErrors
from app.domain.places import check_country
from app.domain.service_area import (
    AREA_ITEMS,
    FURTHEST_KM,
    address_from_json,
    area_from_json,
    area_to_json,
    check_postal_code,
)
from app.domain.service_area import (
    Address as PlainAddress,
)
from app.domain.service_area import (
    ServiceArea as PlainArea,
)
from app.domain.text import clean_name

NAME_LENGTH = 200
STREET_LENGTH = 200
CITY_LENGTH = 100
PART_LENGTH = 50


@strawberry.type(description="Whoever is served, if not the customer.")
class Recipient:
    name: str
    phone: str | None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Recipient:
        return cls(name=kept["name"], phone=kept.get("phone"))


@strawberry.type(description="Where a service is given that comes to the customer.")
class Address:
    street: str
    city: str
    building: str | None
    apartment: str | None
    postal_code: str | None
    country: str | None
    latitude: float | None
    longitude: float | None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Address:
        return cls(**asdict(address_from_json(kept)))


@strawberry.type(
    description="Where a provider comes to, for services at the customer's: whatever lies in the circle, has one of "
    "the postal codes, or is in one of the cities."
)
class ServiceArea:
    latitude: float | None
    longitude: float | None
    radius_km: float | None
    postal_codes: list[str]
    cities: list[str]

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ServiceArea:
        area = area_from_json(kept)
        return cls(
            latitude=area.latitude,
            longitude=area.longitude,
            radius_km=area.radius_km,
            postal_codes=list(area.postal_codes),
            cities=list(area.cities),
        )


@strawberry.input(description="Whoever is served, if not the customer.")
class RecipientInput:
    name: str
    phone: str | None = strawberry.field(
        default=None, description="International, such as +54 11 4321-5678; or as dialled in the address's country."
    )

    def read(self, faults: FieldErrors, country: str | None, path: str = "input.recipient") -> dict[str, str | None]:
        name = faults.read(f"{path}.name", _line(NAME_LENGTH), self.name)
        phone = faults.read(f"{path}.phone", lambda value: normalize_phone(value, country), self.phone)
        return {"name": name, "phone": phone}


@strawberry.input(description="Where to go, for a service that comes to the customer.")
class AddressInput:
    street: str
    city: str
    building: str | None = None
    apartment: str | None = None
    postal_code: str | None = None
    country: str | None = strawberry.field(default=None, description="Two capital letters (ISO 3166), such as AR.")
    latitude: float | None = strawberry.field(default=None, description="Degrees; together with longitude.")
    longitude: float | None = strawberry.field(default=None, description="Degrees; together with latitude.")

    def read(self, faults: FieldErrors, path: str = "input.address") -> PlainAddress:
        """To be used only where there are no faults."""
        _check_point(faults, path, self.latitude, self.longitude)
        return PlainAddress(
            street=faults.read(f"{path}.street", _line(STREET_LENGTH), self.street) or "",
            city=faults.read(f"{path}.city", _line(CITY_LENGTH), self.city) or "",
            building=faults.read(f"{path}.building", _line(PART_LENGTH), self.building),
            apartment=faults.read(f"{path}.apartment", _line(PART_LENGTH), self.apartment),
            postal_code=faults.read(f"{path}.postalCode", check_postal_code, self.postal_code),
            country=faults.read(f"{path}.country", check_country, self.country),
            latitude=self.latitude,
            longitude=self.longitude,
        )


@strawberry.input(
    description="A circle (latitude, longitude and radiusKm, up to 500), postal codes, cities, or several of these; at "
    "most 200 of each."
)
class ServiceAreaInput:
    latitude: float | None = None
    longitude: float | None = None
    radius_km: float | None = None
    postal_codes: list[str] = strawberry.field(default_factory=list)
    cities: list[str] = strawberry.field(default_factory=list)

    def read(self) -> dict[str, Any]:
        """As it is kept. Raises InvalidInput."""
        faults, path = FieldErrors(), "input.serviceArea"
        _check_point(faults, path, self.latitude, self.longitude)
        radius = self.radius_km
        if (radius is None) != (self.latitude is None):
            faults.add(f"{path}.radiusKm", "goes together with latitude and longitude")
        elif radius is not None and not (math.isfinite(radius) and 0 < radius <= FURTHEST_KM):
            faults.add(f"{path}.radiusKm", f"must be more than 0 and at most {FURTHEST_KM:g} kilometres")
        area = PlainArea(
            self.latitude,
            self.longitude,
            radius,
            _items(faults, f"{path}.postalCodes", check_postal_code, self.postal_codes),
            _items(faults, f"{path}.cities", _line(CITY_LENGTH), self.cities),
        )
        if radius is None and self.latitude is None and not self.postal_codes and not self.cities:
            faults.add(path, "must have a circle, postal codes or cities; null: anywhere")
        faults.raise_any()
        return area_to_json(area)


def read_service_area(values: dict[str, Any]) -> dict[str, Any]:
    """Values of an input of a provider, with the area as it is kept. Raises InvalidInput."""
    area = values.get("service_area")
    return values if area is None else {**values, "service_area": area.read()}


def _items(faults: FieldErrors, path: str, check: Any, values: list[str]) -> tuple[str, ...]:
    if len(values) > AREA_ITEMS:
        faults.add(path, f"must have at most {AREA_ITEMS} items")
        return ()
    read = [faults.read(f"{path}.{index}", check, value) for index, value in enumerate(values)]
    return tuple(dict.fromkeys(value for value in read if value is not None))


def _check_point(faults: FieldErrors, path: str, latitude: float | None, longitude: float | None) -> None:
    if (latitude is None) != (longitude is None):
        missing = "latitude" if latitude is None else "longitude"
        faults.add(f"{path}.{missing}", "is needed: latitude and longitude go together")
    for name, value, limit in (("latitude", latitude, 90), ("longitude", longitude, 180)):
        if value is not None and not (math.isfinite(value) and -limit <= value <= limit):
            faults.add(f"{path}.{name}", f"must be a number of degrees from -{limit} to {limit}")


def _line(maximum: int) -> Any:
    return lambda value: clean_name(value, maximum)
