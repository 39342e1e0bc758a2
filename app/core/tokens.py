"""Secrets that can be given again without being stored, and signed-in sessions.

A hold's or booking's secret is a keyed hash of its id and of the version of the secret: a replayed request or a mail
shows the same one, raising the version revokes it, and a leaked database holds none of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import jwt

from app.core.ids import IdKind, WrongId, decode_id, decode_suffix, encode_id, encode_suffix
from app.domain.errors import Unauthenticated

_ALGORITHM = "HS256"
_LEEWAY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Who a valid access token speaks for, and until when."""

    user_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class PreviewClaims:
    """What a schedule preview was of: digests of its input and of the bookings that it showed."""

    issued_at: datetime
    of_input: bytes
    of_state: bytes


@dataclass(frozen=True, slots=True)
class StatementClaims:
    """Whose statement a link opens, of which local days (both included), until when."""

    provider_id: UUID
    first: date
    last: date
    expires_at: datetime


_DIGEST_BYTES = 16
_MAC_BYTES = 24
_STATEMENT = struct.Struct(">16sIIQ")
_PREVIEW_BYTES = 8 + 2 * _DIGEST_BYTES + _MAC_BYTES


class TokenSigner:
    """Makes and checks every secret of this installation. `key` has at least 32 characters."""

    def __init__(self, key: str, access_ttl: timedelta) -> None:
        self._access_ttl = access_ttl
        self._key = key.encode()
        self._jwt_key = self._derive("access-token")

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._key, f"turnero/{purpose}".encode(), hashlib.sha256)

    def _mac(self, purpose: str, subject: UUID, version: int) -> str:
        message = subject.bytes + version.to_bytes(4, "big")
        digest = hmac.digest(self._derive(purpose), message, hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:24]).decode()

    def hold_token(self, hold_id: UUID, version: int) -> str:
        """The holder's secret."""
        return self._mac("hold", hold_id, version)

    def is_hold_token(self, token: str, hold_id: UUID, version: int) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.hold_token(hold_id, version).encode())

    def guest_token(self, booking_id: UUID, version: int) -> str:
        """The guest's secret link: it names its booking, so that it can be presented alone."""
        return f"{encode_suffix(booking_id)}.{self._mac('booking', booking_id, version)}"

    @staticmethod
    def named_by(token: str) -> UUID | None:
        """What a guest, price or provider calendar token claims to open. None: it is none of them."""
        suffix, separator, _ = token.partition(".")
        try:
            return decode_suffix(suffix) if separator else None
        except WrongId:
            return None

    def is_guest_token(self, token: str, booking_id: UUID, version: int) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.guest_token(booking_id, version).encode())

    def guest_session_token(self, session_id: UUID) -> str:
        """A guest's way through a checkout; it names its session, so that it can be presented alone."""
        return f"{encode_suffix(session_id)}.{self._mac('guest-session', session_id, 1)}"

    def read_guest_session_token(self, token: str) -> UUID | None:
        """Whose it is. None for a token that is not ours or was altered; whether the session is over, its row says."""
        session_id = self.named_by(token)
        if session_id is None:
            return None
        known = self.guest_session_token(session_id)
        return session_id if hmac.compare_digest(token.encode("utf-8", "replace"), known.encode()) else None

    def series_token(self, series_id: UUID, version: int) -> str:
        """The guest's secret link to a whole series; it names the series, so that it can be presented alone."""
        return f"{encode_suffix(series_id)}.{self._mac('series', series_id, version)}"

    def is_series_token(self, token: str, series_id: UUID, version: int) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.series_token(series_id, version).encode())

    def price_offer_token(self, offer_id: UUID, version: int) -> str:
        """The customer's link to a price by quote; it names its offer, so that it can be presented alone."""
        return f"{encode_suffix(offer_id)}.{self._mac('price-offer', offer_id, version)}"

    def is_price_offer_token(self, token: str, offer_id: UUID, version: int) -> bool:
        known = self.price_offer_token(offer_id, version)
        return hmac.compare_digest(token.encode("utf-8", "replace"), known.encode())

    def waitlist_token(self, entry_id: UUID, version: int) -> str:
        """The secret of whoever waits; it names its entry, so that it can be presented alone."""
        return f"{encode_suffix(entry_id)}.{self._mac('waitlist', entry_id, version)}"

    def is_waitlist_token(self, token: str, entry_id: UUID, version: int) -> bool:
        known = self.waitlist_token(entry_id, version)
        return hmac.compare_digest(token.encode("utf-8", "replace"), known.encode())

    def calendar_token(self, booking_id: UUID, version: int) -> str:
        """Opens a booking's .ics and nothing else, so that a calendar app never holds the right to cancel. `version`:
        that of the booking's secret link, with which it becomes void."""
        return self._mac("calendar", booking_id, version)

    def is_calendar_token(self, token: str, booking_id: UUID, version: int) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.calendar_token(booking_id, version).encode())

    def provider_calendar_token(self, provider_id: UUID, version: int) -> str:
        """Opens a provider's calendar; it names its provider, so that it can be presented alone."""
        return f"{encode_suffix(provider_id)}.{self._mac('provider-calendar', provider_id, version)}"

    def is_provider_calendar_token(self, token: str, provider_id: UUID, version: int) -> bool:
        known = self.provider_calendar_token(provider_id, version)
        return hmac.compare_digest(token.encode("utf-8", "replace"), known.encode())

    def schedule_preview_token(self, of_input: bytes, of_state: bytes, now: datetime) -> str:
        """Two digests of _DIGEST_BYTES, carried by the client, and when it was given (to the second)."""
        body = int(now.timestamp()).to_bytes(8, "big") + of_input + of_state
        return base64.urlsafe_b64encode(body + self._preview_mac(body)).decode()

    def _preview_mac(self, body: bytes) -> bytes:
        return hmac.digest(self._derive("schedule-preview"), body, hashlib.sha256)[:_MAC_BYTES]

    def read_schedule_preview_token(self, token: str) -> PreviewClaims | None:
        """None for a token that is not ours or was altered."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(raw) != _PREVIEW_BYTES or not hmac.compare_digest(mac, self._preview_mac(body)):
            return None
        issued_at = datetime.fromtimestamp(int.from_bytes(body[:8], "big"), UTC)
        return PreviewClaims(issued_at, body[8 : 8 + _DIGEST_BYTES], body[8 + _DIGEST_BYTES :])

    def statement_token(self, claims: StatementClaims) -> str:
        """Opens one statement until it expires (to the second)."""
        days = claims.first.toordinal(), claims.last.toordinal()
        body = _STATEMENT.pack(claims.provider_id.bytes, *days, int(claims.expires_at.timestamp()))
        return base64.urlsafe_b64encode(body + self._statement_mac(body)).decode().rstrip("=")

    def _statement_mac(self, body: bytes) -> bytes:
        return hmac.digest(self._derive("statement"), body, hashlib.sha256)[:_MAC_BYTES]

    def read_statement_token(self, token: str, now: datetime) -> StatementClaims | None:
        """None for a token that is not ours, was altered or has expired."""
        try:
            raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, mac = raw[: _STATEMENT.size], raw[_STATEMENT.size :]
        if len(body) != _STATEMENT.size or not hmac.compare_digest(mac, self._statement_mac(body)):
            return None
        provider, first, last, expires = _STATEMENT.unpack(body)
        expires_at = datetime.fromtimestamp(expires, UTC)
        if expires_at <= now:
            return None
        return StatementClaims(UUID(bytes=provider), date.fromordinal(first), date.fromordinal(last), expires_at)

    def coin(self, subject: UUID, *facts: int) -> bool:
        """Heads or tails: the same for the same facts in every process, and for nobody outside to foresee."""
        message = subject.bytes + b"".join(fact.to_bytes(8, "big") for fact in facts)
        return hmac.digest(self._derive("coin"), message, hashlib.sha256)[0] & 1 == 1

    def access_token(self, user_id: UUID, now: datetime) -> tuple[str, datetime]:
        """A JWT for one person, and when it ends."""
        expires_at = (now + self._access_ttl).replace(microsecond=0)
        claims = {
            "sub": encode_id(IdKind.USER, user_id),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(claims, self._jwt_key, algorithm=_ALGORITHM), expires_at

    def read_access_token(self, token: str, now: datetime) -> AccessClaims:
        """Raises Unauthenticated for a token that is not ours, was altered or has ended."""
        try:
            claims = jwt.decode(
                token,
                self._jwt_key,
                algorithms=[_ALGORITHM],
                options={"require": ["sub", "exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
            user_id = decode_id(IdKind.USER, claims["sub"])
            expires_at = datetime.fromtimestamp(int(claims["exp"]), tz=now.tzinfo)
        except (jwt.PyJWTError, WrongId, ValueError, OverflowError, UnicodeError, TypeError):
            raise Unauthenticated("The access token is not valid. Sign in again.") from None
        if expires_at + _LEEWAY <= now:
            raise Unauthenticated("The access token has expired. Sign in again.")
        return AccessClaims(user_id, expires_at)
