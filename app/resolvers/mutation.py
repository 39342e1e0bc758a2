"""One mutation, one transaction: the place where it begins, is repeated, is remembered and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from app.commands.idempotency import RequestKey, claim_key, remember, request_key
from app.core.database import Tx
from app.queries.tenancy import Door, Tenancy, bind, enter
from app.resolvers.context import RequestContext

T = TypeVar("T")

ATTEMPTS = 4
SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"


@dataclass(frozen=True, slots=True)
class Remembered(Generic[T]):
    """How a result becomes the few facts kept with an idempotency key, and how those become the result again."""

    facts: Callable[[T], dict[str, Any]]
    again: Callable[[Tx, Tenancy, dict[str, Any]], Awaitable[T]]


async def mutate(
    context: RequestContext,
    operation: str,
    *,
    at: tuple[Door, UUID] | None,
    request: object,
    idempotency_key: str | None,
    command: Callable[[Tx, Tenancy], Awaitable[T]],
    remembered: Remembered[T],
) -> T:
    """Run `command` in one transaction, at most once for each idempotency key.

    `at` names the organization (none: the command works outside any). `at` and `request` are what the key stands for:
    a repeat with another request is a conflict. Domain errors roll all back, key included: a failure is not remembered.
    """
    key, path = idempotency_key, "input.idempotencyKey"
    if key is None:
        key, path = context.idempotency_key, "Idempotency-Key"
    guard = None if key is None else request_key(operation, context.user_id, key, (at, request), path)
    result = await _with_retries(lambda: _once(context, at, guard, command, remembered))
    # A document may have several mutations; what the next one shows must not be older than this one.
    context.loaders.forget()
    await context.services.stream.ring()
    return result


async def _once(
    context: RequestContext,
    at: tuple[Door, UUID] | None,
    guard: RequestKey | None,
    command: Callable[[Tx, Tenancy], Awaitable[T]],
    remembered: Remembered[T],
) -> T:
    async with context.services.database.transaction() as tx:
        offset = context.services.clock.offset
        if at is None:
            await bind(tx, user_id=context.user_id, clock_offset=offset)
            tenancy = None
        else:
            tenancy = await enter(tx, *at, user_id=context.user_id, clock_offset=offset)
        scope = tenancy or Tenancy(UUID(int=0))
        organization_id = tenancy.organization_id if tenancy else None
        if guard is not None:
            answered = await claim_key(tx, organization_id, guard)
            if answered is not None:
                return await remembered.again(tx, scope, answered)
        result = await command(tx, scope)
        if guard is not None:
            if tenancy is None:
                # The command may have bound the transaction to the organization that it made.
                await bind(tx, user_id=context.user_id, clock_offset=offset)
            await remember(tx, organization_id, guard, remembered.facts(result))
        return result


async def _with_retries(attempt: Callable[[], Awaitable[T]]) -> T:
    """Deadlocks and serialization failures are the database's way to say: again, please."""
    for count in range(1, ATTEMPTS + 1):
        try:
            return await attempt()
        except DBAPIError as error:
            if _state(error) not in {SERIALIZATION_FAILURE, DEADLOCK_DETECTED} or count == ATTEMPTS:
                raise
            await asyncio.sleep(0.01 * 2**count)
    raise AssertionError("unreachable")


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
