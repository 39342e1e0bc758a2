"""The one place where a domain error becomes a member of a mutation's union.

A field whose union lacks the type gets a top-level error instead (app/web/graphql/errors.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import strawberry
from strawberry.types import Info
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_snake_case

from app.core.ids import IdKind
from app.domain import errors as domain
from app.domain import series
from app.domain.booking import BookingStatus
from app.domain.slots import UnavailableReason
from app.resolvers.alternatives import find_alternatives
from app.schema.ids import public_id
from app.schema.info import Ctx
from app.schema.node import Money
from app.schema.recurring_date import RecurringDate
from app.schema.slot import Slot

Search = domain.SlotSearch | domain.SessionSearch


@strawberry.interface(description="A refusal that a client can act on. The mutation changed nothing.")
class Error:
    code: str
    message: str


@strawberry.type(description="One thing wrong with an input.")
class Violation:
    path: str
    message: str


@strawberry.type
class InvalidInput(Error):
    violations: list[Violation]


@strawberry.type
class NotFound(Error):
    resource_id: strawberry.ID | None = None


@strawberry.type
class NotAllowed(Error):
    rule: str
    allowed_from: datetime | None = strawberry.field(
        default=None, description="From when it will be allowed, where only the time is wrong."
    )
    allowed_until: datetime | None = strawberry.field(
        default=None, description="Until when it was allowed, where it came too late."
    )


@strawberry.type
class SlotUnavailable(Error):
    reason: UnavailableReason
    search: strawberry.Private[Search | None]

    @strawberry.field
    async def alternatives(self, info: Ctx) -> list[Slot]:
        return await _alternatives(info, self.search)


@strawberry.type
class StaleVersion(Error):
    current_version: int


@strawberry.type
class IllegalTransition(Error):
    from_: BookingStatus = strawberry.field(name="from")
    to: BookingStatus
    allowed: list[BookingStatus]


@strawberry.type(description="Somebody showed the same confirmation code before.")
class AlreadyCheckedIn(Error):
    booking_id: strawberry.ID
    checked_in_at: datetime | None = strawberry.field(description="None: it was started without being checked in.")


@strawberry.type
class HoldExpired(Error):
    search: strawberry.Private[Search | None]

    @strawberry.field
    async def alternatives(self, info: Ctx) -> list[Slot]:
        return await _alternatives(info, self.search)


@strawberry.type
class PaymentDeclined(Error):
    decline_code: str | None
    retryable: bool


@strawberry.type
class RateLimited(Error):
    retry_after_seconds: int


@strawberry.type
class IdempotencyConflict(Error):
    pass


@strawberry.type(description="The dates cost something else than `expectedTotalMinor`: look at the plan again.")
class PriceChanged(Error):
    total: Money


@strawberry.type(description="A booking of a series that may not be changed so any more.")
class RefusedChange:
    position: int
    starts_at: datetime
    rule: str
    message: str


@strawberry.type(description="Some bookings may not be changed so by the one who asks, and so none was.")
class SeriesNotAllowed(Error):
    refused: list[RefusedChange]

    @classmethod
    def shown(cls, refused: Sequence[series.RefusedChange]) -> list[RefusedChange]:
        return [
            RefusedChange(position=one.index, starts_at=one.starts_at, rule=one.rule, message=one.message)
            for one in refused
        ]


@strawberry.type(description="Dates of a series that cannot be had, and so nothing was changed.")
class SeriesConflict(Error):
    dates: list[RecurringDate]


async def _alternatives(info: Ctx, search: Search | None) -> list[Slot]:
    """Looked up when they are asked for: the refused transaction is over by then."""
    if search is None:
        return []
    found = await find_alternatives(info.context, search)
    return [Slot.from_domain(slot, found.currency) for slot in found.slots]


class _Handler:
    """Gives one domain error as one member of the union; `facts` are the fields beside code and message."""

    def __init__(
        self, exception_type: type[domain.DomainError], error_type: type, facts: Callable[[Any], dict[str, Any]]
    ) -> None:
        self.exception_type = exception_type
        self.error_type = error_type
        self._facts = facts

    def handle(self, exception: Any, *, field: StrawberryField, info: Info) -> Any:  # noqa: ARG002 (given by name)
        if isinstance(exception, domain.BadInput):
            return None  # declined: it is a top-level error everywhere
        code = to_snake_case(self.error_type.__name__).upper()
        return self.error_type(code=code, message=exception.message, **self._facts(exception))


ERROR_HANDLERS = (
    _Handler(
        domain.InvalidInput,
        InvalidInput,
        lambda e: {"violations": [Violation(path=v.path, message=v.message) for v in e.violations]},
    ),
    _Handler(domain.NotFound, NotFound, lambda _: {}),
    _Handler(
        domain.NotAllowed,
        NotAllowed,
        lambda e: {"rule": e.rule, "allowed_from": e.allowed_from, "allowed_until": e.allowed_until},
    ),
    _Handler(
        domain.SlotUnavailable,
        SlotUnavailable,
        lambda e: {"reason": e.reason, "search": e.search},
    ),
    _Handler(domain.HoldExpired, HoldExpired, lambda e: {"search": e.search}),
    _Handler(domain.StaleVersion, StaleVersion, lambda e: {"current_version": e.current_version}),
    _Handler(
        domain.IllegalTransition,
        IllegalTransition,
        lambda e: {"from_": e.current, "to": e.wanted, "allowed": list(e.allowed)},
    ),
    _Handler(
        domain.AlreadyCheckedIn,
        AlreadyCheckedIn,
        lambda e: {"booking_id": public_id(IdKind.BOOKING, e.booking_id), "checked_in_at": e.since},
    ),
    _Handler(domain.RateLimited, RateLimited, lambda e: {"retry_after_seconds": e.retry_after_seconds}),
    _Handler(domain.IdempotencyConflict, IdempotencyConflict, lambda _: {}),
    _Handler(series.PriceChanged, PriceChanged, lambda e: {"total": Money.of(e.total_minor, e.currency)}),
    _Handler(series.SeriesNotAllowed, SeriesNotAllowed, lambda e: {"refused": SeriesNotAllowed.shown(e.refused)}),
    _Handler(
        series.SeriesConflict,
        SeriesConflict,
        lambda e: {"dates": [RecurringDate.from_domain(one, e.currency) for one in e.dates]},
    ),
    _Handler(
        domain.PaymentDeclined,
        PaymentDeclined,
        lambda e: {"decline_code": e.decline_code, "retryable": e.is_retryable},
    ),
)
