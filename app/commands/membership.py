"""Who works in an organization. It never stays without an owner."""

from __future__ import annotations

from uuid import UUID

from app.commands.actor import Actor
from app.commands.changes import refused_as, write_created
from app.commands.fields import Form, as_given, required
from app.commands.journal import Audit, Event, write_journal
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.membership import Role, may_give
from app.models import Membership
from app.queries.account import find_login
from app.queries.organization import lock_membership

FORM = Form({"email": required(normalize_email), "role": as_given})

_MEMBER = {"membership_organization_user_key": InvalidInput.at("input.email", "is a member already")}


async def add_member(  # noqa: PLR0917 (as all creations: who and where, then the facts)
    tx: Tx, organization_id: UUID, actor: Actor, giver: Role, email: str, role: Role
) -> Membership:
    """Raises InvalidInput for an unknown e-mail or a member, NotAllowed where `giver` may not give the role."""
    _require(giver, role)
    user = await find_login(tx, email)
    if user is None:
        raise InvalidInput.at("input.email", "belongs to no account; the person signs up first")
    membership = Membership(id=new_id(), organization_id=organization_id, user_id=user.id, role=role.value)
    tx.add(membership)
    with refused_as(_MEMBER):
        await tx.flush()
    facts = {"user_id": user.id, "role": role.value}
    event = Event("membership.created", membership.id, {}, audience=[user.id])
    await write_created(tx, organization_id, actor, "membership", membership.id, after=facts, events=[event])
    return membership


async def remove_member(tx: Tx, organization_id: UUID, actor: Actor, remover: Role, user_id: UUID) -> Membership:
    """Anyone may leave. Raises NotFound; NotAllowed for the last owner, or one whom `remover` may not remove."""
    membership, owners = await lock_membership(tx, organization_id, user_id)
    role = Role(membership.role)
    if user_id != actor.user_id:
        _require(remover, role)
    if role is Role.OWNER and owners == 1:
        raise NotAllowed("last_owner", "This is the only owner. Make someone else an owner first.")
    await tx.delete(membership)
    await tx.flush()
    audit = Audit("membership.removed", membership.id, {"user_id": user_id, "role": role.value}, None)
    # Whatever they look at as a member ends with this event.
    event = Event(audit.action, audit.subject_id, {}, audience=[user_id])
    await write_journal(tx, organization_id, actor, audit=[audit], events=[event])
    return membership


def _require(giver: Role, role: Role) -> None:
    if not may_give(giver, role):
        raise NotAllowed("role", f"Only an owner can do this with a member who is {role.name}.")
