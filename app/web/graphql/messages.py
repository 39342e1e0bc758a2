"""What clients say over a socket: read strictly, and refused with the codes of the protocol."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.errors import RateLimited
from app.web.graphql.bodies import BadRequest, decode_json

MAX_ID = 128


class SocketClose(Exception):
    """Ends the socket. `reason` is cut to the 123 bytes that a close frame has room for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason.encode(errors="replace")[:123].decode(errors="ignore")


def read_message(event: Mapping[str, object], max_bytes: int) -> dict[str, object]:
    """The message in what the server received. Raises SocketClose."""
    text = event.get("text")
    if not isinstance(text, str):
        raise SocketClose(4400, "Messages are text")
    raw = text.encode(errors="replace")
    if len(raw) > max_bytes:
        raise SocketClose(1009, f"A message has at most {max_bytes} bytes")
    try:
        decoded = decode_json(raw)
    except BadRequest as bad:
        raise SocketClose(4400, f"Invalid message: {bad.message}") from None
    message = decoded.value
    if not isinstance(message, dict):
        raise SocketClose(4400, "Invalid message: not a JSON object")
    if not decoded.clean and message.get("type") != "subscribe":
        raise SocketClose(4400, "Invalid message: half of a surrogate pair in a text")
    if not isinstance(message.get("payload"), dict | None):
        raise SocketClose(4400, "Invalid message: payload is not an object")
    return message


def read_id(message: Mapping[str, object]) -> str:
    """The id of the operation that a message is about. Raises SocketClose."""
    value = message.get("id")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID:
        raise SocketClose(4400, f"Invalid message: id must be a text of 1 to {MAX_ID} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SocketClose(4400, "Invalid message: half of a surrogate pair in the id") from None
    return value


def too_many(limited: RateLimited) -> SocketClose:
    """Says when to come back: a browser's page sees the code and the reason, and nothing else."""
    return SocketClose(4429, f"{limited.message}. Try again in {limited.retry_after_seconds} s")
