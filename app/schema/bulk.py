"""Bulk changes as staff see them: the plan, its progress, and what became of each booking."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.bulk import BulkAction, BulkResult, BulkStatus
from app.queries.booking import SeenBooking
from app.queries.pagination import page_request
from app.resolvers import bulk as resolvers
from app.resolvers.bulk import BulkChangeList, SeenBulkChange
from app.schema.booking import Booking
from app.schema.connection import Connection, connection
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.node import Money, Node
from app.schema.provider import Provider
from app.schema.slot import Slot

ALTERNATIVES_FOR = 50

strawberry.enum(BulkAction, description="CANCEL, or MOVE to the same time of another provider.")
strawberry.enum(
    BulkStatus,
    description="PLANNED: nothing was changed yet. RUNNING: a worker is at it. STOPPED: what was not done stays. "
    "FINISHED: each booking has its result.",
)
strawberry.enum(
    BulkResult,
    description="SKIPPED: it changed after it was planned. REFUSED: a rule forbids it, or the time is not free.",
)


@strawberry.type(description="How far a bulk change is.")
class BulkProgress:
    total: int
    done: int
    skipped: int
    refused: int


@strawberry.type(description="One booking of a bulk change: what the plan says of it, and what became of it.")
class BulkChangeItem:
    is_possible: bool = strawberry.field(description="By the plan.")
    rule: str | None = strawberry.field(
        description='Why not, for programs: of the result if there is one, else of the plan. "booked", "not_movable", …'
    )
    message: str | None = strawberry.field(description="The same, for a person.")
    refund: Money = strawberry.field(description="What goes back to the customer.")
    fee: Money = strawberry.field(description="What is kept, or charged.")
    result: BulkResult | None = strawberry.field(description="None: it was not its turn yet.")
    settled_at: datetime | None
    seen: strawberry.Private[SeenBooking]
    change: strawberry.Private[models.BulkChange]
    is_looked_after: strawberry.Private[bool] = False
    """Each look for alternatives is a search: not everybody's in one answer."""

    @property
    def is_stuck(self) -> bool:
        return not self.is_possible or self.result is BulkResult.REFUSED

    @strawberry.field(description="As it is now.")
    def booking(self) -> Booking:
        return Booking.from_seen(self.seen)

    @strawberry.field(
        description="Of a move that is not possible: free times near it, with anybody who gives its service, at most "
        f"6. For the first {ALTERNATIVES_FOR} such bookings of an answer; null for the others."
    )
    async def alternatives(self, info: Ctx) -> list[Slot] | None:
        if not self.is_stuck:
            return []
        if not self.is_looked_after:
            return None
        slots, currency = await resolvers.alternatives_of(info.context, self.change, self.seen.booking)
        return [Slot.from_domain(slot, currency) for slot in slots]

    @classmethod
    def from_item(cls, change: models.BulkChange, record: models.BulkChangeItem, seen: SeenBooking) -> BulkChangeItem:
        is_settled = record.result is not None
        return cls(
            is_possible=record.refused_by is None,
            rule=record.rule if is_settled else record.refused_by,
            message=record.message if is_settled else record.refused_because,
            refund=Money.of(record.refund_minor, seen.booking.currency),
            fee=Money.of(record.fee_minor, seen.booking.currency),
            result=None if record.result is None else BulkResult(record.result),
            settled_at=record.settled_at,
            seen=seen,
            change=change,
        )


@strawberry.type(description="Many bookings changed by one decision: planned, looked at, and then committed.")
class BulkChange(Node):
    action: BulkAction
    status: BulkStatus
    reason: str
    starts_from: datetime
    starts_before: datetime
    progress: BulkProgress
    possible: int = strawberry.field(description="So many of the bookings can be changed, by the plan.")
    refund: Money = strawberry.field(description="What goes back to customers, of all that can be done.")
    fee: Money = strawberry.field(description="What is kept or charged, of all that can be done.")
    session_count: int = strawberry.field(
        description="Sessions of a venue or an activity that are cancelled at the end, if nobody has places of them."
    )
    created_at: datetime
    expires_at: datetime = strawberry.field(description="Until then it can be committed.")
    committed_at: datetime | None
    ended_at: datetime | None
    seen: strawberry.Private[SeenBulkChange]

    @strawberry.field(description="Of a move: who has the bookings afterwards.")
    async def target_provider(self, info: Ctx) -> Provider | None:
        change = self.seen.change
        if change.target_provider_id is None:
            return None
        key = (change.organization_id, change.target_provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field(description="By their start, at most 1000.")
    async def items(self, info: Ctx) -> list[BulkChangeItem]:
        found = await resolvers.items_of(info.context, self.seen)
        items = [BulkChangeItem.from_item(self.seen.change, item, booking) for item, booking in found]
        stuck = [item for item in items if item.is_stuck]
        for item in stuck[: info.context.take_searches(len(stuck), ALTERNATIVES_FOR)]:
            item.is_looked_after = True
        return items

    @strawberry.field(
        description="Bookings that were made, or came into it, since it was planned, at most 100. They are left as "
        "they are, unless `commitBulkChange` takes them in."
    )
    async def new_bookings(self, info: Ctx) -> list[Booking]:
        return [Booking.from_seen(one) for one in await resolvers.new_bookings_of(info.context, self.seen)]

    @classmethod
    def from_seen(cls, seen: SeenBulkChange) -> BulkChange:
        change = seen.change
        return cls(
            id=public_id(IdKind.BULK_CHANGE, change.id),
            action=BulkAction(change.action),
            status=BulkStatus(change.status),
            reason=change.reason,
            starts_from=change.starts_from,
            starts_before=change.starts_before,
            progress=BulkProgress(
                total=change.item_count,
                done=change.done_count,
                skipped=change.skipped_count,
                refused=change.refused_count,
            ),
            possible=change.possible_count,
            refund=Money.of(change.refund_minor, change.currency),
            fee=Money.of(change.fee_minor, change.currency),
            session_count=change.session_count,
            created_at=change.created_at,
            expires_at=change.expires_at,
            committed_at=change.committed_at,
            ended_at=change.ended_at,
            seen=seen,
        )


@strawberry.type
class BulkChangeQuery:
    @strawberry.field(description="A bulk change, for staff; for a provider one of their own bookings.")
    async def bulk_change(self, info: Ctx, id: strawberry.ID) -> BulkChange | None:
        return BulkChange.from_seen(
            await resolvers.read_bulk_change(info.context, read_id(IdKind.BULK_CHANGE, id, "id"))
        )

    @strawberry.field(
        description="Bulk changes of an organization, newest first: all for its staff, for a provider those of their "
        "own bookings. Plans that nobody committed are deleted a day after they expired."
    )
    async def bulk_changes(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        status: BulkStatus | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[BulkChange]:
        organization = read_id(IdKind.ORGANIZATION, organization_id, "organizationId")
        found = BulkChangeList(info.context, organization, status)
        page = await found.page(page_request(first, after, last, before))
        return connection(page, BulkChange.from_seen, found.count)
