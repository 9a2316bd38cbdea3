"""What users of the existing client import from its ``scripts.support`` module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.compat.spalloc_config import SpallocConfig
from spalloc_gevent.errors import IncompatibleServerError
from spalloc_gevent.job import VERSION_RANGE_START as VERSION_RANGE_START
from spalloc_gevent.job import VERSION_RANGE_STOP as VERSION_RANGE_STOP
from spalloc_gevent.scripts.common import add_server_options, require_hostname, run
from spalloc_gevent.wire.version import check_version


class Terminate(Exception):  # noqa: N818
    """The program is to end with this exit code; :meth:`exit` does so."""

    def __init__(self, code: int, message: str | None = None, *args: object) -> None:
        """`message`: what to say on standard error, a format for `args` if there are any."""
        super().__init__()
        self._code = code
        self._message = message.format(*args) if message and args else message

    def exit(self) -> NoReturn:
        if self._message is not None:
            print(self._message, file=sys.stderr)
        sys.exit(self._code)


def version_verify(client: ProtocolClient, timeout: float | None) -> None:
    """Raise Terminate unless the server is of a version that this client speaks."""
    try:
        check_version(client.version(timeout))
    except IncompatibleServerError as error:
        raise Terminate(2, str(error)) from None


class Script:
    """A command line program with the options that say where the server is: call it.

    A subclass has ``get_parser(config)``, ``verify_arguments(arguments)`` and
    ``body(client, arguments)``.
    """

    def __init__(self) -> None:
        self.client_factory = ProtocolClient

    def get_parser(self, cfg: SpallocConfig) -> argparse.ArgumentParser:
        raise NotImplementedError

    def verify_arguments(self, args: argparse.Namespace) -> None:
        raise NotImplementedError

    def body(self, client: ProtocolClient, args: argparse.Namespace) -> Any:
        raise NotImplementedError

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run with these arguments (None: this process's); the exit code."""
        config = SpallocConfig()
        parser = self.get_parser(config)
        add_server_options(parser, config)
        arguments = parser.parse_args(argv)
        return run(lambda: self._run(parser, arguments), prog=parser.prog)

    def _run(self, parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
        require_hostname(parser, arguments)
        self.verify_arguments(arguments)
        try:
            with self.client_factory(arguments.hostname, arguments.port) as client:
                if not arguments.ignore_version:
                    version_verify(client, arguments.timeout)
                self.body(client, arguments)
        except Terminate as end:
            end.exit()
        return 0
