"""Codes as they are typed, slots that are the same, areas and distances."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.domain.booking_lookup import is_same_email, read_code
from app.domain.own_hold import AskedService, HeldService, HeldSlot, is_same_slot
from app.domain.service_area import Address, ServiceArea, check_postal_code, distance_km, why_outside

ONE, TWO, ANN, BEN = (UUID(int=number) for number in range(1, 5))
START = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize("typed", ["ABCD2345", "abcd2345", " abcd-2345 ", "a b c d 2 3 4 5", "ABCD\u20112345"])
def test_codes_are_read_as_people_type_them(typed: str) -> None:
    assert read_code(typed) == "ABCD2345"


@pytest.mark.parametrize("typed", ["", "ABCD234", "ABCD23456", "ABCD234O", "ABCD2341", "\u0410BCD2345", "A" * 10_000])
def test_what_is_no_code(typed: str) -> None:
    assert read_code(typed) is None


def test_no_booking_has_no_email() -> None:
    assert is_same_email("a@b.c", "a@b.c")
    assert not is_same_email("a@b.c", "a@b.d")
    assert not is_same_email(None, "")


def _held(*services: HeldService, party: int = 1) -> HeldSlot:
    return HeldSlot(START, party, services or (HeldService(ONE, ANN, 30),))


@pytest.mark.parametrize(
    ("asked", "is_same"),
    [
        (AskedService(ONE, None, None), True),
        (AskedService(ONE, ANN, 30), True),
        (AskedService(ONE, BEN, None), False),
        (AskedService(TWO, None, None), False),
        (AskedService(ONE, None, 45), False),
    ],
)
def test_the_same_slot(asked: AskedService, is_same: bool) -> None:
    assert is_same_slot(_held(), [asked], START, 1, 30) is is_same
    assert not is_same_slot(_held(), [asked], START, 2, 30)
    assert not is_same_slot(_held(), [asked, asked], START, 1, 60)


def test_one_held_for_longer_is_not_the_usual_one() -> None:
    longer = _held(HeldService(ONE, ANN, 60))
    assert not is_same_slot(longer, [AskedService(ONE, None, None)], START, 1, 30)
    assert is_same_slot(longer, [AskedService(ONE, None, 60)], START, 1, 30)


def test_a_visit_in_another_order_is_another() -> None:
    visit = _held(HeldService(ONE, ANN, 30), HeldService(TWO, BEN, 20))
    asked = [AskedService(ONE, None, None), AskedService(TWO, BEN, None)]
    assert is_same_slot(visit, asked, START, 1, 50)
    assert not is_same_slot(visit, asked[::-1], START, 1, 50)


def test_distances() -> None:
    assert distance_km((0, 0), (0, 0)) == 0
    assert distance_km((0, 179.9), (0, -179.9)) == pytest.approx(22.24, abs=0.01)  # across the date line
    assert distance_km((90, 0), (90, 135)) == pytest.approx(0, abs=1e-6)
    assert distance_km((0, 0), (0, 180)) == pytest.approx(20_015.1, abs=0.1)
    assert distance_km((-34.6037, -58.3816), (-32.8895, -68.8458)) == pytest.approx(985, abs=5)


def test_why_an_address_is_outside() -> None:
    circle = ServiceArea(0, 179.9, 25)
    assert why_outside(circle, Address("A", "B", latitude=0, longitude=-179.9)) is None
    far = why_outside(circle, Address("A", "B", latitude=1, longitude=-179.9))
    assert far is not None
    assert "km away; this provider comes at most 25 km" in far
    unknown = why_outside(circle, Address("A", "B"))
    assert unknown is not None
    assert "needs latitude and longitude" in unknown
    named = ServiceArea(cities=("São Paulo",), postal_codes=("SW1A 1AA",))
    assert why_outside(named, Address("A", "SAO  PAULO")) is None
    assert why_outside(named, Address("A", "B", postal_code="sw1a1aa")) is None
    assert why_outside(named, Address("A", "B", postal_code="SW1A 1AB")) == (
        "is outside the area that this provider comes to"
    )


def test_postal_codes() -> None:
    assert check_postal_code(" c1414 abc") == "C1414 ABC"
    for wrong in ("", "1", "A" * 13, "1--2", "\u0661\u0662", "1\n2"):
        with pytest.raises(ValueError, match="letters and digits"):
            check_postal_code(wrong)
