"""Where the service sends requests for endpoints that are made at run time, and where never."""

import socket
from collections.abc import Iterator

import pytest
from aiohttp.resolver import ThreadedResolver

from actors.events.destinations import URL_LENGTH_MAX, check_destination, is_public
from actors.events.http_client import HttpOut, UnreachableError
from tests.fakes.shards import in_loop
from tests.service.receiver import Receiver

INSIDE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.0.9",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "64:ff9b:1::7f00:1",
]
OUTSIDE = ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"]
SPELLINGS = ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"]
"""Other ways to write 127.0.0.1, which only what connects takes for it."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_that_only_a_network_reaches_is_public(address: str) -> None:
    assert not is_public(address)
    spelt = f"[{address.replace('%', '%25')}]" if ":" in address else address
    with pytest.raises(ValueError, match=r"^is a"):
        check_destination(f"https://{spelt}/hook", ())


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)
    check_destination(f"https://{f'[{address}]' if ':' in address else address}/hook", ())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example",
        "//crm.example",
        "https://",
        "https:///hook",
        "ftp://crm.example",
        "file:///etc/passwd",
        "http://crm.example",
        "HTTP://crm.example",
        "https://localhost",
        "https://LOCALHOST.",
        "https://a.localhost",
        "https://ada@localhost/",
        "https://crm.example@127.0.0.1/",
        "https://crm.example\\@127.0.0.1/",
        "https://crm.example:port/",
        "https://crm.example/\n",
        "https://crm.example/ ",
        "https://crm.example/" + "a" * URL_LENGTH_MAX,
    ],
)
def test_what_is_refused_is_not_said_again(url: str) -> None:
    with pytest.raises(ValueError, match=r"^is ") as refused:
        check_destination(url, ("inside",))

    assert "example" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://inside/", "https://inside:1/", "http://INSIDE", "http://127.0.0.1"]
)
def test_hosts_that_the_environment_names_may_be_anywhere(url: str) -> None:
    check_destination(url, ("inside", "127.0.0.1"))


@in_loop
async def test_nothing_is_sent_to_an_address_that_is_not_public(receiver: Receiver) -> None:
    refused = []
    http = HttpOut(1, ())
    try:
        for host in ("127.0.0.1", "localhost", *SPELLINGS):
            for scheme in ("http", "https"):
                url = f"{scheme}://{host}:{receiver.port}/hooks"
                with pytest.raises(UnreachableError) as failure:
                    await http.post(url, b"{}", {})
                refused.append(str(failure.value))
    finally:
        await http.close()

    assert receiver.attempts == 0
    assert not any(str(receiver.port) in text for text in refused)


@in_loop
async def test_a_name_is_looked_up_for_each_connection_and_none_of_its_addresses_is_inside(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that stood for a public address when the endpoint was made may stand for another now."""

    async def resolve(_: object, host: str, port: int, __: object) -> list[dict[str, object]]:
        named = {"hostname": host, "port": port, "proto": 0, "flags": 0}
        return [
            named | {"host": address, "family": socket.AF_INET}
            for address in ("93.184.216.34", "127.0.0.1")
        ]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    http = HttpOut(1, ())
    try:
        with pytest.raises(UnreachableError, match="DNS"):
            await http.post(f"https://crm.example:{receiver.port}/hooks", b"{}", {})
    finally:
        await http.close()

    assert receiver.attempts == 0


@in_loop
async def test_a_host_that_is_named_is_sent_to(receiver: Receiver) -> None:
    receiver.manner = "500"
    http = HttpOut(1, ("127.0.0.1", "localhost"))
    try:
        statuses = [
            await http.post(f"http://{host}:{receiver.port}/hooks", b"{}", {})
            for host in ("127.0.0.1", "localhost")
        ]
    finally:
        await http.close()

    assert statuses == [500, 500]
