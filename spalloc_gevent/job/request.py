"""What is asked for: arguments over configuration, checked before the network sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spalloc_gevent.address import server_address, with_port
from spalloc_gevent.config import Config
from spalloc_gevent.errors import BadValueError
from spalloc_gevent.wire.checks import as_int as as_int
from spalloc_gevent.wire.checks import as_number, as_port, check_create_job, plain_number
from spalloc_gevent.wire.checks import at_least as at_least

REQUIREMENTS = (
    "owner",
    "keepalive",
    "machine",
    "tags",
    "min_ratio",
    "max_dead_boards",
    "max_dead_links",
    "require_torus",
)
SERVER_OPTIONS = ("hostname", "port", "reconnect_delay", "timeout", "ignore_version", "guardian")
LEDGER_OPTIONS = ("ledger", "label")
ALL_KEYWORDS = (
    *SERVER_OPTIONS,
    *REQUIREMENTS,
    *LEDGER_OPTIONS,
    "config_filenames",
    "resume_job_id",
)


@dataclass(frozen=True)
class ServerOptions:
    """Which server, and how patiently."""

    hostname: str
    port: int
    reconnect_delay_s: float
    timeout_s: float | None
    ignore_version: bool
    guardian: bool
    """Whether the guardian stands in for a program that cannot send its keepalives."""


@dataclass(frozen=True)
class JobRequest:
    """The arguments of ``create_job``."""

    size: tuple[int, ...]
    options: Mapping[str, Any]

    @property
    def keepalive_s(self) -> float | None:
        """The keepalive interval in seconds, or None for none."""
        keepalive: float | None = self.options["keepalive"]
        return keepalive

    @property
    def owner(self) -> str:
        owner: str = self.options["owner"]
        return owner


def with_address_apart(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with the host name alone in ``hostname``: a port and a user stand beside it.

    Raises BadValueError for what cannot be an address, and for another port beside it.
    """
    hostname = given.get("hostname")
    if not isinstance(hostname, str) or not hostname.strip():
        return dict(given)
    port = given.get("port")
    address = with_port(server_address(hostname), None if port is None else as_port(port))
    parts = {"owner": address.user, "port": address.port}
    named = {name: part for name, part in parts.items() if part is not None}
    return {**named, **given, "hostname": address.host}


def server_options(given: Mapping[str, Any], config: Config) -> ServerOptions:
    """Which server is meant; an argument that was given counts before the configuration."""
    hostname = given.get("hostname", config.hostname)
    if hostname is None:
        raise BadValueError(
            "no hostname given: pass hostname=, set SPALLOC_HOSTNAME, or write "
            "`hostname = SERVER` in a configuration file"
        )
    timeout = given.get("timeout", config.timeout)
    delay = given.get("reconnect_delay", config.reconnect_delay)
    return ServerOptions(
        hostname=hostname,
        port=given.get("port", config.port),
        reconnect_delay_s=not_negative(delay, "reconnect_delay"),
        timeout_s=None if timeout is None else _positive(timeout, "timeout"),
        ignore_version=bool(given.get("ignore_version", config.ignore_version)),
        guardian=bool(given.get("guardian", config.guardian)),
    )


def not_negative(value: object, name: str) -> float:
    """`value` as a number of seconds."""
    number = as_number(value, name)
    if number < 0:
        raise BadValueError(f"{name} must be 0 seconds or more, not {value!r}")
    return number


def _positive(value: object, name: str) -> float:
    number = as_number(value, name)
    if number <= 0:
        raise BadValueError(f"{name} must be more than 0 seconds, or None for ever, not {value!r}")
    return number


def job_request(args: Sequence[object], given: Mapping[str, Any], config: Config) -> JobRequest:
    """What to ask the server for; raises ValueError or TypeError for what nobody can have."""
    options = {name: getattr(config, name) for name in REQUIREMENTS}
    options.update((name, given[name]) for name in REQUIREMENTS if name in given)
    _let_given_one_win(options, given)
    size = check_create_job(args, options)
    if options["keepalive"] is not None:
        options["keepalive"] = plain_number(options["keepalive"], "keepalive")
    options["min_ratio"] = as_number(options["min_ratio"], "min_ratio")
    if options["tags"] is not None:
        options["tags"] = list(options["tags"])
    return JobRequest(size, options)


def _let_given_one_win(options: dict[str, Any], given: Mapping[str, Any]) -> None:
    # machine and tags exclude each other: the argument counts before the configuration's other.
    if given.get("machine") is not None and "tags" not in given:
        options["tags"] = None
    elif given.get("tags") is not None and "machine" not in given:
        options["machine"] = None
