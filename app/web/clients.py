"""Who has how many sockets and streams open here, and their end when the server goes down.

A socket or stream counts for its network address as soon as it is open, and for its client as soon as that is known.
See docs/adr/0029: what a client is, and why an address has a bound of its own.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from urllib.parse import parse_qsl

from app.domain.errors import BadInput, RateLimited, Unavailable

RETRY_S = 5
"""When one who has too many open may try again. Nobody knows: it depends on what the client closes."""
ENDS_PER_SECOND = 2_000
"""Clients that come back to the other processes in each second while this one goes down."""
_OWN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

ClientKey = tuple[str, str]


class Restarting(Unavailable):
    """This process takes nothing new. Another does, or soon will."""

    def __init__(self) -> None:
        super().__init__("The server restarts. Try again in a moment.")


def is_own_id(text: str) -> bool:
    """May a client call itself so?"""
    return _OWN_ID.fullmatch(text) is not None


def read_own_id(headers: Mapping[str, str], query_string: bytes) -> str | None:
    """What a client that opens a stream calls itself: a header, or a parameter where headers cannot be had.

    Raises BadInput.
    """
    given = headers.get("x-client-id")
    if given is None:
        given = dict(parse_qsl(query_string.decode("latin-1"))).get("clientId")
    if given is not None and not is_own_id(given):
        raise BadInput.at("clientId", "must have 1 to 64 letters, digits, - or _")
    return given


def too_many_operations(limits: ClientLimits) -> RateLimited:
    most = limits.operations_per_client
    return RateLimited(f"At most {most} operations at once for one client. Complete some of them first.", RETRY_S)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Of one process. 0: no limit."""

    connections_per_client: int = 5
    connections_per_address: int = 200
    operations_per_client: int = 20


@dataclass(slots=True, eq=False)
class Visit:
    """One open socket or stream."""

    clients: Clients
    address: str
    end: Callable[[], None]
    """Tell its client to come again, and close it."""
    operations: Callable[[], int] = lambda: 1
    key: ClientKey | None = None

    def identify(self, user_id: object, own_id: str | None) -> None:
        """Say whose it is: a user's, an installation's that gave itself an id, or nobody's. Raises RateLimited."""
        self.clients.identify(self, user_id, own_id)

    def has_room(self) -> bool:
        """May its client begin another operation?"""
        return self.clients.room_for(self) > 0

    def begin(self) -> None:
        """Of a stream, which is its own only operation. Raises RateLimited."""
        if self.clients.room_for(self) < 0:
            raise too_many_operations(self.clients.limits)


@dataclass(slots=True, eq=False)
class Clients:
    """All sockets and streams of this process."""

    limits: ClientLimits = field(default_factory=ClientLimits)
    is_closing: bool = False
    _visits: set[Visit] = field(default_factory=set)
    _per_address: Counter[str] = field(default_factory=Counter)
    _per_client: dict[ClientKey, set[Visit]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._visits)

    @contextmanager
    def visit(
        self, address: str | None, end: Callable[[], None], operations: Callable[[], int] = lambda: 1
    ) -> Iterator[Visit]:
        """Count it while the block lasts. Raises RateLimited, and Restarting while the server goes down.

        `address`: what limits count by; None (a Unix socket) has no limit.
        """
        if self.is_closing:
            raise Restarting
        most = self.limits.connections_per_address
        if most and address and self._per_address[address] >= most:
            raise RateLimited(f"Too many sockets and streams: at most {most} for one address", RETRY_S)
        visit = Visit(self, address or "", end, operations)
        self._visits.add(visit)
        self._per_address[visit.address] += 1
        try:
            yield visit
        finally:
            self._leave(visit)

    def identify(self, visit: Visit, user_id: object, own_id: str | None) -> None:
        """As `Visit.identify`."""
        if visit not in self._visits or (user_id is None and own_id is None):
            return
        # An id that somebody made up is worth something only beside what we know of its bearer.
        key = (str(user_id) if user_id is not None else visit.address, own_id or "")
        most = self.limits.connections_per_client
        of_client = self._per_client.setdefault(key, set())
        if most and visit not in of_client and len(of_client) >= most:
            raise RateLimited(f"Too many sockets and streams: at most {most} for one client", RETRY_S)
        visit.key = key
        of_client.add(visit)

    def room_for(self, visit: Visit) -> float:
        """How many more operations its client may begin."""
        most = self.limits.operations_per_client
        visits = {visit} if visit.key is None else self._per_client[visit.key]
        return most - sum(one.operations() for one in visits) if most else inf

    def _leave(self, visit: Visit) -> None:
        self._visits.discard(visit)
        self._per_address[visit.address] -= 1
        if not self._per_address[visit.address]:
            del self._per_address[visit.address]
        if visit.key is not None:
            of_client = self._per_client[visit.key]
            of_client.discard(visit)
            if not of_client:
                del self._per_client[visit.key]

    def end_all(self) -> None:
        """Take nothing new, and end all there are."""
        self.is_closing = True
        for visit in list(self._visits):
            visit.end()

    async def drain(self, longest_s: float) -> None:
        """The same, one after another in no order, so that they do not all come back in the same moment.

        It takes as long as ENDS_PER_SECOND says, but not longer than `longest_s`.
        """
        self.is_closing = True
        visits = list(self._visits)
        random.shuffle(visits)
        loop = asyncio.get_running_loop()
        began, takes_s = loop.time(), min(longest_s, len(visits) / ENDS_PER_SECOND)
        for number, visit in enumerate(visits):
            due = began + takes_s * number / len(visits)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if visit in self._visits:
                visit.end()
