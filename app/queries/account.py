"""People's accounts."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Text, bindparam, select, text

from app.core.database import Tx
from app.models import User

_FIND_LOGIN = text("SELECT * FROM find_login(:email)").bindparams(bindparam("email", type_=Text))


async def find_login(tx: Tx, email: str) -> User | None:
    """The account of an e-mail, whoever asks. One statement. The record belongs to no session."""
    row = (await tx.execute(_FIND_LOGIN, {"email": email})).first()
    if row is None:
        return None
    return User(
        id=row.id,
        email=row.email,
        password_hash=row.password_hash,
        name=row.name,
        locale=row.locale,
        time_zone=row.time_zone,
        created_at=row.created_at,
    )


async def find_user(tx: Tx, user_id: UUID) -> User | None:
    """One statement, in a transaction bound to that very person."""
    return (await tx.execute(select(User).where(User.id == user_id))).scalar_one_or_none()
