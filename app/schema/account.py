"""People's accounts, and signing in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.resolvers import account as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, RateLimited
from app.schema.ids import public_id
from app.schema.info import Ctx
from app.schema.membership import Membership
from app.schema.node import Node
from app.schema.scalars import TimeZone


@strawberry.type(description="A person's account. Seen by that person alone.")
class User(Node):
    email: str
    name: str
    locale: str
    time_zone: TimeZone
    record: strawberry.Private[models.User]

    @strawberry.field(description="Where the person works, by name.")
    async def memberships(self, info: Ctx) -> list[Membership]:
        found = await resolvers.memberships_of(info.context, self.record)
        return [Membership.from_model(membership) for membership in found]

    @classmethod
    def from_model(cls, record: models.User) -> User:
        return cls(
            id=public_id(IdKind.USER, record.id),
            email=record.email,
            name=record.name,
            locale=record.locale,
            time_zone=TimeZone(record.time_zone),
            record=record,
        )


@strawberry.type(description="Send `accessToken` as `Authorization: Bearer …` until `expiresAt`.")
class AuthSession:
    access_token: str
    refresh_token: str | None
    expires_at: datetime
    user: User

    @classmethod
    def of(cls, session: resolvers.SignedIn) -> AuthSession:
        return cls(
            access_token=session.access_token,
            refresh_token=None,
            expires_at=session.expires_at,
            user=User.from_model(session.user),
        )


@strawberry.type(description="Where verified e-mail is required: a mail is on its way.")
class CheckYourEmail:
    email: str


@strawberry.type(description="The password is right, and a second factor is needed.")
class SecondFactorRequired:
    challenge: str


SignUpResult = Annotated[
    AuthSession | CheckYourEmail | InvalidInput | RateLimited | IdempotencyConflict, strawberry.union("SignUpResult")
]
SignInResult = Annotated[
    AuthSession | SecondFactorRequired | NotAllowed | RateLimited, strawberry.union("SignInResult")
]


@strawberry.type
class AccountQuery:
    @strawberry.field(description="Who asks. None when nobody is signed in.")
    async def viewer(self, info: Ctx) -> User | None:
        user = await resolvers.read_viewer(info.context)
        return None if user is None else User.from_model(user)


@strawberry.type
class AccountMutation:
    @strawberry.mutation(description="A password has 10 to 200 characters.")
    async def sign_up(self, info: Ctx, email: str, password: str, name: str) -> SignUpResult:
        return AuthSession.of(await resolvers.sign_up(info.context, email, password, name))

    @strawberry.mutation
    async def sign_in(self, info: Ctx, email: str, password: str) -> SignInResult:
        return AuthSession.of(await resolvers.sign_in(info.context, email, password))
