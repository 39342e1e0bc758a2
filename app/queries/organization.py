"""Organizations and who works in them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.membership import Role
from app.models import Membership, Organization
from app.queries.pagination import LIST_LIMIT
from app.queries.text_search import folded


async def list_memberships(tx: Tx, user_id: UUID) -> Sequence[tuple[Membership, Organization]]:
    """Where a person works, by the organizations' names. One statement, in a transaction bound to that person."""
    rows = await tx.execute(
        select(Membership, Organization)
        .join(Organization, Organization.id == Membership.organization_id)
        .where(Membership.user_id == user_id)
        .order_by(folded(Organization.name), Membership.id)
        .limit(LIST_LIMIT)
    )
    return [(membership, organization) for membership, organization in rows]


async def lock_membership(tx: Tx, organization_id: UUID, user_id: UUID) -> tuple[Membership, int]:
    """A membership and how many owners there are; both stay so until the transaction ends. Raises NotFound.

    Two statements: all owners' rows are locked first, in one order, so that no two of them can remove each other.
    """
    owners = (
        select(Membership.id)
        .where(Membership.organization_id == organization_id, Membership.role == Role.OWNER)
        .order_by(Membership.id)
        .with_for_update()
    )
    count = len((await tx.execute(owners)).all())
    wanted = select(Membership).where(Membership.organization_id == organization_id, Membership.user_id == user_id)
    membership = (await tx.execute(wanted.with_for_update())).scalar_one_or_none()
    if membership is None:
        raise NotFound
    return membership, count
