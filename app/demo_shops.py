"""What the demo's shops are: plain data, in the currency's minor units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PASSWORD = "turnero-demo"  # noqa: S105 (printed on purpose: the demo's door stands open)


@dataclass(frozen=True, slots=True)
class DemoService:
    key: str
    name: str
    category: str
    price_minor: int
    minutes: int
    extra: dict[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Columns of the service."""
        return {
            "name": self.name,
            "category": self.category,
            "description": None,
            "subcategory": None,
            "price_minor": self.price_minor,
            "price_type": "fixed",
            "duration_minutes": self.minutes,
            "maximum_duration_minutes": None,
            "buffer_before_minutes": 0,
            "buffer_after_minutes": 0,
            "advance_notice_minutes": 60,
            "maximum_advance_days": 90,
            "cancellation_notice_minutes": 1440,
            "requires_approval": False,
            "max_group_size": 1,
            "tags": [],
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class DemoProvider:
    """`hours` name a week of HOURS; `email`: the account that acts as this provider."""

    name: str
    bio: str
    services: tuple[str, ...]
    hours: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class DemoActivity:
    """`hours` name a week of HOURS; a session begins every `interval` minutes. `led_by`: whose time each takes."""

    name: str
    description: str
    category: str
    price_minor: int
    capacity: int
    minutes: int
    hours: str
    interval: int
    led_by: tuple[str, ...] = ()

    def values(self) -> dict[str, Any]:
        """Columns of the activity."""
        return {
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "price_minor": self.price_minor,
            "capacity": self.capacity,
            "duration_minutes": self.minutes,
            "advance_notice_minutes": 0,
            "maximum_advance_days": 90,
            "session_horizon_days": 30,
            "cancellation_notice_minutes": 1440,
            "max_party_size": None,
            "tags": [],
        }


@dataclass(frozen=True, slots=True)
class DemoVenue:
    name: str
    time_zone: str
    address: str
    latitude: float
    longitude: float
    providers: tuple[DemoProvider, ...]
    activities: tuple[DemoActivity, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoShop:
    slug: str
    name: str
    currency: str
    locale: str
    country: str
    owner_name: str
    owner_email: str
    services: tuple[DemoService, ...]
    venues: tuple[DemoVenue, ...]
    guests: tuple[tuple[str, str], ...]


WORKDAYS = range(5)

# Each week: weekday → (open intervals, breaks), in minutes of the day.
Week = dict[int, tuple[list[tuple[int, int]], list[tuple[int, int]]]]


def _same(days: range | tuple[int, ...], opened: list[tuple[int, int]], breaks: list[tuple[int, int]]) -> Week:
    return dict.fromkeys(days, (opened, breaks))


HOURS: dict[str, Week] = {
    "barber": {
        **_same(range(1, 5), [(9 * 60, 13 * 60), (15 * 60, 20 * 60)], []),
        5: ([(9 * 60, 18 * 60)], [(13 * 60, 14 * 60)]),
    },
    "barber_all_week": _same(range(6), [(10 * 60, 19 * 60)], [(13 * 60, 14 * 60)]),
    "barber_workshop": _same((5,), [(16 * 60, 18 * 60)], []),
    "israel": _same((6, 0, 1, 2, 3), [(9 * 60, 19 * 60)], [(13 * 60, 13 * 60 + 30)]),
    "israel_evenings": _same((6, 0, 1, 2, 3), [(15 * 60, 22 * 60)], []),
    "games": {
        **_same(WORKDAYS, [(16 * 60, 22 * 60)], []),
        **_same((5, 6), [(11 * 60, 23 * 60)], []),
    },
    "late": {
        **_same(WORKDAYS, [(14 * 60, 23 * 60)], []),
        **_same((5, 6), [(11 * 60, 24 * 60 + 60)], []),
    },
}

SHOPS: tuple[DemoShop, ...] = (
    DemoShop(
        slug="barberia-palermo",
        name="Barbería Palermo",
        currency="ARS",
        locale="es-AR",
        country="AR",
        owner_name="Martina Gómez",
        owner_email="martina@barberia-palermo.com",
        services=(
            DemoService("cut", "Corte de pelo", "Pelo", 1_200_000, 30, {"tags": ["corte"]}),
            DemoService("cut_beard", "Corte y barba", "Pelo", 1_800_000, 45, {"tags": ["corte", "barba"]}),
            DemoService("shave", "Afeitado clásico", "Barba", 900_000, 30, {"buffer_after_minutes": 5}),
            DemoService(
                "color", "Color", "Pelo", 2_000_000, 60, {"price_type": "hourly", "maximum_duration_minutes": 180}
            ),
        ),
        venues=(
            DemoVenue(
                "Palermo Soho",
                "America/Argentina/Buenos_Aires",
                "Thames 1600, Buenos Aires",
                -34.5875,
                -58.4300,
                (
                    DemoProvider(
                        "Lucía Fernández", "Cortes con tijera y color.", ("cut", "cut_beard", "color"), "barber"
                    ),
                    DemoProvider(
                        "Diego Romero",
                        "Barbería clásica.",
                        ("cut", "cut_beard", "shave"),
                        "barber_all_week",
                        "diego@barberia-palermo.com",
                    ),
                    DemoProvider("Tomás Álvarez", "Degradados y barba.", ("cut", "cut_beard", "shave"), "barber"),
                ),
                (
                    DemoActivity(
                        "Taller de barba",
                        "Navaja, toalla caliente y aceites, en grupo.",
                        "Talleres",
                        1_500_000,
                        6,
                        120,
                        "barber_workshop",
                        120,
                        ("Diego Romero",),
                    ),
                ),
            ),
        ),
        guests=(
            ("Ana Pérez", "ana.perez@example.com"),
            ("Bruno Díaz", "bruno.diaz@example.com"),
            ("Carla Núñez", "carla.nunez@example.com"),
        ),
    ),
    DemoShop(
        slug="shalva-massage",
        name="Shalva Massage",
        currency="ILS",
        locale="en",
        country="IL",
        owner_name="Noa Levi",
        owner_email="noa@shalva-massage.com",
        services=(
            DemoService(
                "swedish", "Swedish massage", "Massage", 32_000, 60, {"buffer_after_minutes": 15, "tags": ["relax"]}
            ),
            DemoService("deep", "Deep tissue massage", "Massage", 45_000, 90, {"buffer_after_minutes": 15}),
            DemoService(
                "home",
                "Massage at home",
                "At home",
                55_000,
                60,
                {"buffer_before_minutes": 30, "buffer_after_minutes": 30, "requires_approval": True},
            ),
        ),
        venues=(
            DemoVenue(
                "Rothschild studio",
                "Asia/Jerusalem",
                "Rothschild Blvd 22, Tel Aviv",
                32.0636,
                34.7717,
                (
                    DemoProvider("Yael Cohen", "Swedish and deep tissue.", ("swedish", "deep"), "israel"),
                    DemoProvider(
                        "Omer Katz", "Sports massage.", ("swedish", "deep", "home"), "israel", "omer@shalva-massage.com"
                    ),
                ),
            ),
            DemoVenue(
                "Jaffa studio",
                "Asia/Jerusalem",
                "Yefet St 40, Jaffa",
                32.0504,
                34.7522,
                (DemoProvider("Maya Haddad", "Evenings by the sea.", ("swedish", "home"), "israel_evenings"),),
            ),
        ),
        guests=(("Dana Mizrahi", "dana.mizrahi@example.com"), ("Eitan Bar", "eitan.bar@example.com")),
    ),
    DemoShop(
        slug="escape-hudson",
        name="Escape Hudson",
        currency="USD",
        locale="en",
        country="US",
        owner_name="Grace Miller",
        owner_email="grace@escape-hudson.com",
        services=(
            DemoService(
                "game",
                "Private game",
                "Escape room",
                18_000,
                60,
                {"buffer_after_minutes": 30, "max_group_size": 8, "cancellation_notice_minutes": 2880},
            ),
            DemoService(
                "party",
                "Birthday game",
                "Escape room",
                32_000,
                120,
                {"buffer_after_minutes": 30, "max_group_size": 12, "advance_notice_minutes": 2880},
            ),
        ),
        venues=(
            DemoVenue(
                "Hudson Street",
                "America/New_York",
                "345 Hudson St, New York",
                40.7280,
                -74.0078,
                (
                    DemoProvider("The Vault", "A bank at midnight.", ("game", "party"), "late"),
                    DemoProvider("Lost on the Subway", "The last train never came.", ("game",), "late"),
                ),
                (
                    DemoActivity(
                        "Open team: The Lighthouse",
                        "Come alone or with friends, and play with whoever else is there.",
                        "Escape room",
                        3_500,
                        8,
                        60,
                        "games",
                        90,
                    ),
                ),
            ),
        ),
        guests=(("Sam Carter", "sam.carter@example.com"), ("Alex Kim", "alex.kim@example.com")),
    ),
)
