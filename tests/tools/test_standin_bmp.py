"""The stand-in BMP says what PROTOCOL facts say a BMP says."""

from __future__ import annotations

import errno
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tools import standin_bmp
from tools.environments import ROOT
from tools.standin_bmp import StandInBmps, answer_to

_HEADER = bytes([0x87, 0xFF, 0x21, 0x43, 0x05, 0x06, 0x07, 0x08])


def scp(command: int, sequence: int = 0x1234, arguments: Sequence[int] = (0, 0, 0)) -> bytes:
    return b"\0\0" + _HEADER + struct.pack("<HHIII", command, sequence, *arguments)


def answered(request: bytes) -> tuple[bytes, int, int, bytes]:
    """SDP header, result, sequence and data of the answer to `request`."""
    answer = answer_to(request)
    assert answer is not None
    assert answer[:2] == b"\0\0"
    result, sequence = struct.unpack_from("<HH", answer, 10)
    return answer[2:10], result, sequence, answer[14:]


@pytest.mark.parametrize("command", [0, 17, 18, 57])
def test_every_command_of_the_server_is_answered_ok_with_its_own_sequence_number(
    command: int,
) -> None:
    _, result, sequence, _ = answered(scp(command, sequence=0xBEEF))
    assert (result, sequence) == (128, 0xBEEF)


def test_an_answer_goes_back_where_the_request_came_from() -> None:
    header, *_ = answered(scp(57))
    assert header == bytes([0x07, 0xFF, 0x43, 0x21, 0x07, 0x08, 0x05, 0x06])


def test_version_names_a_spin5_bmp_of_version_2() -> None:
    *_, data = answered(scp(0))
    assert struct.unpack_from("<HH", data, 4) == (256, 200)
    assert data[12:] == b"BC&MP/Spin5-BMP\0"


def test_reading_an_fpga_register_gives_the_number_of_the_fpga() -> None:
    *_, data = answered(scp(17, arguments=(0x40004, 4, 2)))
    assert data == struct.pack("<I", 2)


@pytest.mark.parametrize("command", [18, 57])
def test_writing_and_power_are_acknowledged_without_data(command: int) -> None:
    *_, data = answered(scp(command, arguments=(1, 2, 3)))
    assert data == b""


def test_an_unknown_command_is_answered_with_an_error() -> None:
    _, result, _, data = answered(scp(99))
    assert (result, data) == (131, b"")


@pytest.mark.parametrize("length", [0, 1, 9, 25])
def test_a_datagram_too_short_for_a_command_is_ignored(length: int) -> None:
    assert answer_to(scp(0)[:length]) is None


def test_each_frame_answers_from_an_address_of_its_own() -> None:
    with StandInBmps(3) as bmps:
        assert len(set(bmps.addresses)) == 3
        for address in bmps.addresses:
            assert talk(address) == answer_to(scp(0))


def test_rubbish_does_not_keep_a_bmp_from_answering_the_next_request() -> None:
    with StandInBmps(1) as bmps, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((bmps.addresses[0], standin_bmp.BMP_PORT))
        client.send(b"x")
        client.send(scp(0))
        assert client.recv(1000) == answer_to(scp(0))


def test_an_address_is_free_again_when_the_bmps_are_gone() -> None:
    with StandInBmps(1) as bmps:
        addresses = bmps.addresses
    with StandInBmps(addresses=addresses) as bmps:
        assert bmps.addresses == addresses


def test_a_taken_address_is_passed_over_when_any_will_do() -> None:
    with StandInBmps(1) as first:
        _, a, b, c = map(int, first.addresses[0].split("."))
        numbers = iter([a, b, c, a, b, 255 - c])
        with StandInBmps(1, randint=lambda *_: next(numbers)) as second:
            assert second.addresses == [f"127.{a}.{b}.{255 - c}"]


def test_a_taken_address_is_an_error_when_it_was_asked_for_by_name() -> None:
    with StandInBmps(1) as bmps, pytest.raises(OSError, match="in use") as caught:
        StandInBmps(addresses=bmps.addresses)
    assert caught.value.errno == errno.EADDRINUSE


def test_only_loopback_addresses_are_served() -> None:
    with pytest.raises(ValueError, match="not a loopback address"):
        StandInBmps(addresses=["0.0.0.0"])


def test_the_command_prints_its_addresses_when_it_serves() -> None:
    command = [sys.executable, str(ROOT / "tools" / "standin_bmp.py"), "--count=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert [talk(address) for address in addresses] == [answer_to(scp(0))] * 2
        process.terminate()
        assert process.wait(timeout=30) == 0


def talk(address: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((address, standin_bmp.BMP_PORT))
        client.send(scp(0))
        return client.recv(1000)
