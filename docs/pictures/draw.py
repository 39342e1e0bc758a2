"""Draws the pictures of docs/availability.md with the engine itself: `.venv/bin/python docs/pictures/draw.py`.

Each picture is a day in UTC; what it calls free is what the engine offers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from html import escape
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import Busy, BusyKind
from app.domain.schedule import ScheduleVersion, weekly_hours
from app.domain.slots import Need, ProviderPlan, SlotRules, Window, slots

HERE = Path(__file__).parent
DAY = datetime(2026, 12, 1, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=1))
RULES = SlotRules(DAY - timedelta(days=7))
FIRST_HOUR, LAST_HOUR = 8, 20
LEFT, WIDTH, ROW, BAR = 150, 720, 34, 18
COLOURS = {
    "open": "#cfe8cf",
    "break": "#f3e3b3",
    "booked": "#d9705f",
    "held": "#e8a85c",
    "buffer": "#f0c4bb",
    "away": "#a9a9c9",
    "free": "#2f7d4f",
}


@dataclass(frozen=True)
class Bar:
    """From and to in hours of the day; `text` stands inside."""

    start: float
    end: float
    colour: str
    text: str = ""


@dataclass(frozen=True)
class Row:
    """Bars, and starts as ticks."""

    name: str
    bars: Sequence[Bar] = ()
    starts: Sequence[datetime] = ()


def _x(hour: float) -> float:
    return LEFT + (hour - FIRST_HOUR) * WIDTH / (LAST_HOUR - FIRST_HOUR)


def _hour(instant: datetime) -> float:
    return (instant - DAY) / timedelta(hours=1)


def svg(title: str, rows: Sequence[Row]) -> str:
    """The picture as text."""
    height = 40 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    parts += [
        f'<line x1="{_x(hour):.1f}" y1="24" x2="{_x(hour):.1f}" y2="{height - 8}" stroke="#e4e4e4"/>'
        f'<text x="{_x(hour):.1f}" y="16" text-anchor="middle" fill="#666">{hour}:00</text>'
        for hour in range(FIRST_HOUR, LAST_HOUR + 1)
    ]
    for number, row in enumerate(rows):
        top = 30 + ROW * number
        parts.append(f'<text x="{LEFT - 10}" y="{top + 13}" text-anchor="end" fill="#222">{escape(row.name)}</text>')
        for bar in row.bars:
            width = _x(bar.end) - _x(bar.start)
            parts.append(
                f'<rect x="{_x(bar.start):.1f}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2" '
                f'fill="{COLOURS[bar.colour]}"/>'
            )
            if bar.text:
                middle = _x((bar.start + bar.end) / 2)
                parts.append(f'<text x="{middle:.1f}" y="{top + 13}" text-anchor="middle">{escape(bar.text)}</text>')
        parts += [
            f'<rect x="{_x(_hour(start)) - 1.5:.1f}" y="{top}" width="3" height="{BAR}" fill="{COLOURS["free"]}"/>'
            for start in row.starts
        ]
    return "\n".join([*parts, "</svg>\n"])


def _claim(kind: BusyKind, start: float, end: float, before: float = 0, after: float = 0) -> Busy:
    def at(hour: float) -> datetime:
        return DAY + timedelta(hours=hour)

    expires_at = DAY if kind is BusyKind.HELD else None
    return Busy(at(start - before), at(end + after), kind, at(start), at(end), expires_at)


def _plan(number: int, *, needs: tuple[Need, ...] = (), minutes: int = 60, buffer_after: int = 15) -> ProviderPlan:
    week = tuple(weekly_hours(day, [(540, 780), (840, 1080)], [(660, 690)]) for day in range(7))
    version = ScheduleVersion(UUID(int=1), date(2026, 1, 1), None, 15, week)
    return ProviderPlan(UUID(int=number), ZoneInfo("UTC"), (version,), minutes, 0, buffer_after, 1_000, needs=needs)


HOURS = (
    Bar(9, 11, "open", "open"),
    Bar(11, 11.5, "break", "break"),
    Bar(11.5, 13, "open"),
    Bar(14, 18, "open", "open"),
)


def day() -> str:
    plan = _plan(1)
    claims = [
        _claim(BusyKind.BOOKED, 9.5, 10.25, after=0.25),
        _claim(BusyKind.HELD, 14, 15, after=0.25),
        _claim(BusyKind.TIME_OFF, 17, 18.5),
    ]
    free = [slot.starts_at for slot in slots([plan], {plan.provider_id: claims}, WINDOW, RULES)]
    taken = (
        Bar(9.5, 10.25, "booked", "booked"),
        Bar(10.25, 10.5, "buffer"),
        Bar(14, 15, "held", "held"),
        Bar(15, 15.25, "buffer"),
        Bar(17, 18.5, "away", "time off"),
    )
    return svg(
        "A provider's day and its free starts",
        [Row("hours", HOURS), Row("taken, with buffers", taken), Row("free starts, 60 min", starts=free)],
    )


def room() -> str:
    unit = UUID(int=9)
    plans = [_plan(number, needs=(Need(1, (unit,)),), buffer_after=0) for number in (1, 2)]
    busy = {
        plans[0].provider_id: [_claim(BusyKind.BOOKED, 9, 11)],
        plans[1].provider_id: [_claim(BusyKind.BOOKED, 14, 16)],
        unit: [_claim(BusyKind.BOOKED, 11.5, 12.5), _claim(BusyKind.BOOKED, 16, 17)],
    }
    alone = [_plan(number, buffer_after=0) for number in (1, 2)]
    free = [[slot.starts_at for slot in slots([plan], busy, WINDOW, RULES)] for plan in alone]
    anyone = [slot.starts_at for slot in slots(plans, busy, WINDOW, RULES)]
    return svg(
        "Two people share one room",
        [
            Row("Ana is taken", (Bar(9, 11, "booked"),)),
            Row("Ana could start", starts=free[0]),
            Row("Bruno is taken", (Bar(14, 16, "booked"),)),
            Row("Bruno could start", starts=free[1]),
            Row("the room is taken", (Bar(11.5, 12.5, "booked"), Bar(16, 17, "booked"))),
            Row("anyone, in the room", starts=anyone),
        ],
    )


def main() -> None:
    for name, picture in (("day", day()), ("room", room())):
        (HERE / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
