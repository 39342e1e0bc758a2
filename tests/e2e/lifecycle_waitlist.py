"""Who waits for places or time that others have: they join, are offered what is freed, and take it or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from app.commands.session_hold import PlacesRequest
from app.commands.waitlist import WaitlistRequest
from app.commands.waitlist_offer import offer_places
from app.domain.waitlist import TimeWindow
from app.resolvers import session_hold as places
from app.resolvers import waitlist
from app.resolvers.waitlist import NamedEntry
from tests.e2e.lifecycle_guests import BOOKINGS, GUEST, METHODS, PARTIES, PROVIDERS, SESSIONS, STARTS, Guests
from tests.e2e.lifecycle_invariants import invariant
from tests.e2e.lifecycle_life import Held, Made, operation, pick
from tests.e2e.lifecycle_rows import Row, Rows, instant

MOST_ENTRIES = 3
_LAPSE = text("SELECT lapse_offers(100)")
_END = text("SELECT end_past_entries(100)")
_SESSIONS = text("SELECT sessions_to_offer('00000000-0000-0000-0000-000000000000', 100)")


@dataclass
class Waiting(Guests):
    """Customers who wait."""

    entries: list[NamedEntry] = field(default_factory=list)

    @operation(4, session=SESSIONS, party=PARTIES, full=5)
    async def wait_for_places(self, session: int, party: int, full: int) -> None:
        """Mostly somebody takes all that is left before."""
        chosen = self.session(session)
        row = self.rows.sessions[str(chosen)]
        room = row["capacity"] - row["taken"]
        if full and room > 0:
            rest = PlacesRequest(chosen, room)
            held = self._keep(*await places.hold_places(self.world.context(None), rest, None), None)
            await self._book(held, 0)
            self.intent.is_atomic = False
        request = WaitlistRequest(chosen, None, None, None, None, (), party + 1)
        await self._join(request)

    @operation(session=SESSIONS, party=PARTIES)
    async def wait_for_any_session(self, session: int, party: int) -> None:
        chosen = self.rows.sessions[str(self.session(session))]
        start = instant(chosen["starts_at"])
        windows = (TimeWindow(start, start + timedelta(hours=3)),)
        await self._join(WaitlistRequest(None, UUID(chosen["activity_id"]), None, None, None, windows, party + 1))

    @operation(2, provider=PROVIDERS, start=STARTS, taken=5)
    async def wait_for_time(self, provider: int, start: int, taken: int) -> None:
        """Mostly somebody has it."""
        if taken:
            held = await self._hold(0, provider, start, None)
            self.intent.wanted = None
            await self._book(held, 0)
            self.intent.is_atomic = False
        begins = self.start(start)
        people = None if provider == PROVIDERS - 1 else (self.ground.providers[provider],)
        windows = (TimeWindow(begins, begins + timedelta(minutes=1)),)
        await self._join(WaitlistRequest(None, None, self.ground.services[0], people, None, windows, 1))

    async def _join(self, request: WaitlistRequest) -> None:
        seen = await waitlist.join_waitlist(self.world.context(None), request, GUEST, None)
        self.entries.append(NamedEntry(seen.record.id, seen.token))

    @property
    def offered(self) -> list[NamedEntry]:
        """Those who may take something now."""
        live = {key for key, one in self.rows.waiting.items() if one["status"] == "offered"}
        return [one for one in self.entries if str(one.entry_id) in live]

    def _offer(self, entry: NamedEntry) -> str:
        return str(self.rows.waiting[str(entry.entry_id)]["hold_id"])

    @operation(4, needs="offered", instead="wait_for_places", entry=MOST_ENTRIES, method=METHODS)
    async def accept_offer(self, entry: int, method: int) -> None:
        hold_id = UUID(self._offer(pick(self.offered, entry)))
        token = self.world.services.tokens.hold_token(hold_id, 1)
        await self._book(Held(hold_id, token, None), method)

    @operation(2, needs="offered", instead="wait_for_places", entry=MOST_ENTRIES)
    async def decline_offer(self, entry: int) -> None:
        chosen = pick(self.offered, entry)
        self.intent.holds.add(self._offer(chosen))
        await waitlist.decline_offer(self.world.context(None), chosen, UUID(self._offer(chosen)), None)

    @operation(needs="entries", instead="wait_for_places", entry=MOST_ENTRIES)
    async def leave_line(self, entry: int) -> None:
        chosen = pick(self.entries, entry)
        row = self.rows.waiting.get(str(chosen.entry_id))
        if row is not None and row["hold_id"] is not None:
            self.intent.holds.add(row["hold_id"])
        await waitlist.leave_waitlist(self.world.context(None), chosen, None)

    @operation(needs="entries", instead="wait_for_places", entry=MOST_ENTRIES, priority=3)
    async def prefer(self, entry: int, priority: int) -> None:
        chosen = pick(self.entries, entry)
        await waitlist.set_priority(self.owner, chosen.entry_id, priority, None, None)

    @operation(2)
    async def pass_offers_on(self) -> None:
        """What the jobs do: offers that nobody took lapse, entries end, and what is free is offered."""
        for statement in (_LAPSE, _END):
            async with self.world.workers.within(None) as tx:
                await tx.execute(statement)
        async with self.world.workers.within(None) as tx:
            sessions = list((await tx.execute(_SESSIONS)).scalars())
        for session in sessions:
            async with self.world.workers.within(None) as tx:
                await offer_places(tx, session)
        self.intent.fills = True

    def own_faults(self, before: Rows) -> Iterator[str]:
        """What was freed was offered by whoever freed it, and what came free otherwise by the jobs."""
        for key, session in self.rows.sessions.items():
            old = before.sessions.get(key)
            if self.intent.fills or (old is not None and _has_opened(old, session)):
                yield from free_for_somebody(self.rows, session)

    @property
    def awaited(self) -> list[Made]:
        """Bookings whose places or time somebody waits for."""
        wanted = {one["session_id"] for one in self.rows.waiting.values() if one["status"] == "waiting"}
        timed = any(one["status"] == "waiting" and one["service_id"] for one in self.rows.waiting.values())
        return [
            one
            for one in self.coming
            if self.row_of(one)["session_id"] in wanted - {None}
            or (timed and self.row_of(one)["service_id"] is not None)
        ]

    @operation(6, needs="awaited", instead="wait_for_places", booking=BOOKINGS)
    async def free_what_is_awaited(self, booking: int) -> None:
        """By staff: whatever the notice."""
        await self._cancel(pick(self.awaited, booking), 1)


@invariant
def offers_are_holds(rows: Rows) -> Iterator[str]:
    """An offered entry has an active hold for its party; an accepted one became a booking; the others have none."""
    of_entry: dict[str, list[Row]] = {}
    for hold in rows.holds.values():
        if hold["waitlist_entry_id"] is not None:
            of_entry.setdefault(hold["waitlist_entry_id"], []).append(hold)
    for key, entry in rows.waiting.items():
        active = [one["id"] for one in of_entry.get(key, ()) if one["status"] == "active"]
        due = [entry["hold_id"]] if entry["status"] == "offered" else []
        if active != due:
            yield f"entry {key} is {entry['status']} with {due}, and its holds are {active}"
        if entry["status"] == "accepted" and rows.holds[entry["hold_id"]]["status"] != "consumed":
            yield f"entry {key} is accepted, and its offer is {rows.holds[entry['hold_id']]['status']}"
        if any(one["party_size"] != entry["party_size"] for one in of_entry.get(key, ())):
            yield f"entry {key} waits for {entry['party_size']}, and was offered something else"


@invariant
def nobody_is_passed_over(rows: Rows) -> Iterator[str]:
    """Who has an offer of places has nobody before them who wait, would fit into the same, and could have it."""
    for entry in rows.waiting.values():
        if entry["status"] != "offered" or entry["activity_id"] is None:
            continue
        session = rows.sessions[rows.holds[entry["hold_id"]]["session_id"]]
        for other in rows.waiting.values():
            if _comes_before(other, entry) and other["party_size"] <= entry["party_size"] and _fits(other, session):
                made = instant(rows.holds[entry["hold_id"]]["created_at"])
                is_as_then = (entry["version"], other["version"]) == (2, 1)
                if is_as_then and instant(other["created_at"]) < made:
                    yield f"entry {entry['id']} has an offer of {session['id']} before {other['id']}"


def free_for_somebody(rows: Rows, session: Row) -> Iterator[str]:
    """Free places of it that somebody who waits would fit into."""
    room = session["capacity"] - session["taken"]
    is_sold = session["status"] == "open" and not session["is_legacy"] and instant(session["starts_at"]) > rows.now
    if is_sold and session["id"] not in rows.emptied and rows.activities[session["activity_id"]]:
        for entry in rows.waiting.values():
            if entry["party_size"] <= room and _fits(entry, session):
                yield f"session {session['id']} has {room} places, and {entry['id']} waits for {entry['party_size']}"


def _has_opened(old: Row, new: Row) -> bool:
    """Has it more places than it had, or is it sold again?"""
    has_more = new["capacity"] - new["taken"] > old["capacity"] - old["taken"]
    return has_more or (new["status"], new["is_legacy"]) != (old["status"], old["is_legacy"])


def _comes_before(one: Row, other: Row) -> bool:
    return (-one["priority"], one["arrival"]) < (-other["priority"], other["arrival"])


def _fits(entry: Row, session: Row) -> bool:
    """Does it wait, and for this session?"""
    if entry["status"] != "waiting" or entry["activity_id"] != session["activity_id"]:
        return False
    if entry["session_id"] not in {None, session["id"]}:
        return False
    start, end = instant(session["starts_at"]), instant(session["ends_at"])
    wanted = any(instant(low) <= start < instant(high) for low, high in entry["windows_list"])
    return wanted and not any(instant(low) < end and start < instant(high) for low, high in entry["refused_list"])
