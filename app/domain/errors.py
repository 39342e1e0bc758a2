"""What can go wrong in the business, as facts. Commands raise these; `app.schema.errors` maps each to its GraphQL type.

Each carries plain values only. Raising one inside a transaction rolls it back, so a refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

if TYPE_CHECKING:
    from app.domain.booking import BookingStatus
    from app.domain.search import VisitItem
    from app.domain.slots import Slot, UnavailableReason


T = TypeVar("T")


class DomainError(Exception):
    """A refusal that the caller can act on. `message` is for a person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with an input. `path` is dotted: `input.customer.email`, `input.weekly.0.open`."""

    path: str
    message: str


class InvalidInput(DomainError):
    """The input cannot be: each violation names the place and says what would be accepted."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.path}: {v.message}" for v in violations))
        self.violations = tuple(violations)

    @classmethod
    def at(cls, path: str, message: str) -> InvalidInput:
        return cls([Violation(path, message)])


class BadInput(InvalidInput):
    """Not even well formed (an id of the wrong kind, an instant without offset): refused before any rule is asked."""


class NotFound(DomainError):
    """Missing, or hidden from the one who asks: the two look the same, so the text never varies."""

    def __init__(self) -> None:
        super().__init__("Nothing that you can see has this id.")


class Unauthenticated(DomainError):
    """No valid sign-in where one is needed."""

    def __init__(self, message: str = "Sign in first: send a valid access token as `Authorization: Bearer …`.") -> None:
        super().__init__(message)


class NotAllowed(DomainError):
    """Forbidden to the one who asks, now. `rule` names the rule: `cancellation_notice`.

    `allowed_from`, `allowed_until`: when it would have been allowed, where time alone decides.
    """

    def __init__(
        self,
        rule: str,
        message: str,
        *,
        allowed_from: datetime | None = None,
        allowed_until: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.allowed_from = allowed_from
        self.allowed_until = allowed_until


@dataclass(frozen=True, slots=True)
class SlotSearch:
    """What was wanted, so that the nearest alternatives can be found once the refused transaction is over."""

    organization_id: UUID
    service_id: UUID
    provider_ids: tuple[UUID, ...] | None
    around: datetime
    duration_minutes: int | None
    party_size: int = 1
    for_staff: bool = False
    items: tuple[VisitItem, ...] = ()
    """Of a visit of several services: all of them; `service_id` is that of the first."""


@dataclass(frozen=True, slots=True)
class SessionSearch:
    """The same for places of an activity's sessions."""

    organization_id: UUID
    activity_id: UUID
    around: datetime
    party_size: int
    for_staff: bool = False


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Free slots near the one that was refused, nearest first, at most six."""

    slots: tuple[Slot, ...]
    currency: str


class SlotUnavailable(DomainError):
    """The slot cannot be had. `search`: for alternatives, which are looked up after the transaction rolled back."""

    def __init__(
        self, reason: UnavailableReason, message: str, search: SlotSearch | SessionSearch | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.search = search


class HoldExpired(DomainError):
    """The hold ran out or was released. `search` as for SlotUnavailable."""

    def __init__(self, message: str, search: SlotSearch | SessionSearch | None = None) -> None:
        super().__init__(message)
        self.search = search


class StaleVersion(DomainError):
    """The caller saw an older version than the current one."""

    def __init__(self, current_version: int) -> None:
        super().__init__(f"This changed meanwhile: the current version is {current_version}. Read it again.")
        self.current_version = current_version


class IllegalTransition(DomainError):
    """The state machine has no such step, or none for the one who asks now (`allowed` lists those)."""

    def __init__(self, current: BookingStatus, wanted: BookingStatus, allowed: Sequence[BookingStatus]) -> None:
        steps = ", ".join(sorted(s.name for s in allowed)) or "none"
        super().__init__(f"A booking that is {current.name} cannot become {wanted.name}. Possible now: {steps}.")
        self.current = current
        self.wanted = wanted
        self.allowed = tuple(allowed)


class AlreadyCheckedIn(DomainError):
    """Somebody showed the same code before. `since` none: it was started without being checked in."""

    def __init__(self, booking_id: UUID, since: datetime | None) -> None:
        super().__init__("This booking is checked in already.")
        self.booking_id = booking_id
        self.since = since


class RateLimited(DomainError):
    """Too many of these in a short time."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, retry_after_seconds)


class IdempotencyConflict(DomainError):
    """The key was used before with another input."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was already used with another input. Use a new key for a new request.")


class PaymentDeclined(DomainError):
    """The bank said no. `is_retryable`: another attempt, or another card, may succeed until the deadline."""

    def __init__(self, message: str, decline_code: str | None, is_retryable: bool) -> None:
        super().__init__(message)
        self.decline_code = decline_code
        self.is_retryable = is_retryable


class Unavailable(DomainError):
    """Something that we need is down or busy; the same request may succeed in a moment."""

    def __init__(self, message: str = "Temporarily unavailable. Try again in a moment.") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """Collects violations so that a person sees all of them at once.

    >>> errors = FieldErrors(); errors.add("input.name", "is empty"); errors.raise_any()
    """

    found: list[Violation] = field(default_factory=list)

    def add(self, path: str, message: str) -> None:
        self.found.append(Violation(path, message))

    def read(self, path: str, parse: Callable[[str], T], value: str | None) -> T | None:
        """What `parse` makes of a value, or None and a violation for its ValueError. An absent value stays absent."""
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as wrong:
            self.add(path, str(wrong))
            return None

    def raise_any(self) -> None:
        if self.found:
            raise InvalidInput(self.found)
