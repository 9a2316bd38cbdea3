"""Where a server is, as people write it: a host name, and perhaps its port and a user."""

from __future__ import annotations

import re
from typing import NamedTuple

from spalloc_gevent.errors import BadValueError

_WRITTEN = re.compile(
    r"""(?P<scheme>spalloc://)?
    (?:(?P<user>[^\s'"/\[\]:@]+(?:@[^\s'"/\[\]:@]+)?)@)?
    (?:\[(?P<ipv6>[^\s\[\]]+)\]|(?P<host>[^\s'"/\[\]@]+?))
    (?::(?P<port>[0-9]{1,5}))?
    (?(scheme)/?)""",
    re.VERBOSE,
)


class ServerAddress(NamedTuple):
    """A server's address, taken apart.

    port, user: None when they were not written.
    """

    host: str
    port: int | None = None
    user: str | None = None


def server_address(text: str) -> ServerAddress:
    """Take an address apart.

    Args:
        text: ``host``, ``host:port``, ``::1``, ``[::1]:port``, each perhaps with ``user@`` in
            front, and all that perhaps after ``spalloc://``.

    Returns:
        The parts; the host without brackets, as the resolver takes it.

    Raises:
        ValueError: it cannot be the address of a server.
    """
    if _is_ipv6(text):
        return ServerAddress(text)
    found = _WRITTEN.fullmatch(text)
    if found is not None:
        host, ipv6, port = found["host"], found["ipv6"], found["port"]
        is_host = _is_name(host) if ipv6 is None else _is_ipv6(ipv6)
        if is_host and (port is None or 1 <= int(port) <= 65535):
            number = None if port is None else int(port)
            return ServerAddress(ipv6 or host, number, found["user"])
    raise BadValueError(f"hostname {text!r} is not a host name or IP address")


def with_port(address: ServerAddress, port: int | None) -> ServerAddress:
    """The address with the port that was said beside it, None for none.

    Raises:
        ValueError: the two are different ports.
    """
    if port is not None and address.port not in (None, port):
        raise BadValueError(
            f"port {port} is not the port of hostname '{bracketed(address.host)}:{address.port}': "
            "give only one of the two"
        )
    return address if port is None else address._replace(port=port)


def bracketed(host: str) -> str:
    """The host as it stands before a colon and a port: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or not text.isprintable() or re.search(r"[\s'\"/@\[\]]", text):
        return False
    # Hardly anybody gives one.
    from ipaddress import IPv6Address

    try:
        return bool(IPv6Address(text))
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    if ":" in text or not text.isprintable():
        return False
    if text.isascii():
        return all(0 < len(label) < 64 for label in text.removesuffix(".").split("."))
    try:
        return bool(text.encode("idna"))
    except UnicodeError:
        return False
