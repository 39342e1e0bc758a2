"""Fetches calendars over HTTP from addresses that strangers typed in (docs/adr/0009).

Each hop: the host is resolved once, every address it has must be public, and the connection goes to one of those very
addresses, so that a name that changes meanwhile gains nothing. The certificate is checked against the name. No proxy of
the environment is asked: it would resolve the name again.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from app.adapters.network_guard import is_public
from app.domain.feed_url import normalize_feed_url
from app.ports import FeedContents, FeedProblem, FeedUnchanged

MOST_BYTES = 5_000_000
DEADLINE_S = 20.0
MOST_REDIRECTS = 3
MOST_ADDRESSES = 3
"""Of one host, tried one after the other."""
LONGEST_PATIENCE = timedelta(days=1)
"""A server that asks for more is asked again anyway."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → its addresses. Raises OSError."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429})
_VALIDATOR = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,498}[\x21-\x7e])?", re.ASCII)
_PHASE_TIMEOUT_S = 10.0


class _Failed(Exception):
    """The fetch ends here."""

    def __init__(self, reason: str, *, is_refused: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.problem = FeedProblem(reason, is_refused, retry_after)


async def resolve(host: str, port: int) -> Sequence[str]:
    """By the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpCalendarFetcher:
    """Implements CalendarFetcher. `allow_private` is for calendars in the operator's own network, and for tests.

    Each fetch has a connection of its own; nothing that a server sets is kept for the next.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        allow_plain_http: bool = False,
        most_bytes: int = MOST_BYTES,
        deadline_s: float = DEADLINE_S,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._allow_private = allow_private
        self._schemes = {"https", "http"} if allow_plain_http else {"https"}
        self._most_bytes = most_bytes
        self._deadline_s = deadline_s
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(),
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        self._resolve = resolve

    async def close(self) -> None:
        await self._transport.aclose()

    async def fetch(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> FeedUnchanged | FeedContents | FeedProblem:
        """See CalendarFetcher."""
        validators = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        conditions = {name: value for name, value in validators.items() if value is not None}
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._follow(url, conditions)
        except _Failed as failed:
            return failed.problem
        except TimeoutError:
            return FeedProblem(f"The server did not answer in full within {self._deadline_s:g} seconds.")

    async def _follow(self, url: str, conditions: dict[str, str]) -> FeedUnchanged | FeedContents:
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._ask(self._checked(url), conditions)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._answer(response, conditions)
                url = _target(url, response)
            finally:
                await response.aclose()
        raise _Failed(f"The address redirects more than {MOST_REDIRECTS} times.", is_refused=True)

    def _checked(self, url: str) -> httpx.URL:
        try:
            checked = httpx.URL(normalize_feed_url(url))
        except (ValueError, httpx.InvalidURL) as error:
            raise _Failed("The address is no web address that can be fetched.", is_refused=True) from error
        if checked.scheme not in self._schemes:
            raise _Failed(
                "The address must be an https address: http shows it to everybody on the way.", is_refused=True
            )
        return checked

    async def _ask(self, url: httpx.URL, conditions: dict[str, str]) -> httpx.Response:
        """The head of the answer, from the first address that takes a connection."""
        failure: Exception | None = None
        for address in await self._addresses(url):
            request = httpx.Request(
                "GET",
                url.copy_with(host=address),
                headers={
                    "Host": url.netloc.decode("ascii"),
                    "Accept": "text/calendar, */*;q=0.1",
                    "Accept-Encoding": "gzip",
                    "User-Agent": "Turnero-calendar",
                    "Connection": "close",
                    **conditions,
                },
                extensions={
                    "timeout": dict.fromkeys(("connect", "read", "write", "pool"), _PHASE_TIMEOUT_S),
                    "sni_hostname": url.raw_host.decode("ascii"),
                },
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
            except httpx.TransportError as error:
                raise _Failed("The server broke off its answer, or sent what is no HTTP.") from error
        if _is_certificate_fault(failure):
            raise _Failed("The server's certificate is not valid for its name.") from failure
        raise _Failed("No connection to the server can be made.") from failure

    async def _addresses(self, url: httpx.URL) -> Sequence[str]:
        """Where the host is, all of it public: one that is not would be the one we get next time."""
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise _Failed("The server's name is not known.") from error
        if not found:
            raise _Failed("The server's name is not known.")
        if not self._allow_private and not all(map(is_public, found)):
            raise _Failed("The address leads into a private network.", is_refused=True)
        return found[:MOST_ADDRESSES]

    async def _answer(self, response: httpx.Response, conditions: dict[str, str]) -> FeedUnchanged | FeedContents:
        if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
            return FeedUnchanged()
        if response.status_code != httpx.codes.OK:
            raise _refusal(response)
        if response.headers.get("content-type", "").lower().startswith("text/html"):
            raise _Failed("There is a web page at this address, and no calendar.", is_refused=True)
        try:
            body = await self._body(response)
        except (httpx.TransportError, httpx.StreamError) as error:
            raise _Failed("The server broke off its answer, or sent what is no HTTP.") from error
        return FeedContents(body, _validator(response, "etag"), _validator(response, "last-modified"))

    async def _body(self, response: httpx.Response) -> bytes:
        """Unpacked by ourselves, never further than the limit: a few bytes may stand for gigabytes."""
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"identity", "", "gzip", "x-gzip"}:
            raise _Failed("The server sends the calendar in a coding that was not asked for.", is_refused=True)
        unpack = None if coding in {"identity", ""} else zlib.decompressobj(16 + zlib.MAX_WBITS)
        body = bytearray()
        async with aclosing(_raw(response)) as chunks:
            async for chunk in chunks:
                room = self._most_bytes + 1 - len(body)
                try:
                    body += chunk[:room] if unpack is None else unpack.decompress(chunk, room)
                except zlib.error as error:
                    raise _Failed("The server's answer cannot be unpacked.") from error
                if len(body) > self._most_bytes:
                    raise _Failed(
                        f"The calendar is larger than {self._most_bytes / 1_000_000:g} million bytes.", is_refused=True
                    )
        if unpack is not None and not unpack.eof:
            raise _Failed("The server broke off its answer.")
        return bytes(body)


async def _raw(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """As it comes, not unpacked."""
    async for chunk in response.aiter_raw():
        yield chunk


def _target(url: str, response: httpx.Response) -> str:
    try:
        return str(httpx.URL(url).join(response.headers["location"]))
    except (KeyError, ValueError, httpx.InvalidURL) as error:
        raise _Failed("The address redirects to nowhere.", is_refused=True) from error


def _refusal(response: httpx.Response) -> _Failed:
    status = response.status_code
    patience = _retry_after(response.headers.get("retry-after", ""))
    if status in _BUSY or status >= 500:
        return _Failed(f"The server cannot answer now (status {status}).", retry_after=patience)
    if status in {401, 403}:
        reason = "The server wants a sign-in; use the calendar's secret address"
        return _Failed(f"{reason} (status {status}).", is_refused=True)
    if status == 410:
        return _Failed("The calendar was taken away for good (status 410).", is_refused=True)
    if status == 404:
        return _Failed("There is no calendar at this address (status 404).", is_refused=True)
    return _Failed(f"The server gave no calendar (status {status}).", is_refused=status >= 400, retry_after=patience)


def _retry_after(value: str) -> timedelta | None:
    """Seconds, or a date; at most a day."""
    text = value.strip()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return min(timedelta(seconds=int(text)), LONGEST_PATIENCE)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for numbers of twenty digits
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(timedelta(0), min(until - datetime.now(UTC), LONGEST_PATIENCE))


def _validator(response: httpx.Response, name: str) -> str | None:
    """What may be sent back as it is: one line of printable ASCII, not too long."""
    value = response.headers.get(name, "")
    return value if _VALIDATOR.fullmatch(value) else None


def _is_certificate_fault(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
