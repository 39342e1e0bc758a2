"""Fetching calendars from addresses that strangers typed in."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.adapters.calendar_feed import HttpCalendarFetcher
from app.adapters.network_guard import is_public
from app.domain.feed_url import masked_url, normalize_feed_url
from app.ports import CalendarFetcher, FeedContents, FeedProblem, FeedUnchanged
from tests.adapters.feed_twin import FeedsInMemory, WireServer, etag_of, ok, wire_server

BODY = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
PUBLIC = "93.184.215.14"


@pytest.fixture
async def wire() -> AsyncIterator[WireServer]:
    async with wire_server() as server:
        yield server


@pytest.fixture
async def fetcher() -> AsyncIterator[HttpCalendarFetcher]:
    fetcher = HttpCalendarFetcher(allow_private=True, allow_plain_http=True, most_bytes=100_000, deadline_s=5)
    yield fetcher
    await fetcher.close()


# ── the contract of the port ──────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["http", "memory"])
def feeds(
    request: pytest.FixtureRequest, wire: WireServer, fetcher: HttpCalendarFetcher
) -> tuple[CalendarFetcher, Any]:
    """A fetcher and what puts a body at a path of its world, giving the address."""
    if request.param == "http":

        def put(path: str, body: bytes) -> str:
            async def answer(head: bytes) -> bytes:
                if f"If-None-Match: {etag_of(body)}".encode() in head:
                    return b"HTTP/1.1 304 Not Modified\r\n\r\n"
                return ok(body, f"ETag: {etag_of(body)}")

            return wire.add(path, answer)

        return fetcher, put
    memory = FeedsInMemory()

    def keep(path: str, body: bytes) -> str:
        memory.bodies[path] = body
        return path

    return memory, keep


async def test_contract(feeds: tuple[CalendarFetcher, Callable[[str, bytes], str]]) -> None:
    fetcher, put = feeds
    url = put("/a.ics", BODY)
    found = await fetcher.fetch(url)
    assert found == FeedContents(BODY, etag_of(BODY))
    assert await fetcher.fetch(url, etag=etag_of(BODY)) == FeedUnchanged()
    put("/a.ics", BODY * 2)
    changed = await fetcher.fetch(url, etag=etag_of(BODY))
    assert isinstance(changed, FeedContents)
    assert changed.body == BODY * 2
    nothing = await fetcher.fetch(url.replace("a.ics", "b.ics"))
    assert isinstance(nothing, FeedProblem)
    assert nothing.is_refused


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
        *("100.100.100.200", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.192", "168.63.129.16", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fec0::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "", "example.com", "64:ff9b:1::a00:1"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_what_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/a", "http://localhost/a", "http://[::1]/a", "http://[::ffff:127.0.0.1]/a", "http://0/a"),
        *("http://2130706433/a", "http://0x7f.1/a", "http://127.1/a", "http://169.254.169.254/"),
        *("http://[fe80::1]/a", "http://10.0.0.1:8080/a", "https://192.168.0.1/a"),
    ],
)
async def test_private_addresses_are_never_connected_to(url: str) -> None:
    def connected(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("connected")

    fetcher = HttpCalendarFetcher(allow_plain_http=True, transport=httpx.MockTransport(connected))
    found = await fetcher.fetch(url)
    assert found == FeedProblem("The address leads into a private network.", is_refused=True)


class Internet:
    """Names and answers by (address, path); what was asked is kept."""

    def __init__(self, names: dict[str, list[str]], answers: dict[str, httpx.Response]) -> None:
        self.names, self.answers = names, answers
        self.resolved: list[str] = []
        self.requests: list[httpx.Request] = []

    async def resolve(self, host: str, _port: int) -> list[str]:
        self.resolved.append(host)
        if host not in self.names and not host.replace(".", "").isdigit():
            raise OSError("unknown")
        return self.names.get(host, [host])

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert is_public(request.url.host), "connected to a private address"
        return self.answers[request.headers["host"] + request.url.path]

    def fetcher(self, **options: Any) -> HttpCalendarFetcher:
        return HttpCalendarFetcher(resolve=self.resolve, transport=httpx.MockTransport(self.answer), **options)


def redirect(target: str, status: int = 302) -> httpx.Response:
    return httpx.Response(status, headers={"location": target})


async def test_it_connects_to_the_very_address_it_checked() -> None:
    world = Internet(
        {"cal.example": [PUBLIC, "1.1.1.1"]}, {"cal.example:8443/a": httpx.Response(200, stream=httpx.ByteStream(BODY))}
    )
    assert isinstance(await world.fetcher().fetch("webcal://Cal.Example:8443/a#top"), FeedContents)
    (request,) = world.requests
    assert (request.url.host, request.url.port, request.url.scheme) == (PUBLIC, 8443, "https")
    assert request.headers["host"] == "cal.example:8443"
    assert request.extensions["sni_hostname"] == "cal.example"
    assert world.resolved == ["cal.example"], "a second answer of the name server is never asked for"


async def test_a_name_with_one_private_address_is_refused() -> None:
    world = Internet({"cal.example": [PUBLIC, "10.0.0.7"]}, {})
    found = await world.fetcher().fetch("https://cal.example/a")
    assert found == FeedProblem("The address leads into a private network.", is_refused=True)
    assert world.requests == []


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "https://127.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://inside.example/"],
)
async def test_a_redirect_into_a_private_network_is_refused(target: str) -> None:
    names = {"cal.example": [PUBLIC], "inside.example": ["192.168.1.5"]}
    world = Internet(names, {"cal.example/a": redirect(target)})
    found = await world.fetcher(allow_plain_http=True).fetch("https://cal.example/a")
    assert found == FeedProblem("The address leads into a private network.", is_refused=True)
    assert len(world.requests) == 1


async def test_redirects() -> None:
    answers = {
        "cal.example/1": redirect("/2"),
        "cal.example/2": redirect("https://other.example/3", 308),
        "other.example/3": redirect("4", 301),
        "other.example/4": httpx.Response(200, stream=httpx.ByteStream(BODY)),
        "cal.example/loop": redirect("loop"),
        "cal.example/down": redirect("http://cal.example/1"),
        "cal.example/file": redirect("file:///etc/passwd"),
        "cal.example/nowhere": httpx.Response(302),
    }
    fetcher = Internet({"cal.example": [PUBLIC], "other.example": ["1.1.1.1"]}, answers).fetcher()
    assert isinstance(await fetcher.fetch("https://cal.example/1"), FeedContents)
    for path, reason in {
        "loop": "The address redirects more than 3 times.",
        "down": "The address must be an https address: http shows it to everybody on the way.",
        "file": "The address is no web address that can be fetched.",
        "nowhere": "The address redirects to nowhere.",
    }.items():
        assert await fetcher.fetch(f"https://cal.example/{path}") == FeedProblem(reason, is_refused=True)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("webcal://Example.COM/A.ics?x=1#y", "https://example.com/A.ics?x=1"),
        (" https://example.com ", "https://example.com/"),
        ("http://example.com:8080/a", "http://example.com:8080/a"),
    ],
)
def test_an_address_as_people_paste_it(given: str, kept: str) -> None:
    assert normalize_feed_url(given) == kept
    assert normalize_feed_url(kept) == kept


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https:///a",
            "https://u@h/",
            "//h/",
        ),
        *(
            "https://u:p@h/",
            "https://h:0/",
            "https://h:99999/",
            "https://h:x/",
            "https://h /",
            "https://h/\x00",
            "\ud800",
        ),
        *(
            "https://[::1/",
            "https://h\\@evil/",
            "https://h/" + "a" * 2_000,
            "javascript:alert(1)",
            "https://h/\n"[:-1] + " b",
        ),
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|must|names) "):
        normalize_feed_url(url)


def test_masked() -> None:
    assert masked_url("https://example.com/secret.ics?key=1") == "https://example.com/…"


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────


async def test_packed(wire: WireServer, fetcher: HttpCalendarFetcher) -> None:
    url = wire.add("/a", ok(gzip.compress(BODY), "Content-Encoding: gzip"))
    found = await fetcher.fetch(url)
    assert isinstance(found, FeedContents)
    assert found.body == BODY


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ok(b"x" * 100_001), "The calendar is larger than 0.1 million bytes."),
        (
            ok(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip"),
            "The calendar is larger than 0.1 million bytes.",
        ),
        (
            ok(BODY, "Content-Encoding: br"),
            "The server sends the calendar in a coding that was not asked for.",
        ),
        (
            ok(gzip.compress(gzip.compress(BODY)), "Content-Encoding: gzip, gzip"),
            "The server sends the calendar in a coding that was not asked for.",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 1\r\n\r\nx",
            "There is a web page at this address, and no calendar.",
        ),
        (b"HTTP/1.1 410 Gone\r\n\r\n", "The calendar was taken away for good (status 410)."),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "There is no calendar at this address (status 404)."),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "The server wants a sign-in; use the calendar's secret address (status 403).",
        ),
        (b"HTTP/1.1 400 Bad\r\n\r\n", "The server gave no calendar (status 400)."),
    ],
)
async def test_refused(wire: WireServer, fetcher: HttpCalendarFetcher, answer: bytes, problem: str) -> None:
    assert await fetcher.fetch(wire.add("/a", answer)) == FeedProblem(problem, is_refused=True)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 500 Oh\r\n\r\n", FeedProblem("The server cannot answer now (status 500).")),
        (
            b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n\r\n",
            FeedProblem("The server cannot answer now (status 429).", retry_after=timedelta(seconds=120)),
        ),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: 999999999\r\n\r\n",
            FeedProblem("The server cannot answer now (status 503).", retry_after=timedelta(days=1)),
        ),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: Fri, 31 Dec 2199 23:59:59 GMT\r\n\r\n",
            FeedProblem("The server cannot answer now (status 503).", retry_after=timedelta(days=1)),
        ),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n\r\n",
            FeedProblem("The server cannot answer now (status 503).", retry_after=timedelta(0)),
        ),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: whenever\r\n\r\n",
            FeedProblem("The server cannot answer now (status 503)."),
        ),
        *(
            (
                b"HTTP/1.1 503 Later\r\nRetry-After: " + date + b"\r\n\r\n",
                FeedProblem("The server cannot answer now (status 503)."),
            )
            for date in (
                b"Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
                b"Fri, 99999999999999999999 Dec 2026 23:59:59 GMT",
                b"Fri, 31 Dec 2026 23:59:59 +99999999999999999999",
            )
        ),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", FeedProblem("The server gave no calendar (status 304).")),
        (b"HTTP/1.1 206 Part\r\n\r\n", FeedProblem("The server gave no calendar (status 206).")),
        (b"what?\r\n\r\n", FeedProblem("The server broke off its answer, or sent what is no HTTP.")),
        (b"", FeedProblem("The server broke off its answer, or sent what is no HTTP.")),
        (ok(BODY)[:-5], FeedProblem("The server broke off its answer, or sent what is no HTTP.")),
        (ok(b"not packed", "Content-Encoding: gzip"), FeedProblem("The server's answer cannot be unpacked.")),
        (ok(gzip.compress(BODY)[:-9], "Content-Encoding: gzip"), FeedProblem("The server broke off its answer.")),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
            FeedProblem("The server broke off its answer, or sent what is no HTTP."),
        ),
    ],
)
async def test_failed(wire: WireServer, fetcher: HttpCalendarFetcher, answer: bytes, problem: FeedProblem) -> None:
    assert await fetcher.fetch(wire.add("/a", answer)) == problem


async def test_a_server_that_never_ends(wire: WireServer) -> None:
    """The deadline is for the whole answer, however it is spread."""

    async def wait(_head: bytes) -> bytes:
        await wire.is_released.wait()
        return b""

    fetcher = HttpCalendarFetcher(allow_private=True, allow_plain_http=True, deadline_s=0.2)
    async with asyncio.timeout(5):
        found = await fetcher.fetch(wire.add("/a", wait))
    assert found == FeedProblem("The server did not answer in full within 0.2 seconds.")
    await fetcher.close()


async def test_nobody_there(fetcher: HttpCalendarFetcher) -> None:
    assert await fetcher.fetch("http://127.0.0.1:1/a") == FeedProblem("No connection to the server can be made.")
    assert await fetcher.fetch("http://no.such.host.invalid/") == FeedProblem("The server's name is not known.")


async def test_no_tls(wire: WireServer, fetcher: HttpCalendarFetcher) -> None:
    found = await fetcher.fetch(wire.url.replace("http:", "https:") + "/a")
    assert found == FeedProblem("No connection to the server can be made.")


async def test_nothing_is_kept_between_fetches(wire: WireServer, fetcher: HttpCalendarFetcher) -> None:
    url = wire.add("/a", ok(BODY, "Set-Cookie: a=b; Path=/", "ETag: bad\x01etag", "Last-Modified: " + "x" * 600))
    found = await fetcher.fetch(url)
    assert found == FeedContents(BODY)
    await fetcher.fetch(url, etag='W/"x"', last_modified="Wed, 21 Oct 2026 07:28:00 GMT")
    first, second = wire.requests
    assert b"cookie" not in second.lower()
    assert b"if-none-match" not in first.lower()
    assert b'If-None-Match: W/"x"\r\n' in second
    assert b"If-Modified-Since: Wed, 21 Oct 2026 07:28:00 GMT\r\n" in second


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_over_ipv6() -> None:
    async with wire_server("::1") as wire:
        fetcher = HttpCalendarFetcher(allow_private=True, allow_plain_http=True)
        assert isinstance(await fetcher.fetch(wire.add("/a", ok(BODY))), FeedContents)
        await fetcher.close()
