"""`providers` page by page, in every order, while the catalogue changes and cursors are forged."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.city import OBELISK, SEARCH, City
from tests.factories import make, make_provider, make_service

EVERY_ORDER = [
    ("NAME_ASC", {}),
    ("NAME_DESC", {}),
    ("CREATED_ASC", {}),
    ("RATING_DESC", {}),
    ("PRICE_ASC", {}),
    ("PRICE_DESC", {}),
    ("PRICE_ASC", {"category": "movimiento"}),
    ("DISTANCE_ASC", {"near": {**OBELISK, "radiusKm": 20_038}}),
    ("RELEVANCE", {"text": "a"}),
]


@pytest.mark.parametrize(("sort", "wanted"), EVERY_ORDER)
@pytest.mark.parametrize("size", [1, 3])
async def test_pages_meet_in_both_directions(city: City, sort: str, wanted: dict[str, Any], size: int) -> None:
    whole = await city.names(sort, **wanted)
    assert len(whole) >= 2
    forward: list[str] = []
    cursor = None
    while True:
        page = await city.page(sort, wanted, first=size, after=cursor)
        forward += [edge["node"]["name"].split()[0] for edge in page["edges"]]
        assert len(forward) <= len(whole), forward
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert forward == whole
    backward: list[str] = []
    cursor = None
    while True:
        page = await city.page(sort, wanted, last=size, before=cursor)
        backward = [edge["node"]["name"].split()[0] for edge in page["edges"]] + backward
        assert len(backward) <= len(whole), backward
        cursor = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert backward == whole


async def test_cursors_stand_while_rows_come_and_go(changing: City) -> None:
    owner, venue = changing.catalogue.owner.client, changing.catalogue.venue["id"]
    page = await changing.page(first=2)
    after = page["pageInfo"]["endCursor"]
    await make_provider(owner, venue, name="a")  # before the place: not seen again
    await make_provider(owner, venue, name="e")  # behind it: seen
    await make(owner, "deactivateProvider", providerId=changing.providers["d"])  # the very row of the cursor
    page = await changing.page(first=2, after=after)
    assert [edge["node"]["name"] for edge in page["edges"]] == ["e", "f"]
    await make(owner, "updateProvider", providerId=changing.providers["h"], name="c")  # moved before it
    page = await changing.page(first=2, after=page["pageInfo"]["endCursor"])
    assert page["edges"] == []
    assert page["pageInfo"]["hasNextPage"] is False


async def test_a_name_that_folds_to_more_than_it_was(changing: City) -> None:
    """One character of it is eighteen when folded: too long for an index or a cursor, if it were kept whole."""
    await make(changing.catalogue.owner.client, "updateProvider", providerId=changing.providers["b"], name="ﷺ" * 200)
    page = await changing.page("NAME_DESC", first=1)
    assert page["edges"][0]["node"]["id"] == changing.providers["b"]
    page = await changing.page("NAME_DESC", first=5, after=page["pageInfo"]["endCursor"])
    assert [edge["node"]["name"] for edge in page["edges"]] == ["h", "f", "d"]
    assert len(await changing.names(text="ﷺ")) == 1


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [
        ("NAME_DESC", {}),
        ("PRICE_ASC", {"category": "pelo"}),
        ("NAME_ASC", {"category": "pelo"}),
        ("NAME_ASC", {"isActive": True}),
        ("NAME_ASC", {"near": {**OBELISK, "radiusKm": 9}}),
        ("RATING_DESC", {}),
        ("RELEVANCE", {"text": "a"}),
    ],
)
async def test_a_cursor_is_of_one_filter_and_order(city: City, sort: str, wanted: dict[str, Any]) -> None:
    cursor = (await city.page(first=2))["pageInfo"]["endCursor"]
    for argument in ("after", "before"):
        variables = {"id": city.catalogue.id, "sort": sort, "filter": wanted, argument: cursor}
        (error,) = (await city.client.raw(SEARCH, variables))["errors"]
        message = "is no cursor of this list with this filter in this order"
        assert error["extensions"]["violations"] == [{"path": argument, "message": message}]


NOBODY = "01890000-0000-7000-8000-000000000000"
VALUES: tuple[Any, ...] = (
    *(0, -1, 1.5, True, None, [], {}, "", "a", "a\0b", "\ud800", "'; --", "%s", "x" * 2_000, "🦊"),
    *(2**31, -(2**31) - 1, 2**53, 2**63 - 1, 2**63, 2**200, -(10**300), 1e308, -1e308),
    *("2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "infinity", "NaN"),
)


@pytest.mark.parametrize(("sort", "wanted"), EVERY_ORDER)
async def test_cursors_that_were_tampered_with(city: City, sort: str, wanted: dict[str, Any]) -> None:
    """They are refused, or are places like any other."""
    own = (await city.page(sort, wanted, first=1))["pageInfo"]["endCursor"]
    order, genuine, row_id = json.loads(base64.urlsafe_b64decode(own + "=" * (-len(own) % 4)))
    forgeries: list[Any] = [[order, value, row_id] for value in VALUES]
    forgeries += [[order, genuine], [order, genuine, "x"], [genuine, order, row_id], {}, [order, genuine, None]]
    taken = 0
    for forged in [*forgeries, [order, genuine, NOBODY]]:
        cursor = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
        variables = {"id": city.catalogue.id, "sort": sort, "filter": wanted, "after": cursor}
        answer = await city.client.raw(SEARCH.replace("totalCount", ""), variables)
        if answer.get("errors"):
            assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT", (forged, answer)
        else:
            taken += 1
    assert 1 <= taken < len(VALUES)


async def test_what_is_switched_off_is_for_staff(changing: City) -> None:
    """A service that is not offered any more finds nobody for guests, by no way, and has no price."""
    catalogue, owner = changing.catalogue, changing.catalogue.owner.client
    cut = catalogue.service["id"]
    other = (await make_service(owner, catalogue.id, name="Afeitado", category="Barba", priceMinor=5))["id"]
    await make(owner, "setOffer", providerId=changing.providers["h"], serviceId=other)
    await make(owner, "setOffer", providerId=changing.providers["f"], serviceId=cut, priceMinor=1)
    staff = City(catalogue, owner)
    ways: tuple[dict[str, Any], ...] = (
        {"text": "corte"},
        {"serviceId": cut},
        {"category": "pelo"},
        {"price": {"maximumMinor": 1}},
    )
    assert (await changing.names("PRICE_ASC"))[:2] == ["f", "h"]
    for is_on, switch in ((True, "deactivateService"), (False, "reactivateService")):
        for wanted in ways:
            for sort in ("NAME_ASC", "PRICE_ASC"):
                assert await changing.names(sort, **wanted) == (["f"] if is_on else []), wanted
                assert await staff.names(sort, isActive=True, **wanted) == ["f"], wanted
        await make(owner, switch, serviceId=cut)
        assert (await changing.names("PRICE_ASC"))[0] == ("h" if is_on else "f")
    await make(owner, "removeOffer", providerId=changing.providers["f"], serviceId=cut)
    assert (await changing.names("PRICE_ASC"))[0] == "h"
    assert (await changing.names("PRICE_DESC"))[0] == "h"
    for wanted in ways:
        assert await changing.names(**wanted) == await staff.names(isActive=True, **wanted) == []


async def test_every_change_of_the_catalogue_is_found_at_once(changing: City) -> None:
    owner, provider = changing.catalogue.owner.client, changing.providers["b"]
    near: dict[str, Any] = {"near": {**OBELISK, "radiusKm": 1}}
    service = changing.catalogue.service["id"]
    assert await changing.names(text="carpintero") == []
    await make(owner, "updateProvider", providerId=provider, bio="Carpintero", languages=["fr"])
    assert await changing.names(text="carpintero") == ["b"]
    assert await changing.names(languages=["fr"]) == ["b"]
    await make(owner, "setOffer", providerId=provider, serviceId=service)
    assert (await changing.names("PRICE_ASC"))[0] == "b"
    assert await changing.names(price={"maximumMinor": 149_999}) == []
    await make(owner, "updateService", serviceId=service, priceMinor=10, name="Cepillado")
    assert await changing.names(price={"maximumMinor": 10}) == ["b"]
    assert await changing.names(text="cepillado") == ["b"]
    assert await changing.names(text="corte") == []
    await make(owner, "removeOffer", providerId=provider, serviceId=service)
    assert await changing.names(text="cepillado") == []
    assert await changing.names(price={"maximumMinor": 10}) == []
    assert await changing.names(**near) == []
    venue = changing.catalogue.venue["id"]
    await make(owner, "updateVenue", venueId=venue, **OBELISK)
    assert await changing.names(**near) == ["b", "d", "f", "h"]
    await make(owner, "deactivateVenue", venueId=venue)
    assert await changing.names(**near) == []
    await make(owner, "reactivateVenue", venueId=venue)
    assert await changing.names(**near) == ["b", "d", "f", "h"]
