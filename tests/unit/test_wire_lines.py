"""Bytes to lines: any split, any line end, a cap, and work that grows with the bytes alone."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spalloc_gevent.errors import ProtocolError
from spalloc_gevent.wire.lines import DEFAULT_MAX_LINE_BYTES, LineSplitter

LINE = st.binary(min_size=1, max_size=40).map(
    lambda line: line.replace(b"\n", b"?").strip(b" \t\r") or b"{}"
)
END = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b" \r\n", b"\t\n", b"\r \n"])


def in_pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(edges)]


def lines_of(pieces: Iterable[bytes], splitter: LineSplitter | None = None) -> list[bytes]:
    splitter = splitter or LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)]


@given(
    st.lists(st.tuples(LINE, END), max_size=12),
    LINE,
    st.lists(st.integers(0, 1000), max_size=30),
)
def test_any_split_of_any_stream_gives_the_same_lines(
    parts: list[tuple[bytes, bytes]], unfinished: bytes, cuts: list[int]
) -> None:
    stream = b"".join(line + end for line, end in parts) + unfinished
    whole = [line for line, _ in parts]
    assert lines_of([stream]) == whole
    assert lines_of(in_pieces(stream, cuts)) == whole
    assert lines_of(stream[at : at + 1] for at in range(len(stream))) == whole


def test_a_carriage_return_that_comes_in_another_piece_is_no_part_of_the_line() -> None:
    assert lines_of([b'{"return": 1}\r', b"\n"]) == [b'{"return": 1}']


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \n", b"\t \r\n", b" \r \n"])
def test_a_blank_line_is_left_out(blank: bytes) -> None:
    assert lines_of([blank, b"{}\n", blank]) == [b"{}"]


def test_no_bytes_complete_no_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"") == []
    splitter.feed(b"ab")
    assert splitter.feed(b"") == []
    assert splitter.held_bytes == 2


def test_held_bytes_are_those_of_the_unfinished_line() -> None:
    splitter = LineSplitter()
    splitter.feed(b"one\ntwo")
    assert splitter.held_bytes == 3
    splitter.feed(b"\n")
    assert splitter.held_bytes == 0


def test_lines_come_out_one_at_a_time_and_the_rest_is_kept_after_the_last() -> None:
    splitter = LineSplitter()
    lines = splitter.lines(b"one\ntwo\nthr")
    assert [next(lines), next(lines)] == [b"one", b"two"]
    assert list(lines) == []
    assert splitter.feed(b"ee\n") == [b"three"]


# -- the cap ------------------------------------------------------------------


def test_the_cap_is_64_mib_and_a_byte_more_is_refused_at_once() -> None:
    splitter = LineSplitter()
    mebibyte = bytes(1024 * 1024)
    for _ in range(64):
        assert splitter.feed(mebibyte) == []
    assert splitter.held_bytes == DEFAULT_MAX_LINE_BYTES == 64 * 1024 * 1024
    with pytest.raises(ProtocolError, match="more than 67108864 bytes"):
        splitter.feed(b"x")


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unfinished", "finished"])
def test_a_line_of_a_byte_more_than_the_cap_is_refused_whole_or_in_pieces(end: bytes) -> None:
    for pieces in ([b"y" * 11 + end], [b"y" * 10, b"y" + end]):
        with pytest.raises(ProtocolError, match=r"more than 10 bytes, beginning 'y{11}'$"):
            lines_of(pieces, LineSplitter(max_line_bytes=10))


def test_lines_of_just_the_cap_pass_however_many_come_at_once() -> None:
    assert LineSplitter(max_line_bytes=10).feed(b"0123456789\n" * 50) == [b"0123456789"] * 50


def test_the_refusal_of_a_long_line_quotes_its_first_80_characters() -> None:
    with pytest.raises(ProtocolError) as caught:
        LineSplitter(max_line_bytes=1000).feed("é".encode() * 2000)
    assert str(caught.value).endswith(f"beginning {'é' * 80!r}...")


def test_the_lines_before_one_too_long_still_come_out() -> None:
    lines = LineSplitter(max_line_bytes=5).lines(b"one\ntwo\ntoo long\nthree\n")
    assert [next(lines), next(lines)] == [b"one", b"two"]
    with pytest.raises(ProtocolError, match="'too lo'"):
        next(lines)


@pytest.mark.parametrize("more", [b"x", b"\n", b"{}\n"])
def test_a_line_too_long_stays_refused_whatever_follows(more: bytes) -> None:
    splitter = LineSplitter(max_line_bytes=5)
    for data in (b"too long", more, more):
        with pytest.raises(ProtocolError, match="more than 5 bytes"):
            splitter.feed(data)
    assert splitter.held_bytes == 6


def memory_to_be_refused(piece: bytes, cap: int) -> int:
    """The most bytes allocated at a time while an endless line is fed until it is refused."""
    # A piece of its own each time, as a socket gives them.
    pieces = (bytes(bytearray(piece)) for _ in range(cap))
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            lines_of(pieces, LineSplitter(cap))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [3, 1000, 1_000_000], ids="in pieces of {} bytes".format)
def test_an_endless_line_takes_little_more_memory_than_the_cap(size: int) -> None:
    cap = 32 * 1024
    assert memory_to_be_refused(b"x" * size, cap) < 3 * cap + 3 * size


# -- work ---------------------------------------------------------------------


class Work:
    """Counts the bytes that operations on a stream look at or copy."""

    def __init__(self) -> None:
        self.bytes = 0

    def on(self, *pieces: bytes | bytearray) -> None:
        self.bytes += sum(map(len, pieces))


class Weighed(bytes):
    """Bytes that report what is done with them, and so does what they are joined to."""

    work: Work

    @classmethod
    def of(cls, data: bytes, work: Work) -> Weighed:
        weighed = cls(data)
        weighed.work = work
        return weighed

    def __radd__(self, left: Any) -> Any:
        if isinstance(left, bytearray):
            self.work.on(left, self)
            return WeighedArray.of(left + bytes(self), self.work)
        return Weighed.of(left, self.work) + self

    def __add__(self, right: Any) -> Weighed:
        self.work.on(self, right)
        return Weighed.of(bytes.__add__(self, bytes(right)), self.work)

    def __contains__(self, part: Any) -> bool:
        self.work.on(self)
        return super().__contains__(part)

    def find(self, *args: Any) -> int:
        self.work.on(self)
        return super().find(*args)

    def split(self, *args: Any) -> list[bytes]:
        self.work.on(self)
        return [Weighed.of(part, self.work) for part in super().split(*args)]

    def partition(self, end: Any) -> tuple[bytes, bytes, bytes]:
        self.work.on(self)
        before, found, after = super().partition(end)
        return before, found, Weighed.of(after, self.work)

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return part if isinstance(part, int) else Weighed.of(part, self.work)


class WeighedArray(bytearray):
    """What a ``bytearray`` becomes when weighed bytes are joined to it."""

    work: Work

    @classmethod
    def of(cls, data: bytearray, work: Work) -> WeighedArray:
        weighed = cls(data)
        weighed.work = work
        return weighed

    def __iadd__(self, right: Any) -> WeighedArray:  # type: ignore[misc]  # no plain + is used
        self.work.on(right)
        super().__iadd__(bytes(right))
        return self

    def __contains__(self, part: Any) -> bool:
        self.work.on(self)
        return super().__contains__(part)

    def find(self, *args: Any) -> int:
        self.work.on(self)
        return super().find(*args)

    def split(self, *args: Any) -> list[bytearray]:
        self.work.on(self)
        return super().split(*args)

    def __bytes__(self) -> bytes:
        self.work.on(self)
        return bytes(memoryview(self))


def work_per_byte(feed: Callable[[bytes], object], size: int, piece_bytes: int) -> float:
    """What it takes to feed one line of `size` bytes in pieces, per byte of it."""
    work = Work()
    piece = b"x" * piece_bytes
    for _ in range(size // piece_bytes):
        feed(Weighed.of(piece, work))
    feed(Weighed.of(b"\n", work))
    return work.bytes / size


MEGABYTE = 1024 * 1024


def test_8_mb_in_1024_byte_pieces_take_linear_work() -> None:
    splitter = LineSplitter()
    got: list[bytes] = []
    work = work_per_byte(lambda data: got.extend(splitter.feed(data)), 8 * MEGABYTE, 1024)
    assert got == [b"x" * 8 * MEGABYTE]
    assert work < 5


@pytest.mark.parametrize("size", [MEGABYTE // 128, MEGABYTE // 32])
def test_a_long_line_in_1_byte_pieces_takes_linear_work(size: int) -> None:
    splitter = LineSplitter()
    got: list[bytes] = []
    work = work_per_byte(lambda data: got.extend(splitter.feed(data)), size, 1)
    assert got == [b"x" * size]
    assert work < 5


def test_many_lines_in_one_piece_take_linear_work() -> None:
    work = Work()
    stream = b"line\n" * 20_000
    assert LineSplitter().feed(Weighed.of(stream, work)) == [b"line"] * 20_000
    assert work.bytes < 5 * len(stream)


class CopiesAllItHas:
    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> None:
        self.held = self.held + data


class SearchesAllItHas:
    def __init__(self) -> None:
        self.held = bytearray()

    def feed(self, data: bytes) -> bool:
        self.held += data
        return b"\n" in self.held


@pytest.mark.parametrize("make", [CopiesAllItHas, SearchesAllItHas])
def test_the_count_of_work_tells_a_splitter_that_is_not_linear(
    make: Callable[[], CopiesAllItHas | SearchesAllItHas],
) -> None:
    assert work_per_byte(make().feed, MEGABYTE // 4, 1024) > 50
