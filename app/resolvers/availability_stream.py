"""One provider's free slots as plain events, for clients without GraphQL: what they ask, and what they are told.

The names and formats are those of GraphQL's `AvailabilityEvent`.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.core.ids import IdKind, decode_id, encode_id
from app.domain.errors import BadInput, FieldErrors, Violation
from app.domain.instants import format_instant, parse_date, zone
from app.domain.live_update import AvailabilityUpdate
from app.domain.money import format_amount
from app.domain.search import AvailabilitySearch
from app.domain.slots import Slot
from app.resolvers.context import RequestContext
from app.resolvers.live_channel import Channel, Reader
from app.resolvers.live_hub import LONGEST_PACE_MS

ENCODED_UPDATES = 64
"""Kept, for all who are told the same."""
_WHOLE = re.compile(r"[0-9]{1,6}", re.ASCII)
_PARAMETER_OF = {
    "input.serviceId": "service",
    "input.providerIds": "providerId",
    "input.from": "from",
    "input.to": "to",
    "input.timeZone": "timeZone",
    "input.durationMinutes": "duration",
    "input.partySize": "partySize",
    "after": "lastEventId",
}
"""What the parameters of this address are called where errors are made."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """`name` as in `event:`, `cursor` as in `id:`, `data` encoded."""

    name: str
    cursor: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Asked:
    search: AvailabilitySearch
    coalesce_ms: int


class AvailabilityEvents:
    """What one client is told: one of the listeners of a channel. Whoever has it closes it."""

    def __init__(self, channel: Channel[AvailabilityUpdate]) -> None:
        self._channel = channel
        self._reader = Reader(channel)
        self._opening: deque[AvailabilityUpdate] = deque()

    async def open(self, after: str | None) -> None:
        """Raises BadInput, NotFound, StreamUnavailable."""
        self._opening.extend(await self._channel.join(self._reader, after))

    def __aiter__(self) -> AvailabilityEvents:
        return self

    async def __anext__(self) -> StreamedEvent:
        update = self._opening.popleft() if self._opening else await anext(self._reader)
        return StreamedEvent(update.kind.value, update.cursor, _ENCODED.of(update))

    async def aclose(self) -> None:
        self._channel.leave(self._reader)


async def open_availability(
    context: RequestContext, provider_id: str, parameters: Mapping[str, str], after: str | None
) -> AvailabilityEvents:
    """The events. Raises BadInput, NotFound, StreamUnavailable before the first of them."""
    try:
        asked = _read(provider_id, parameters)
        services = context.services
        events = AvailabilityEvents(services.live.availability(services, asked.search, asked.coalesce_ms))
        await events.open(after)
    except BadInput as bad:
        raise BadInput([Violation(_PARAMETER_OF.get(v.path, v.path), v.message) for v in bad.violations]) from None
    return events


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────


def _read(provider_id: str, parameters: Mapping[str, str]) -> _Asked:
    """Raises BadInput with everything that is wrong at once."""
    errors = FieldErrors()

    def needed(name: str) -> str | None:
        if not parameters.get(name):
            errors.add(name, "is required")
            return None
        return parameters[name]

    def whole(name: str) -> int | None:
        return errors.read(name, _whole, parameters.get(name))

    provider: UUID | None = errors.read("providerId", lambda text: decode_id(IdKind.PROVIDER, text), provider_id)
    service: UUID | None = errors.read("service", lambda text: decode_id(IdKind.SERVICE, text), needed("service"))
    first: date | None = errors.read("from", parse_date, needed("from"))
    last: date | None = errors.read("to", parse_date, needed("to"))
    time_zone: ZoneInfo | None = errors.read("timeZone", zone, needed("timeZone"))
    duration, party, coalesce_ms = whole("duration"), whole("partySize"), whole("coalesceMs")
    if coalesce_ms is not None and coalesce_ms > LONGEST_PACE_MS:
        errors.add("coalesceMs", f"must be 0 to {LONGEST_PACE_MS}")
    if errors.found or provider is None or service is None or first is None or last is None or time_zone is None:
        raise BadInput(errors.found)
    search = AvailabilitySearch(
        service_id=service,
        provider_ids=(provider,),
        from_date=first,
        to_date=last,
        time_zone=time_zone,
        duration_minutes=duration,
        party_size=1 if party is None else party,
    )
    return _Asked(search, coalesce_ms or 0)


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("must be a whole number of at most six digits")
    return int(text)


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────


class _Encoded:
    """The last updates as they are sent. Those who listen to one channel are told the same objects."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[AvailabilityUpdate, bytes]] = OrderedDict()

    def of(self, update: AvailabilityUpdate) -> bytes:
        known = self._known.get(id(update))  # what is kept keeps its id
        if known is None:
            known = self._known[id(update)] = update, _encode(update)
            if len(self._known) > ENCODED_UPDATES:
                self._known.popitem(last=False)
        return known[1]


_ENCODED = _Encoded()


def _encode(update: AvailabilityUpdate) -> bytes:
    return msgspec.json.encode(
        {
            "kind": update.kind.name,
            "cursor": update.cursor,
            "opened": list(map(format_instant, update.opened)),
            "closed": list(map(format_instant, update.closed)),
            "updated": [_slot(slot, update.currency) for slot in update.updated],
            "causes": [cause.name for cause in update.causes],
        }
    )


def _slot(slot: Slot, currency: str) -> dict[str, object]:
    price = slot.price_minor
    return {
        "startsAt": format_instant(slot.starts_at),
        "endsAt": format_instant(slot.ends_at),
        "providerIds": [encode_id(IdKind.PROVIDER, provider_id) for provider_id in slot.provider_ids],
        "remaining": slot.remaining,
        "price": None
        if price is None
        else {"amountMinor": price, "currency": currency, "amount": format_amount(price, currency)},
        "sessionId": None if slot.session_id is None else encode_id(IdKind.SESSION, slot.session_id),
    }
