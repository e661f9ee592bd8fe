"""Where endpoints that are made at run time may be: nowhere that only this network reaches.

Whoever makes one has the service send requests. So they go over https to public addresses alone, but
for the hosts that the environment names.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from yarl import URL

URL_LENGTH_MAX = 2_048
HOSTS = "ALLOTMENT_ENDPOINT_HOSTS"
LEADING_ELSEWHERE = tuple(
    map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)
"""Addresses that stand for one of IPv4, whichever that is."""


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the internet's, for one receiver."""
    found: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.is_site_local or any(found in network for network in LEADING_ELSEWHERE):
            return False
        found = found.ipv4_mapped or found
    return found.is_global and not found.is_multicast


def check_destination(url: str, hosts: Collection[str]) -> None:
    """Raise ValueError where events may not be sent. The address is not in the message.

    `hosts`: those that the environment names; they may be http, and anywhere. What a name stands for
    is looked at when it is connected to.
    """
    if not 1 <= len(url) <= URL_LENGTH_MAX or not url.isprintable() or " " in url:
        raise ValueError(f"is an address of 1 to {URL_LENGTH_MAX} printable characters")
    try:
        parts = URL(url)  # What sends reads it so: `+443`, too, for a port.
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("is not an http or https address") from None
    host = parts.host
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("is not an http or https address")
    if host in hosts:
        return
    if parts.scheme != "https":
        raise ValueError(f"is an https address, unless {HOSTS} names its host")
    if not _may_be_public(host):
        raise ValueError(f"is a public address, unless {HOSTS} names its host")


def _may_be_public(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:  # A name.
        return host.rstrip(".") != "localhost" and not host.rstrip(".").endswith(".localhost")
