"""What limits admit, and which limits are within others."""

from hypothesis import given
from hypothesis import strategies as st

from actors.auth.limits import KeyLimits
from domain.values import UserId

USERS = [UserId(name) for name in ("a", "ab", "abc", "b", "ba", "org/ada", "org/bob")]
SERVICES = ["chat", "image"]

some_users = st.none() | st.frozensets(st.sampled_from(USERS))
prefixes = st.none() | st.sampled_from(["a", "ab", "b", "org/"])
some_services = st.none() | st.frozensets(st.sampled_from(SERVICES))
limits = st.builds(KeyLimits, some_users, prefixes, some_services)


def admitted(limits: KeyLimits, service: str) -> bool:
    return limits.services is None or service in limits.services


@given(limits, limits)
def test_limits_within_others_admit_nothing_that_the_others_refuse(
    outer: KeyLimits, inner: KeyLimits
) -> None:
    if outer.admits_all_of(inner):
        for user_id in USERS:
            assert outer.admits_user(user_id) or not inner.admits_user(user_id)
        for service in SERVICES:
            assert admitted(outer, service) or not admitted(inner, service)
        assert inner.has_users or not outer.has_users
        assert inner.services is not None or outer.services is None


@given(limits)
def test_limits_are_within_themselves_and_within_none(some: KeyLimits) -> None:
    assert some.admits_all_of(some)
    assert KeyLimits().admits_all_of(some)
    assert some == KeyLimits() or not some.admits_all_of(KeyLimits())


def test_users_are_those_of_the_list_or_the_prefix() -> None:
    both = KeyLimits(frozenset({UserId("eve")}), "org/")

    assert [both.admits_user(UserId(n)) for n in ("eve", "org/ada", "org", "ev", "eve2")] == [
        *(True, True, False, False, False)
    ]
    assert not KeyLimits(frozenset()).admits_user(UserId("eve"))
    assert not KeyLimits(None, "").admits_user(UserId("eve"))
