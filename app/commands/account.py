"""People's accounts."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from uuid import UUID

from sqlalchemy import update

from app.commands.changes import refused_as
from app.commands.fields import NAME_MAXIMUM, name
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.ids import new_id
from app.core.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH
from app.domain.errors import FieldErrors, InvalidInput
from app.models import User
from app.queries.tenancy import bind

_TAKEN = {"user_account_email_key": InvalidInput.at("email", "has an account already; sign in instead")}


def check_sign_up(email: str, password: str, person: str) -> tuple[str, str]:
    """E-mail and name as they are kept. Raises InvalidInput with every violation."""
    errors = FieldErrors()
    address = errors.read("email", normalize_email, email)
    shown = errors.read("name", name(NAME_MAXIMUM), person)
    fault = password_fault(password, email)
    if fault:
        errors.add("password", fault)
    errors.raise_any()
    assert address is not None
    assert shown is not None
    return address, shown


def password_fault(password: str, email: str) -> str | None:
    """What is wrong with a new password, or None. Length is what makes one strong, so nothing else is asked."""
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        return f"must have {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters"
    if any(unicodedata.category(char) == "Cs" for char in password):
        return "contains half a character (a lone surrogate)"
    if len(set(password)) == 1:
        return "must not be one character over and over"
    if password.casefold().strip() == email.casefold().strip():
        return "must not be the e-mail address"
    return None


async def create_user(
    tx: Tx, email: str, person: str, password_hash: str, clock_offset: timedelta = timedelta(0)
) -> User:
    """A new account, in a transaction that becomes bound to it. Raises InvalidInput for an e-mail that has one."""
    user = User(id=new_id(), email=email, name=person, password_hash=password_hash)
    await bind(tx, user_id=user.id, clock_offset=clock_offset)
    tx.add(user)
    with refused_as(_TAKEN):
        await tx.flush()
    return user


async def renew_password_hash(tx: Tx, user_id: UUID, old: str, new: str) -> None:
    """The same password, hashed anew. Passed over when the password changed meanwhile."""
    await tx.execute(update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new))
