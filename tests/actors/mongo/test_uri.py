"""What the URI may say is where the database is; servers that will not do are named."""

from typing import Any

import pytest

from actors.mongo.connection import check_suitable, connect
from actors.mongo.uri import EMBEDDED_SET_NAME, OURS, problem_of_options, problem_of_server
from actors.protocol.store import UnsuitableDatabaseError

HELLO = {"setName": "rs0", "hosts": ["a.example:27017"]}


@pytest.mark.parametrize(
    "options",
    [
        "",
        "?",
        "?replicaSet=rs0&tls=true&authSource=admin&compressors=zlib",
        "?retryWrites=true&w=majority&appName=Cluster0",  # What Atlas gives.
        "?readPreference=primary&readConcernLevel=majority&journal=true&maxPoolSize=50",
    ],
)
def test_a_uri_may_say_where_the_database_is_and_how_to_sign_in(options: str) -> None:
    assert problem_of_options(f"mongodb://ada:secret@a.example,b.example/{options}") is None
    connect(f"mongodb://ada:secret@a.example,b.example/{options}", "app").client.close()


def test_a_certificate_that_is_not_there_is_named() -> None:
    with pytest.raises(UnsuitableDatabaseError, match=r"not usable: .*nowhere\.pem"):
        connect("mongodb://a.example/?tls=true&tlsCAFile=/nowhere.pem", "app")


@pytest.mark.parametrize("name", OURS)
def test_an_option_of_ours_is_refused_by_name(name: str) -> None:
    for uri in (
        f"mongodb://a.example/?tls=true&{name}=7",
        f"mongodb://a.example/?{name.upper()}=7;tls=true",
        f"mongodb+srv://cluster.example/app?{name}=7",
    ):
        with pytest.raises(UnsuitableDatabaseError, match=f"ALLOTMENT_MONGO_URI sets {name}: "):
            connect(uri, "app")


def test_all_that_is_refused_is_named_at_once_and_no_value() -> None:
    problem = problem_of_options(
        "mongodb://h/?readPreference=secondaryPreferred&retryWrites=false&timeoutMS=hidden"
        "&readPreferenceTags=dc:ny&readPreferenceTags="
    )

    assert problem is not None
    assert "sets readPreference, retryWrites, timeoutMS, readPreferenceTags:" in problem
    assert "hidden" not in problem


@pytest.mark.parametrize(
    ("hello", "build", "hosts", "named"),
    [
        ({"msg": "isdbgrid"}, {}, ["a.example"], "a mongos"),
        ({}, {}, ["a.example"], "without change streams"),
        (HELLO, {}, ["x.docdb.amazonaws.com"], "Amazon DocumentDB"),
        (HELLO, {}, ["a.example", "b.us-east-1.docdb-elastic.amazonaws.com:27017"], "DocumentDB"),
        (HELLO, {}, ["x.mongo.cosmos.azure.com:10255"], "Azure Cosmos DB"),
        (HELLO, {}, ["x.mongocluster.COSMOS.azure.com."], "Azure Cosmos DB"),
        (HELLO, {"_t": "BuildInfoResponse"}, ["10.0.0.1:10255"], "Azure Cosmos DB"),
        (HELLO, {"ferretdb": {"version": "2"}}, ["a.example"], "FerretDB"),
        ({"msg": "isdbgrid"}, {}, ["x.docdb.amazonaws.com"], "DocumentDB"),
    ],
)
def test_a_server_that_will_not_do_is_named(
    hello: dict[str, Any], build: dict[str, Any], hosts: list[str], named: str
) -> None:
    problem = problem_of_server(hello, build, hosts, is_direct=False)

    assert problem is not None
    assert named in problem
    assert problem.endswith(".")


def test_one_member_alone_is_refused_but_for_the_embedded_server() -> None:
    embedded = {"setName": "secantus"}

    assert problem_of_server(HELLO, {}, ["a.example"], is_direct=False) is None
    assert "directConnection" in str(problem_of_server(HELLO, {}, [], is_direct=True))
    assert problem_of_server(embedded, {}, ["127.0.0.1"], is_direct=True) is None


@pytest.mark.parametrize("options", ["", "&directConnection=true"])
def test_the_embedded_server_will_do(mongo_uri: str, options: str) -> None:
    if EMBEDDED_SET_NAME not in mongo_uri:
        pytest.skip("the embedded server is not used")
    database = connect(mongo_uri + options, "app")

    check_suitable(database)

    database.client.close()
