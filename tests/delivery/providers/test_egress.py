"""Which URLs from outside are contacted, and that a refused one costs no connection."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pyreqwest.http import Url

from delivery.providers.base import ConfigError
from delivery.providers.egress import (
    MAX_URL_CHARS,
    Refused,
    Rule,
    Target,
    Unresolved,
    admit,
    check,
    is_public,
    lookup,
    resolve,
    rule,
)
from delivery.providers.egress_client import PIN_S, Egress
from delivery.providers.http import Answer, NoAnswer
from tests.delivery.providers.local_servers import Http1Server, Reply, authority

RULE = rule({"allow_origins": ["https://127.0.0.1:9443"]}, ["push.example", ".notify.example"])
PUBLIC = "9.9.9.9"


def answers(*addresses: str) -> Callable[[str], list[str]]:
    return lambda host: list(addresses)


def unresolvable(host: str) -> list[str]:
    raise Unresolved("no such name")


# What may be contacted


@pytest.mark.parametrize(
    ("url", "as_sent", "origin"),
    [
        (
            "https://push.example/a/b?token=x%2fy&z=1",
            "https://push.example/a/b?token=x%2fy&z=1",
            "https://push.example",
        ),
        ("https://PUSH.Example", "https://push.example/", "https://push.example"),
        ("https://push.example:443/a", "https://push.example/a", "https://push.example"),
        ("https://push.example:/a", "https://push.example/a", "https://push.example"),
        ("https://db5p.notify.example/?token=1", "https://db5p.notify.example/?token=1", "https://db5p.notify.example"),
        ("https://a.b.notify.example/", "https://a.b.notify.example/", "https://a.b.notify.example"),
        ("https://127.0.0.1:9443/a", "https://127.0.0.1:9443/a", "https://127.0.0.1:9443"),
    ],
)
def test_spells_an_allowed_url_in_one_way(url: str, as_sent: str, origin: str) -> None:
    target = check(url, RULE)

    assert (target.url, target.origin) == (as_sent, origin)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "character"),
        ("push.example/a", "https"),
        ("http://push.example/a", "https"),
        ("ftp://push.example/a", "https"),
        ("https:/push.example/a", "host"),
        ("https:///push.example/a", "host"),
        ("https://", "host"),
        ("https://push.example:8443/a", "port 443"),
        ("https://push.example:99999/a", "port"),
        ("https://push.example:x/a", "port"),
        ("https://user@push.example/a", "user name"),
        ("https://push.example@evil.example/a", "user name"),
        ("https://evil.example/a", "allowlist"),
        ("https://evil.example/?push.example", "allowlist"),
        ("https://push.example.evil.example/a", "allowlist"),
        ("https://notify.example/a", "allowlist"),
        ("https://evilnotify.example/a", "allowlist"),
        ("https://localhost/a", "allowlist"),
        ("https://push.example./a", "host"),
        ("https://-push.example/a", "host"),
        ("https://push..example/a", "host"),
        ("https://xn--a.notify.example/a", "host"),
        (f"https://{'a' * 64}.notify.example/", "host"),
        ("https://127.0.0.1/a", "IP address"),
        ("https://127.1/a", "IP address"),
        ("https://2130706433/a", "IP address"),
        ("https://0x7f.0.0.1/a", "IP address"),
        ("https://0x7f000001/a", "IP address"),
        ("https://0177.0.0.1/a", "IP address"),
        ("https://9.9.9.9/a", "IP address"),
        ("https://[::1]/a", "IP address"),
        ("https://[::ffff:127.0.0.1]/a", "IP address"),
        ("https://[2620:fe::fe]/a", "IP address"),
        ("https://[::1/a", "read"),
        ("https://127.0.0.1:9444/a", "port 443"),
        ("http://127.0.0.1:9443/a", "https"),
        ("https://push.example\\@evil.example/a", "character"),
        ("https://push.example/a\r\nX-Evil: 1", "character"),
        ("https://push.example/a b", "character"),
        (" https://push.example/a", "character"),
        ("https://push.ex\tample/a", "character"),
        ("https://push。example/a", "character"),
        ("https://púsh.example/a", "character"),
        ("https://push.example/a#b", "character"),
        ("https://push.example/" + "a" * MAX_URL_CHARS, "characters"),
    ],
)
def test_refuses_every_other_url(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        check(url, RULE)


SCHEMES = st.sampled_from([*["https://"] * 9, "https:", "https:///", "HTTPS://", "http://", "\\\\", " https://"])
BEFORE = st.sampled_from([*[""] * 5, "evil.example/", "evil.example@", "evil.example\\@", "evil.example?", "@", "%"])
HOSTS = st.sampled_from(["push.example", "PUSH.example", "a_b.notify.example", "xn--a.notify.example"])
NOISE = r"/ // /.. /./ /%2e%2e/ \ ? ?a=b & # @ : :443 :0443 :8443 ; % . .. evil.example %40evil.example %00 [::1] ' | ^"
AFTER = st.lists(st.sampled_from([*NOISE.split(), " ", "\t", "\r\n", "\u3002", "\uff0f"]), max_size=4).map("".join)


@given(st.tuples(SCHEMES, BEFORE, HOSTS, AFTER).map("".join))
@settings(max_examples=500)
def test_means_the_same_host_as_the_parser_that_connects(url: str) -> None:
    try:
        target = check(url, RULE)
    except Refused:
        return

    event("allowed")
    connects_to = Url.parse(target.url)
    assert (connects_to.scheme, connects_to.host_str, connects_to.port) == ("https", target.host, None)
    assert (connects_to.username, connects_to.password) == ("", None)
    assert target.host == "push.example" or target.host.endswith(".notify.example")


def test_quotes_nothing_of_a_refused_url() -> None:
    with pytest.raises(Refused) as refused:
        check("https://secret.example/secret", RULE)

    assert "secret" not in str(refused.value)


def test_shows_no_path_of_an_allowed_url() -> None:
    assert "secret" not in repr(check("https://push.example/secret", RULE))


@pytest.mark.parametrize("host", ["*.example.com", ".com", "com", "", "https://push.example.com", "10.0.0.1", ".1.2"])
def test_takes_no_allowlist_entry_that_matches_nothing_or_too_much(host: str) -> None:
    config = {"allowed_hosts": [host or "."]}

    with pytest.raises(ConfigError, match="allowed_hosts"):
        rule(config, [])


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:9443", "127.0.0.1:9443", "https://127.0.0.1:9443/path", "https://a@127.0.0.1", "*"]
)
def test_takes_no_origin_that_is_not_plain_https(origin: str) -> None:
    with pytest.raises(ConfigError, match="allow_origins"):
        rule({"allow_origins": [origin]}, [])


def test_reads_settings_as_text_with_commas() -> None:
    found = rule(
        {"allowed_hosts": "a.example, .B.example", "allow_origins": "https://[::1]:9443,https://c.example/"}, []
    )

    assert found == Rule(frozenset({"a.example", ".b.example"}), frozenset({"https://[::1]:9443", "https://c.example"}))


# Addresses


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "100.63.255.255", "100.128.0.0", "2620:fe::fe", "2a00:1450::1"])
def test_knows_a_public_address(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:9.9.9.9",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "localhost",
        "",
    ],
)
def test_knows_every_class_that_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_refuses_a_host_with_one_private_address_among_public_ones() -> None:
    with pytest.raises(Refused, match="not public"):
        resolve("push.example", answers(PUBLIC, "10.0.0.1"))


def test_asks_the_system_for_a_name() -> None:
    assert "127.0.0.1" in lookup("localhost")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
def test_says_when_a_name_has_no_address(host: str) -> None:
    with pytest.raises(Unresolved):
        lookup(host)


# Registration


def test_refuses_to_register_a_name_that_points_inward() -> None:
    target = check("https://push.example/a", RULE)

    with pytest.raises(Refused, match="not public"):
        admit(target, answers("192.168.1.1"))


def test_registers_a_name_that_points_outward() -> None:
    admit(check("https://push.example/a", RULE), answers(PUBLIC))


def test_registers_a_name_while_the_dns_is_away() -> None:
    admit(check("https://push.example/a", RULE), unresolvable)


def test_registers_the_operators_own_service_without_asking_the_dns() -> None:
    admit(check("https://127.0.0.1:9443/a", RULE), unresolvable)


# Sending. `pinned` stands for an address that passed the check, as no test may leave this machine.


def target_of(server: Http1Server, host: str = "push.example") -> Target:
    """A host of the allowlist, but on the server's port, since 443 is not free for tests."""
    return replace(check(f"https://{host}/a", RULE), url=f"https://{host}:{server.port}/a")


def pinned(*addresses: str) -> Callable[[str], list[str]]:
    return lambda host: list(addresses)


async def post(egress: Egress, target: Target, times: int = 1) -> Answer:
    try:
        for _ in range(times):
            answer = await egress.post(target, content=b"x", headers={})
        return answer
    finally:
        await egress.aclose()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_makes_no_connection_to_a_host_that_points_inward(address: str) -> None:
    with Http1Server(tls=True) as server:
        egress = Egress(ca_file=authority().ca_file, resolve=partial(resolve, ask=answers(address)))

        with pytest.raises(Refused, match="not public"):
            asyncio.run(post(egress, target_of(server)))

    assert server.connections == 0


def test_connects_to_the_address_that_was_checked_under_the_name_of_the_url() -> None:
    with Http1Server(tls=True) as server:
        egress = Egress(ca_file=authority().ca_file, resolve=pinned("127.0.0.1"))

        answer = asyncio.run(post(egress, target_of(server)))

    assert answer.status == 200
    assert server.received[0].headers["host"] == f"push.example:{server.port}"


def test_asks_for_a_name_once_and_keeps_its_connection() -> None:
    asked: list[str] = []

    def ask(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Http1Server(tls=True) as server:
        asyncio.run(post(Egress(ca_file=authority().ca_file, resolve=ask), target_of(server), times=3))

    assert (asked, server.connections, len(server.received)) == (["push.example"], 1, 3)


def test_asks_once_for_many_sends_at_the_same_time() -> None:
    asked: list[str] = []

    def ask(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async def burst(egress: Egress, target: Target) -> None:
        await asyncio.gather(*(egress.post(target, content=b"", headers={}) for _ in range(20)))
        await egress.aclose()

    with Http1Server(tls=True) as server:
        asyncio.run(burst(Egress(ca_file=authority().ca_file, resolve=ask), target_of(server)))

    assert (asked, len(server.received)) == (["push.example"], 20)


def test_looks_again_after_a_while_and_refuses_a_host_that_turned_inward() -> None:
    now = [0.0]
    found = [["127.0.0.1"]]

    def ask(host: str) -> list[str]:
        if not found:
            raise Refused("the host of the URL has an address that is not public")
        return found.pop()

    async def twice(egress: Egress, target: Target) -> None:
        await egress.post(target, content=b"", headers={})
        now[0] += PIN_S + 1
        try:
            await egress.post(target, content=b"", headers={})
        finally:
            await egress.aclose()

    with Http1Server(tls=True) as server, pytest.raises(Refused):
        asyncio.run(twice(Egress(ca_file=authority().ca_file, resolve=ask, clock=lambda: now[0]), target_of(server)))

    assert len(server.received) == 1


def test_moves_to_a_new_address_when_the_old_one_is_withdrawn() -> None:
    now = [0.0]
    found = ["127.0.0.1", "127.0.0.2"]

    async def twice(egress: Egress, target: Target) -> None:
        await egress.post(target, content=b"", headers={})
        now[0] += PIN_S + 1
        try:
            await egress.post(target, content=b"", headers={})
        finally:
            await egress.aclose()

    with Http1Server(tls=True) as server:
        egress = Egress(ca_file=authority().ca_file, resolve=lambda host: [found.pop(0)], clock=lambda: now[0])

        with pytest.raises(NoAnswer) as failure:
            asyncio.run(twice(egress, target_of(server)))

    assert len(server.received) == 1
    assert failure.value.sent is False


def test_looks_again_at_once_where_nobody_listens() -> None:
    asked: list[str] = []

    def ask(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"]

    async def twice(egress: Egress, target: Target) -> None:
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await egress.post(target, content=b"", headers={})
        await egress.aclose()

    with Http1Server(tls=True) as server:
        asyncio.run(twice(Egress(ca_file=authority().ca_file, resolve=ask), target_of(server)))

    assert len(asked) == 2


def test_says_no_answer_while_a_name_has_no_address() -> None:
    egress = Egress(resolve=partial(resolve, ask=unresolvable))

    with pytest.raises(NoAnswer) as failure:
        asyncio.run(post(egress, check("https://push.example/a", RULE)))

    assert failure.value.sent is False


def test_follows_no_redirect() -> None:
    with Http1Server(tls=True) as inner:
        moved = Reply(302, headers={"location": f"https://localhost:{inner.port}/"})
        with Http1Server(lambda _: moved, tls=True) as server:
            egress = Egress(ca_file=authority().ca_file, resolve=pinned("127.0.0.1"))

            answer = asyncio.run(post(egress, target_of(server)))

    assert (answer.status, inner.connections) == (302, 0)


def test_reaches_the_operators_own_service_without_asking_the_dns() -> None:
    with Http1Server(tls=True) as server:
        own = rule({"allow_origins": f"https://127.0.0.1:{server.port}"}, [])
        target = check(f"https://127.0.0.1:{server.port}/a", own)

        answer = asyncio.run(post(Egress(ca_file=authority().ca_file, resolve=unresolvable), target))

    assert answer.status == 200
