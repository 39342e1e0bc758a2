"""Signing up, signing in, and the viewer's own account."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.account import check_sign_up, create_user, renew_password_hash
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.passwords import Passwords
from app.domain.errors import IdempotencyConflict, NotAllowed, NotFound, RateLimited
from app.models import Membership, User
from app.queries.account import find_login, find_user
from app.queries.organization import list_memberships
from app.queries.tenancy import Tenancy, bind
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

SIGN_IN_WINDOW_S = 15 * 60
SIGN_UP_WINDOW_S = 60 * 60

PASSWORDS = Passwords()
"""Of this process."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person, and an access token that speaks for them until `expires_at`."""

    user: User
    access_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Account:
    """`was_there`: this is the answer to a repeat."""

    user: User
    was_there: bool = False


async def sign_up(context: RequestContext, email: str, password: str, name: str) -> SignedIn:
    """Raises InvalidInput, RateLimited, IdempotencyConflict.

    The key's row holds no trace of the password, so that nobody who reads it can guess at one: a repeat proves the
    password against the account itself.
    """
    address, shown = check_sign_up(email, password, name)
    await _count_address(context, "sign_up", context.services.policy.sign_up_limit, SIGN_UP_WINDOW_S)
    password_hash = await PASSWORDS.hash(password)
    offset = context.services.clock.offset

    async def make(tx: Tx, _: Tenancy) -> _Account:
        return _Account(await create_user(tx, address, shown, password_hash, offset))

    async def again(tx: Tx, _: Tenancy, facts: dict[str, Any]) -> _Account:
        user_id = UUID(facts["id"])
        await bind(tx, user_id=user_id, clock_offset=offset)
        user = await find_user(tx, user_id)
        if user is None:
            raise NotFound
        return _Account(user, was_there=True)

    account = await mutate(
        context,
        "signUp",
        at=None,
        request={"email": address, "name": shown},
        idempotency_key=None,
        command=make,
        remembered=Remembered(facts=lambda made: {"id": str(made.user.id)}, again=again),
    )
    if account.was_there and not (await PASSWORDS.verify(account.user.password_hash, password)).matches:
        raise IdempotencyConflict
    return _signed_in(context, account.user)


async def sign_in(context: RequestContext, email: str, password: str) -> SignedIn:
    """Raises NotAllowed(rule "credentials") alike for an unknown e-mail and a wrong password, RateLimited."""
    address = _address(email)
    policy, key = context.services.policy, f"sign_in:{address}"
    # The caller's own limit first: who is beyond it must not use up the attempts of somebody's e-mail.
    await _count_address(context, "sign_in", policy.sign_in_limit_per_address, SIGN_IN_WINDOW_S)
    # Counted before the password is looked at: guesses made all at once are as many as those made in a row.
    await _count(context, key, policy.sign_in_limit, SIGN_IN_WINDOW_S)
    async with context.read_bound(None) as tx:
        user = await find_login(tx, address)
    verdict = await PASSWORDS.verify(user.password_hash if user else None, password)
    if user is None or not verdict.matches:
        raise NotAllowed("credentials", "The e-mail or the password is wrong.")
    if policy.sign_in_limit:
        await context.services.limiter.forget(key, window_s=SIGN_IN_WINDOW_S)
    if verdict.renewed is not None:
        async with context.services.database.transaction() as tx:
            await bind(tx, user_id=user.id)
            await renew_password_hash(tx, user.id, user.password_hash, verdict.renewed)
    return _signed_in(context, user)


async def read_viewer(context: RequestContext) -> User | None:
    """None when nobody is signed in."""
    if context.user_id is None:
        return None
    async with context.read_bound(None) as tx:
        return await find_user(tx, context.user_id)


async def memberships_of(context: RequestContext, user: User) -> Sequence[Membership]:
    """Where a person works. They are that person's own affair: `user` is the viewer, or has just signed in."""
    async with context.services.database.snapshot() as tx:
        await bind(tx, user_id=user.id, clock_offset=context.services.clock.offset)
        found = await list_memberships(tx, user.id)
    context.loaders.prime(*(organization for _, organization in found))
    return [membership for membership, _ in found]


def _signed_in(context: RequestContext, user: User) -> SignedIn:
    token, expires_at = context.services.tokens.access_token(user.id, context.now())
    return SignedIn(user, token, expires_at)


def _address(email: str) -> str:
    """As accounts keep it. What cannot be an address is nobody's, and is treated like any unknown one."""
    try:
        return normalize_email(email)
    except ValueError:
        return hashlib.sha256(email.encode("utf-8", "replace")).hexdigest()


async def _count_address(context: RequestContext, what: str, limit: int, window_s: int) -> None:
    """By the caller's network address, when the server knows one. Raises RateLimited beyond the limit."""
    if context.limit_key is not None:
        await _count(context, f"{what}_from:{context.limit_key}", limit, window_s)


async def _count(context: RequestContext, key: str, limit: int, window_s: int) -> None:
    """Raises RateLimited beyond the limit."""
    wait_s = await context.services.limiter.hit(key, limit=limit, window_s=window_s)
    if wait_s is not None:
        raise RateLimited("Too many attempts. Try again later.", wait_s)
