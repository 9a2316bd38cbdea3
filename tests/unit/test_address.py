"""The server's address as people write it, at each place where it is taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from spalloc_gevent.address import ServerAddress, bracketed, server_address
from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.config import load_config
from spalloc_gevent.errors import BadValueError, ConfigError
from spalloc_gevent.job.request import with_address_apart
from spalloc_gevent.scripts.alloc_options import parse
from spalloc_gevent.scripts.common import CommandError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", ("host", None, None)),
        ("host.", ("host.", None, None)),
        ("127.0.0.1:1", ("127.0.0.1", 1, None)),
        ("my_server:65535", ("my_server", 65535, None)),
        ("::1", ("::1", None, None)),
        ("[::1]", ("::1", None, None)),
        ("[::1]:22244", ("::1", 22244, None)),
        ("[fe80::1%eth0]:2", ("fe80::1%eth0", 2, None)),
        ("me@host", ("host", None, "me")),
        ("spalloc://host", ("host", None, None)),
        ("spalloc://me@host:3/", ("host", 3, "me")),
        ("spalloc://me@example.org@host:3", ("host", 3, "me@example.org")),
        ("spalloc://[::1]:4", ("::1", 4, None)),
        ("b\u00fccher.example:5", ("b\u00fccher.example", 5, None)),
    ],
)
def test_an_address_is_taken_apart(text: str, parts: tuple[str, int | None, str | None]) -> None:
    assert server_address(text) == ServerAddress(*parts)


@pytest.mark.parametrize(
    "text",
    [
        *("", " a", "ho st", "ho\nst", "'a'", "a/b", "http://a/", "host/", "a..b", "x" * 64),
        *("host:", "host:0", "host:65536", "host:http", "a:1:2", ":1", "[]", "[host]", "[::1"),
        *("::1]", "[::1]1", "::g", "@host", "me:secret@host", "spalloc://", "spalloc://me@"),
        "\u00fc..b",
    ],
)
def test_what_cannot_be_an_address_is_refused(text: str) -> None:
    with pytest.raises(BadValueError, match="is not a host name or IP address"):
        server_address(text)


def test_only_an_address_of_ipv6_is_shown_in_brackets() -> None:
    assert [bracketed(host) for host in ("::1", "host", "127.0.0.1")] == [
        *("[::1]", "host", "127.0.0.1")
    ]


# -- in the configuration ----------------------------------------------------------------------


def test_port_and_owner_in_a_variable_outrank_those_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "spalloc"
    file.write_text("[spalloc]\nhostname = other:1\nport = 1\nowner = you\n")
    config = load_config([file], {"SPALLOC_HOSTNAME": "spalloc://me@[::1]:2"})
    assert (config.hostname, config.port, config.owner) == ("::1", 2, "me")


def test_port_of_a_host_name_that_is_not_in_force_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "spalloc"
    file.write_text("[spalloc]\nhostname = me@other:1\n")
    config = load_config([file], {"SPALLOC_HOSTNAME": "host"})
    assert (config.hostname, config.port, config.owner) == ("host", 22244, None)


def test_port_and_owner_of_a_later_place_outrank_those_in_the_host_name(tmp_path: Path) -> None:
    file = tmp_path / "spalloc"
    file.write_text("[spalloc]\nhostname = you@host:1\n")
    config = load_config([file], {"SPALLOC_PORT": "2", "SPALLOC_OWNER": "me"})
    assert (config.hostname, config.port, config.owner) == ("host", 2, "me")


def test_another_port_in_the_same_place_is_an_error_and_the_same_one_is_none() -> None:
    said = {"SPALLOC_HOSTNAME": "host:1", "SPALLOC_PORT": "1", "SPALLOC_OWNER": "me"}
    assert load_config([], said).port == 1
    with pytest.raises(ConfigError, match="'host:1' names another port than '2'"):
        load_config([], {**said, "SPALLOC_PORT": "2"})


# -- in arguments ------------------------------------------------------------------------------


def test_a_job_takes_port_and_owner_from_its_host_name() -> None:
    apart = with_address_apart({"hostname": "spalloc://me@host:1", "keepalive": 2.0})
    assert apart == {"hostname": "host", "port": 1, "owner": "me", "keepalive": 2.0}


def test_the_owner_that_a_job_is_given_counts_and_another_port_is_refused() -> None:
    said = {"hostname": "me@host:1", "port": 1, "owner": "you"}
    assert with_address_apart(said) == {"hostname": "host", "port": 1, "owner": "you"}
    with pytest.raises(BadValueError, match="port 2 is not the port of hostname 'host:1'"):
        with_address_apart({**said, "port": 2})


def test_a_client_takes_an_address_and_shows_ipv6_in_brackets() -> None:
    assert repr(ProtocolClient("[::1]:7")) == "<ProtocolClient [::1]:7 not connected>"
    assert repr(ProtocolClient("::1")) == "<ProtocolClient [::1]:22244 not connected>"
    with pytest.raises(BadValueError, match=r"port 22244 is not the port of hostname '\[::1\]:7'"):
        ProtocolClient("[::1]:7", 22244)
    with pytest.raises(BadValueError, match="is not a host name"):
        ProtocolClient("http://host/")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-H", "host:1"], ("host", 1, "you")),
        (["-H", "me@host"], ("host", 9, "me")),
        (["-H", "me@[::1]:1", "--owner", "you", "--port", "1"], ("::1", 1, "you")),
        (["--port", "2"], ("there", 2, "you")),
    ],
)
def test_a_command_line_outranks_what_is_configured(
    words: list[str], expected: tuple[str, int, str]
) -> None:
    environ = {"SPALLOC_HOSTNAME": "there:9", "SPALLOC_OWNER": "you"}
    options = parse(words, environ).job_options
    assert (options["hostname"], options["port"], options["owner"]) == expected


def test_a_command_line_with_two_ports_is_refused() -> None:
    with pytest.raises(CommandError) as caught:
        parse(["-H", "host:1", "--port", "2", "--owner", "me"], {})
    told = "--port 2 is not the port of hostname 'host:1': give only one of the two"
    assert (str(caught.value), caught.value.code) == (f"spalloc: error: {told}", 2)
