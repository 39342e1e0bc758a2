"""Lists of fees."""

from __future__ import annotations

import strawberry

from app.core.ids import IdKind
from app.domain.fees import FeeStatus
from app.queries.pagination import page_request
from app.resolvers.fee import FeeList
from app.schema.connection import Connection, connection
from app.schema.fee import BookingFee
from app.schema.ids import read_id
from app.schema.info import Ctx


@strawberry.type
class FeeQuery:
    @strawberry.field(description="For the staff: fees of an organization, the newest first. OWED: to be asked for.")
    async def fees(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        statuses: list[FeeStatus] | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[BookingFee]:
        found = FeeList(info.context, read_id(IdKind.ORGANIZATION, organization_id, "organizationId"), statuses)
        page = await found.page(page_request(first, after, last, before))
        return connection(page, BookingFee.from_model, found.count)
