"""Loopback stays loopback: Ray would take it for the machine's outer address."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray._private import ray_constants, services

from actors.remote import loopback
from actors.remote.loopback import bind_to_loopback, join, loopback_kept


def test_an_address_on_loopback_is_looked_for_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []

    def init(address: str, **_options: Any) -> None:
        sought.append(services.canonicalize_bootstrap_address(address) or "")

    monkeypatch.setattr(ray, "init", init)

    for address in ("127.0.0.1:6379", "192.0.2.7:6379"):
        join(address)

    assert sought == ["127.0.0.1:6379", "192.0.2.7:6379"]


def test_a_program_that_has_joined_has_rays_setting_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for theirs in (True, False):
        monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", theirs)
        with pytest.raises(ConnectionError), loopback_kept():
            raise ConnectionError
        assert theirs is ray_constants.ENABLE_RAY_CLUSTER


@pytest.mark.parametrize(
    ("wanted", "bound"), [("[::]:0", "127.0.0.1:0"), ("127.0.0.1:31000", "127.0.0.1:31000")]
)
def test_what_replicas_tell_each_other_by_is_bound_to_loopback(wanted: str, bound: str) -> None:
    asked: list[str] = []

    def add_port(_server: object, address: str) -> int:
        asked.append(address)
        return 7

    module = SimpleNamespace(add_port_to_grpc_server=add_port)
    bind_to_loopback(module)

    assert module.add_port_to_grpc_server(None, wanted) == 7
    assert asked == [bound]


def test_serve_binds_by_the_function_that_is_replaced() -> None:
    replica = importlib.import_module("ray.serve._private.replica")

    assert callable(replica.add_port_to_grpc_server)


@pytest.mark.parametrize(("address", "replaced"), [("127.0.0.1", True), ("192.0.2.7", False)])
def test_a_replica_of_a_cluster_listens_as_serve_has_it(
    monkeypatch: pytest.MonkeyPatch, address: str, *, replaced: bool
) -> None:
    modules: list[Any] = []
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: address)
    monkeypatch.setattr(loopback, "bind_to_loopback", modules.append)

    loopback.keep_replica_there()

    assert bool(modules) is replaced
