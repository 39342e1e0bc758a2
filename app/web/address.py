"""Who is calling: the network address behind the proxies that we trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    """`["10.0.0.0/8", "127.0.0.1"]` → networks. Raises ValueError for anything else."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def client_address(scope: Mapping[str, Any], trusted: Sequence[IPNetwork]) -> str | None:
    """The caller's address, or None when the server knows none (a Unix socket).

    `X-Forwarded-For` is believed only when the peer itself is trusted. Each proxy appends the address it saw, so the
    list is read from its end: the first one that is not ours is the caller. Whatever stands to the left of an entry
    that is no address could have been made up by the caller, so reading stops there.
    """
    peer = scope.get("client")
    known = _peer(peer[0]) if peer else None
    if known is None:
        return None
    current, text = known
    if not trusted or not _is_trusted(current, trusted):
        return text
    forwarded = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
    for entry in reversed(forwarded.split(",")):
        candidate = _parse(entry)
        if candidate is None:
            break
        current = candidate
        if not _is_trusted(current, trusted):
            break
    return str(current)


@lru_cache(maxsize=4_096)  # the server's word, so it is short; clients come again and again
def _peer(host: str) -> tuple[IPAddress, str] | None:
    address = _parse(host)
    return None if address is None else (address, str(address))


@lru_cache(maxsize=4_096)
def address_bucket(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 of an IPv6 one, since a household has all of that."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address


def _is_trusted(address: IPAddress, trusted: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in trusted)


def _parse(text: str) -> IPAddress | None:
    """An address, with or without brackets or a port; an IPv4 one mapped into IPv6 is unwrapped."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
