"""Who works in an organization."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain import membership as domain
from app.resolvers import membership as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.organization import Organization

strawberry.enum(domain.Role, description="Each may do what the ones after it may.")


@strawberry.type(description="A person's part in an organization.")
class Membership:
    id: strawberry.ID
    user_id: strawberry.ID
    role: domain.Role
    record: strawberry.Private[models.Membership]

    @strawberry.field
    async def organization(self, info: Ctx) -> Organization:
        key = (self.record.organization_id, self.record.organization_id)
        return Organization.from_model(await info.context.loaders.organization_by_id.load(key))

    @classmethod
    def from_model(cls, record: models.Membership) -> Membership:
        return cls(
            id=public_id(IdKind.MEMBERSHIP, record.id),
            user_id=public_id(IdKind.USER, record.user_id),
            role=domain.Role(record.role),
            record=record,
        )


@strawberry.input
class AddMemberInput:
    organization_id: strawberry.ID
    email: str = strawberry.field(description="Of an account.")
    role: domain.Role = domain.Role.STAFF
    idempotency_key: str | None = None


@strawberry.input
class RemoveMemberInput:
    organization_id: strawberry.ID
    user_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class AddMemberPayload:
    membership: Membership


@strawberry.type
class RemoveMemberPayload:
    membership_id: strawberry.ID


AddMemberResult = Annotated[
    AddMemberPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("AddMemberResult"),
]
RemoveMemberResult = Annotated[
    RemoveMemberPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("RemoveMemberResult"),
]


@strawberry.type
class MembershipMutation:
    @strawberry.mutation(description="Only an owner makes owners and admins.")
    async def add_member(self, info: Ctx, input: AddMemberInput) -> AddMemberResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        membership = await resolvers.add_member(
            info.context, organization_id, input.email, input.role, input.idempotency_key
        )
        return AddMemberPayload(membership=Membership.from_model(membership))

    @strawberry.mutation(description="Only an owner removes owners and admins; anyone may leave but the last owner.")
    async def remove_member(self, info: Ctx, input: RemoveMemberInput) -> RemoveMemberResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        user_id = read_id(IdKind.USER, input.user_id, "input.userId")
        removed = await resolvers.remove_member(info.context, organization_id, user_id, input.idempotency_key)
        return RemoveMemberPayload(membership_id=public_id(IdKind.MEMBERSHIP, removed))
