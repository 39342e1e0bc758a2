"""The same request twice is done once. The key's row is inserted first in the transaction that it guards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Tx
from app.domain.errors import FieldErrors, IdempotencyConflict
from app.models import IdempotencyKey
from app.queries.tenancy import NO_ORGANIZATION

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Names one request of one principal. `principal` is a user's id, or `anonymous`."""

    operation: str
    principal: str
    key: str
    request_hash: bytes


def request_key(
    operation: str, user_id: UUID | None, key: str, request: object, path: str = "input.idempotencyKey"
) -> RequestKey:
    """Raises InvalidInput for a key that cannot be: too long, unprintable, or guessable where nobody is signed in."""
    errors = FieldErrors()
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        errors.add(path, f"must have 1 to {MAX_KEY_LENGTH} printable characters")
    elif user_id is None and not _is_uuid(key):
        # Anonymous keys share one name space, so nobody may be able to guess another's.
        errors.add(path, "must be a random UUID when nobody is signed in")
    errors.raise_any()
    digest = hashlib.sha256(msgspec.json.encode(request, order="sorted")).digest()
    return RequestKey(operation, "anonymous" if user_id is None else str(user_id), key, digest)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


async def claim_key(tx: Tx, organization_id: UUID | None, request: RequestKey) -> dict[str, Any] | None:
    """Claim the key for this transaction, or give what the first success answered.

    One statement when the key is new. Waits for a transaction that holds the same key. Raises IdempotencyConflict.
    """
    organization = organization_id or NO_ORGANIZATION
    claimed = await tx.execute(
        insert(IdempotencyKey)
        .values(
            organization_id=organization,
            operation=request.operation,
            principal=request.principal,
            key=request.key,
            request_hash=request.request_hash,
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.key)
    )
    if claimed.first() is not None:
        return None
    row = (
        await tx.execute(
            select(IdempotencyKey.request_hash, IdempotencyKey.response).where(*_is(organization, request))
        )
    ).one()
    if row.request_hash != request.request_hash or row.response is None:
        raise IdempotencyConflict
    return dict(row.response)


async def remember(tx: Tx, organization_id: UUID | None, request: RequestKey, response: dict[str, Any]) -> None:
    """Keep what a repeat of this request shall be answered with. One statement."""
    await tx.execute(
        update(IdempotencyKey).where(*_is(organization_id or NO_ORGANIZATION, request)).values(response=response)
    )


def _is(organization_id: UUID, request: RequestKey) -> tuple[Any, ...]:
    return (
        IdempotencyKey.organization_id == organization_id,
        IdempotencyKey.operation == request.operation,
        IdempotencyKey.principal == request.principal,
        IdempotencyKey.key == request.key,
    )
