"""Which addresses of the network a stranger may make us connect to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            *("100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
            *("64:ff9b:1::/48", "3fff::/20", "5f00::/16"),
        ),
    )
)
"""Whatever the running Python thinks of them; 168.63.129.16 is Azure's metadata service, 64:ff9b:1::/48 a network's own
translation to IPv4."""
_NAT64 = ip_network("64:ff9b::/96")
_LOWEST_32_BITS = (1 << 32) - 1


def is_public(text: str) -> bool:
    """Is it an address of the open internet? Not private, loopback, link-local, shared (CGNAT), multicast, reserved or
    a cloud's metadata; nor an IPv6 address that leads to such an IPv4 one. False for what is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return _is_public(inner)
        if address.sixtofour is not None or address.teredo is not None or address.is_site_local:
            return False
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_special and not any(address in network for network in _NOT_PUBLIC)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets for this one end at."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if int(address) >> 32 == 0 and int(address) > 1:  # ::a.b.c.d, long abolished
        return IPv4Address(int(address) & _LOWEST_32_BITS)
    if address in _NAT64:
        return IPv4Address(int(address) & _LOWEST_32_BITS)
    return None
