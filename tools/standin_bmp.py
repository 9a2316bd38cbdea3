"""A stand-in for the board management processors (BMPs) that a spalloc server drives.

Speaks SCP inside SDP over UDP, one loopback address a frame, all on the port that the real
server uses for every BMP. It agrees to whatever it is told: there are no boards behind it.
Standard library only; ``python3 tools/standin_bmp.py --help`` says how to run it by hand.

Packet layout (little-endian): 2 pad bytes; SDP header of 8 bytes: flags, tag, destination port
and CPU, source port and CPU, destination y, destination x, source y, source x; then u16 command
(or, in an answer, result code), u16 sequence, three u32 arguments, data.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import ipaddress
import json
import os
import random
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools import processes

BMP_PORT = 17893

# Not seeded, and not the random module's own: tests that seed that one run side by side.
_RANDOM = random.SystemRandom()

_SDP = struct.Struct("<2xBBBBBBBB")
_SCP_HEAD = struct.Struct("<HH")
_SCP_ARGUMENTS = struct.Struct("<III")
_SCP_AT = _SDP.size
_ARGUMENTS_AT = _SCP_AT + _SCP_HEAD.size
_REQUEST_MIN_BYTES = _ARGUMENTS_AT + _SCP_ARGUMENTS.size

_FLAGS_NO_REPLY_EXPECTED = 0x07
_RESULT_OK = 128
_RESULT_BAD_COMMAND = 131

_BUFFER_BYTES = 256
_BMP_VERSION = 200  # 2.00 in hundredths; below 2 a server does not use the FPGA registers
_BUILD_DATE = 0
_VERSION_TEXT = b"BC&MP/Spin5-BMP\0"


def _version(_arguments: tuple[int, int, int]) -> bytes:
    where_it_is = bytes(4)  # p, physical core, y, x: a BMP is at the origin of its own frame
    return (
        where_it_is + struct.pack("<HHI", _BUFFER_BYTES, _BMP_VERSION, _BUILD_DATE) + _VERSION_TEXT
    )


def _fpga_register(arguments: tuple[int, int, int]) -> bytes:
    # The server reads the flag register to learn whether FPGA number arg3 knows its own number.
    return struct.pack("<I", arguments[2])


def _done(_arguments: tuple[int, int, int]) -> bytes:
    return b""


_ANSWERS: dict[int, Callable[[tuple[int, int, int]], bytes]] = {
    0: _version,
    17: _fpga_register,
    18: _done,  # FPGA register write
    57: _done,  # power
}


def answer_to(request: bytes) -> bytes | None:
    """The datagram that answers `request`; None for one too short to be an SCP command."""
    if len(request) < _REQUEST_MIN_BYTES:
        return None
    command, sequence = _SCP_HEAD.unpack_from(request, _SCP_AT)
    arguments = _SCP_ARGUMENTS.unpack_from(request, _ARGUMENTS_AT)
    answer = _ANSWERS.get(command)
    result = _RESULT_BAD_COMMAND if answer is None else _RESULT_OK
    data = b"" if answer is None else answer(arguments)
    return _returned_header(request) + _SCP_HEAD.pack(result, sequence) + data


def _returned_header(request: bytes) -> bytes:
    _flags, tag, to_port, from_port, to_y, to_x, from_y, from_x = _SDP.unpack_from(request)
    return _SDP.pack(_FLAGS_NO_REPLY_EXPECTED, tag, from_port, to_port, from_y, from_x, to_y, to_x)


class StandInBmps:
    """Sockets bound to one loopback address a frame, answered from one thread.

    Either `addresses` says which, or `count` how many: then free ones of 127.0.0.0/8 are
    taken, so that any number of these can run side by side although the port is fixed.
    Raises OSError when an address cannot be bound.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        addresses: Sequence[str] | None = None,
        port: int = BMP_PORT,
        randint: Callable[[int, int], int] = _RANDOM.randint,
    ) -> None:
        with contextlib.ExitStack() as undo:
            self._sockets = [
                undo.enter_context(
                    _bind_free(port, randint) if wanted is None else _bind(wanted, port)
                )
                for wanted in (addresses if addresses is not None else [None] * count)
            ]
            self._wake, self._woken = map(undo.enter_context, socket.socketpair())
            self._undo = undo.pop_all()
        self._thread = threading.Thread(target=self._serve, name="stand-in BMPs", daemon=True)

    @property
    def addresses(self) -> list[str]:
        """The bound addresses, in the order asked for."""
        return [udp.getsockname()[0] for udp in self._sockets]

    def __enter__(self) -> StandInBmps:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join()
        self._undo.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._woken, *self._sockets):
                selector.register(each, selectors.EVENT_READ, each)
            while True:
                for key, _ in selector.select():
                    if key.data is self._woken:
                        return
                    _answer_one(key.data)


def _answer_one(udp: socket.socket) -> None:
    try:
        request, sender = udp.recvfrom(65_536)
        answer = answer_to(request)
        if answer is not None:
            udp.sendto(answer, sender)
    except OSError:
        # UDP: a sender that has gone, or a full buffer, is the network losing a packet.
        return


def _bind(address: str, port: int) -> socket.socket:
    if not ipaddress.ip_address(address).is_loopback:
        raise ValueError(f"{address} is not a loopback address; a stand-in BMP serves only those")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)  # a datagram seen by select() may have gone by the time it is read
    try:
        udp.bind((address, port))
    except OSError:
        udp.close()
        raise
    return udp


def _bind_free(port: int, randint: Callable[[int, int], int]) -> socket.socket:
    for _ in range(100):
        address = f"127.{randint(1, 254)}.{randint(1, 254)}.{randint(1, 254)}"
        try:
            return _bind(address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(
                    error.errno,
                    f"cannot bind UDP {address}:{port} ({error.strerror}); stand-in BMPs need "
                    "all of 127.0.0.0/8 on the loopback interface, as Linux has it",
                ) from error
    raise OSError(errno.EADDRINUSE, f"no free address for UDP port {port} in 100 tries")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Answer a spalloc server in the place of BMPs.")
    parser.add_argument("addresses", nargs="*", help="loopback addresses to serve")
    parser.add_argument("--count", type=int, default=1, help="how many free ones, if none is named")
    parser.add_argument(
        "--port", type=int, default=BMP_PORT, help="UDP port (default: %(default)s)"
    )
    parser.add_argument("--parent-pid", type=int, default=os.getppid(), help=argparse.SUPPRESS)
    parser.add_argument("--announce-fd", type=int, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    stop = processes.stop_on_signals(signal.SIGTERM, signal.SIGINT)
    with StandInBmps(
        arguments.count, addresses=arguments.addresses or None, port=arguments.port
    ) as bmps:
        told = json.dumps(bmps.addresses)
        if arguments.announce_fd is None:
            print(told, flush=True)
        else:
            processes.announce(arguments.announce_fd, told)
        processes.serve_until_stopped(arguments.parent_pid, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
