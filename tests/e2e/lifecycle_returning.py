"""Guests who go back and choose again in their session: their hold is given again, or goes for what they hold now."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.commands.hold import HoldRequest
from app.commands.session_hold import PlacesRequest
from app.domain.errors import NotFound
from app.models import Hold
from app.resolvers import guest_session, hold
from app.resolvers import session_hold as places
from tests.e2e.lifecycle_guests import PARTIES, PROVIDERS, SESSIONS, STARTS, Guests, is_near
from tests.e2e.lifecycle_life import operation
from tests.e2e.lifecycle_promises import Wanted
from tests.e2e.lifecycle_rows import Row, instant


@dataclass
class Returning(Guests):
    """One guest with one session at a time."""

    session_token: str | None = None
    visited: set[str] = field(default_factory=set)
    """What was held in the session."""

    @operation(3, provider=PROVIDERS, start=STARTS)
    async def look_around(self, provider: int, start: int) -> None:
        """At the plain service, at another time or with somebody else."""
        token = await self._token()
        chosen, starts_at = (*self.ground.providers, None)[provider], self.start(start)
        self.intent.wanted = self._wanted(0, chosen, starts_at)
        self.intent.own |= {one["id"] for one in self._mine() if is_near(one, starts_at)}
        request = HoldRequest(self.ground.services[0], chosen, starts_at, None, 1)
        same = [one for one in self._mine() if one["session_id"] is None and instant(one["starts_at"]) == starts_at]
        made = await hold.hold_slot(self.world.context(None), request, None, token)
        assert chosen in {None, made[0].provider_id}
        self._chose(made, same)

    @operation(3, session=SESSIONS, party=PARTIES)
    async def look_for_places(self, session: int, party: int) -> None:
        """With fewer or more people."""
        token = await self._token()
        chosen = self.session(session)
        mine = [one for one in self._mine() if one["session_id"] == str(chosen)]
        self.intent.wanted = Wanted(session=str(chosen), party=party + 1)
        self.intent.own |= {one["id"] for one in mine}
        request = PlacesRequest(chosen, party + 1)
        found, secret = await places.hold_places(self.world.context(None), request, None, token)
        assert (found.session_id, found.party_size, found.is_private) == (chosen, party + 1, False)
        self._chose((found, secret), [one for one in mine if one["party_size"] == party + 1])

    def _chose(self, made: tuple[Hold, str], same: list[Row]) -> None:
        found, token = made
        known = self.rows.holds.get(str(found.id))
        assert not self.is_checked or known is None or known in same, "what is held already is something else"
        self._keep(found, token, None)
        self.visited.add(str(found.id))

    def _mine(self) -> list[Row]:
        return [
            one
            for one in self.rows.holds.values()
            if one["id"] in self.visited and one["status"] == "active" and instant(one["expires_at"]) > self.world.now()
        ]

    async def _token(self) -> str:
        """Of the session, or of the next one where it is over."""
        context = self.world.context(None)
        try:
            if self.session_token is not None:
                await guest_session.read_guest_session(context, self.session_token)
        except NotFound:
            self.session_token = None
        if self.session_token is None:
            _, self.session_token = await guest_session.start_guest_session(context, self.ground.organization, None)
            self.visited.clear()
        return self.session_token
