"""Passwords as argon2id hashes, worked out beside the event loop and a few at a time."""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.domain.errors import Unavailable

MINIMUM_LENGTH = 10
MAXIMUM_LENGTH = 200
"""Characters (code points). The upper bound is there for the work alone."""

AT_ONCE = 2
"""Each hash takes 64 MiB and a core for some 50 ms; more at once would only starve the other requests."""
QUEUE_LENGTH = 200
"""More waiting than this would not be answered in time: they are told to come back."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`renewed` is a new hash to store: the kept one was made with older parameters."""

    matches: bool
    renewed: str | None = None


class Passwords:
    """Hashes and checks with one set of parameters."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        # A pool of its own rather than a lock: it belongs to no event loop and holds back nothing but passwords.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises Unavailable when too many wait."""
        return await self._run(lambda: self._hasher.hash(_same_signs(password)))

    async def verify(self, kept: str | None, password: str) -> Verdict:
        """Is it the password of this hash? None (nobody is known by that name) takes as long as a wrong one.

        Raises Unavailable when too many wait.
        """
        return await self._run(lambda: self._verify(kept, password))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= QUEUE_LENGTH:
            raise Unavailable
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def _verify(self, kept: str | None, password: str) -> Verdict:
        possible = len(password) <= MAXIMUM_LENGTH and not any("\ud800" <= char <= "\udfff" for char in password)
        try:
            self._hasher.verify(kept or self._decoy(), _same_signs(password) if possible else "")
        except (VerificationError, InvalidHashError):
            return Verdict(False)
        if kept is None or not possible:
            return Verdict(False)
        outdated = self._hasher.check_needs_rehash(kept)
        return Verdict(True, self._hasher.hash(_same_signs(password)) if outdated else None)

    def _decoy(self) -> str:
        """A hash of nothing: checking against it costs what any other costs."""
        own = self._hasher
        parameters = f"m={own.memory_cost},t={own.time_cost},p={own.parallelism}"
        return f"$argon2id$v=19${parameters}${_random(own.salt_len)}${_random(own.hash_len)}"


def _same_signs(password: str) -> str:
    """Keyboards differ in how they write an accented letter; it is the same password all the same."""
    return unicodedata.normalize("NFC", password)


def _random(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
