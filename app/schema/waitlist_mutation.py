"""Joining the waitlist, leaving it and answering its offers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app.commands.booking_insert import CustomerDetails
from app.commands.waitlist import WaitlistRequest
from app.core.ids import IdKind
from app.domain.errors import FieldErrors
from app.domain.waitlist import TimeWindow
from app.resolvers import waitlist as resolvers
from app.resolvers.waitlist import name_entry
from app.schema.booking_mutation import CustomerInput
from app.schema.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    SlotUnavailable,
    StaleVersion,
)
from app.schema.ids import read_id, read_ids, read_optional_id
from app.schema.info import Ctx
from app.schema.waitlist import WaitlistEntry


@strawberry.input
class WaitlistWindowInput:
    from_: datetime = strawberry.field(name="from", description="Included.")
    to: datetime = strawberry.field(description="Excluded.")


@strawberry.input(
    description="Places of one session: `sessionId`. Of any session of an activity: `activityId` and `windows`. An"
    " appointment: `serviceId` and `windows`."
)
class JoinWaitlistInput:
    session_id: strawberry.ID | None = None
    activity_id: strawberry.ID | None = None
    service_id: strawberry.ID | None = None
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="Of an appointment, at most 20. None: anybody who offers it."
    )
    duration_minutes: int | None = strawberry.field(
        default=None, description="Of an appointment. None: each provider's own length."
    )
    windows: list[WaitlistWindowInput] | None = strawberry.field(
        default=None,
        description="When it may start: at most 10, 62 days in all, up to a year ahead. Not for a session.",
    )
    party_size: int = 1
    customer: CustomerInput | None = strawberry.field(
        default=None, description="May be left out by one who is signed in as a customer."
    )
    idempotency_key: str | None = None

    def to_request(self) -> tuple[WaitlistRequest, CustomerDetails | None]:
        """Raises InvalidInput with everything that is wrong, BadInput."""
        faults = FieldErrors()
        if sum(one is not None for one in (self.session_id, self.activity_id, self.service_id)) != 1:
            faults.add("input.sessionId", "give a sessionId, an activityId or a serviceId, one of them")
        elif self.session_id is not None and self.windows is not None:
            faults.add("input.windows", "follow from sessionId; leave them out")
        elif self.session_id is None and self.windows is None:
            faults.add("input.windows", "are needed")
        if self.service_id is None:
            for path, value in (("providerIds", self.provider_ids), ("durationMinutes", self.duration_minutes)):
                if value is not None:
                    faults.add(f"input.{path}", "is for appointments; leave it out")
        customer = None if self.customer is None else self.customer.read(faults)
        faults.raise_any()
        people = self.provider_ids
        request = WaitlistRequest(
            session_id=read_optional_id(IdKind.SESSION, self.session_id, "input.sessionId"),
            activity_id=read_optional_id(IdKind.ACTIVITY, self.activity_id, "input.activityId"),
            service_id=read_optional_id(IdKind.SERVICE, self.service_id, "input.serviceId"),
            provider_ids=None if people is None else read_ids(IdKind.PROVIDER, people, "input.providerIds"),
            duration_minutes=self.duration_minutes,
            windows=tuple(TimeWindow(window.from_, window.to) for window in self.windows or ()),
            party_size=self.party_size,
        )
        return request, customer


@strawberry.input(description="By its id (its account, the staff) or by its secret.")
class LeaveWaitlistInput:
    entry_id: strawberry.ID | None = None
    access_token: str | None = None
    idempotency_key: str | None = None


@strawberry.input(description="By its id (its account, the staff) or by its secret.")
class DeclineWaitlistOfferInput:
    entry_id: strawberry.ID | None = None
    access_token: str | None = None
    hold_id: strawberry.ID = strawberry.field(description="Of the offer that was seen: another one is not touched.")
    idempotency_key: str | None = None


@strawberry.input
class SetWaitlistPriorityInput:
    entry_id: strawberry.ID
    priority: int = strawberry.field(description="0 to 100; 0 is what everybody begins with.")
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.type
class JoinWaitlistPayload:
    entry: WaitlistEntry
    access_token: str = strawberry.field(description="Whoever has it sees the entry, and answers its offers.")


@strawberry.type
class LeaveWaitlistPayload:
    entry: WaitlistEntry


@strawberry.type
class DeclineWaitlistOfferPayload:
    entry: WaitlistEntry


@strawberry.type
class SetWaitlistPriorityPayload:
    entry: WaitlistEntry


JoinWaitlistResult = Annotated[
    JoinWaitlistPayload | SlotUnavailable | InvalidInput | NotFound | NotAllowed | RateLimited | IdempotencyConflict,
    strawberry.union("JoinWaitlistResult"),
]
LeaveWaitlistResult = Annotated[
    LeaveWaitlistPayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("LeaveWaitlistResult"),
]
DeclineWaitlistOfferResult = Annotated[
    DeclineWaitlistOfferPayload | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("DeclineWaitlistOfferResult"),
]
SetWaitlistPriorityResult = Annotated[
    SetWaitlistPriorityPayload | StaleVersion | NotFound | NotAllowed | InvalidInput | IdempotencyConflict,
    strawberry.union("SetWaitlistPriorityResult"),
]


@strawberry.type
class WaitlistMutation:
    @strawberry.mutation(
        description="Wait for what is full. A place that comes free is held for the first in line whose party fits, at"
        " once; the offer has an expiry, and then goes to the next. Where there is room: NotAllowed, rule places_free."
    )
    async def join_waitlist(self, info: Ctx, input: JoinWaitlistInput) -> JoinWaitlistResult:
        seen = await resolvers.join_waitlist(info.context, *input.to_request(), input.idempotency_key)
        return JoinWaitlistPayload(entry=WaitlistEntry.from_seen(seen), access_token=seen.token or "")

    @strawberry.mutation(description="Wait no more; an offer goes to the next in line.")
    async def leave_waitlist(self, info: Ctx, input: LeaveWaitlistInput) -> LeaveWaitlistResult:
        entry_id = read_optional_id(IdKind.WAITLIST, input.entry_id, "input.entryId")
        named = name_entry(entry_id, input.access_token, "input.entryId")
        seen = await resolvers.leave_waitlist(info.context, named, input.idempotency_key)
        return LeaveWaitlistPayload(entry=WaitlistEntry.from_seen(seen))

    @strawberry.mutation(
        description="Do not take what is offered: it goes to the next in line, and is not offered to this one again."
        " Who waits for other times too stays in line for those."
    )
    async def decline_waitlist_offer(self, info: Ctx, input: DeclineWaitlistOfferInput) -> DeclineWaitlistOfferResult:
        entry_id = read_optional_id(IdKind.WAITLIST, input.entry_id, "input.entryId")
        named = name_entry(entry_id, input.access_token, "input.entryId")
        hold_id = read_id(IdKind.HOLD, input.hold_id, "input.holdId")
        seen = await resolvers.decline_offer(info.context, named, hold_id, input.idempotency_key)
        return DeclineWaitlistOfferPayload(entry=WaitlistEntry.from_seen(seen))

    @strawberry.mutation(description="Staff move somebody before others; an offer that was made stays.")
    async def set_waitlist_priority(self, info: Ctx, input: SetWaitlistPriorityInput) -> SetWaitlistPriorityResult:
        entry_id = read_id(IdKind.WAITLIST, input.entry_id, "input.entryId")
        seen = await resolvers.set_priority(
            info.context, entry_id, input.priority, input.expected_version, input.idempotency_key
        )
        return SetWaitlistPriorityPayload(entry=WaitlistEntry.from_seen(seen))
