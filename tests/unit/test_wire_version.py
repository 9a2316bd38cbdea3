"""Which versions of the server are spoken."""

from __future__ import annotations

import pytest

from spalloc_gevent.errors import IncompatibleServerError
from spalloc_gevent.wire.version import check_version


@pytest.mark.parametrize(
    "version",
    ["0.1.0", "1!7.0.0", "7.0.0", "5.0.0", "5.0", "5", "7.99.99", "6.0.0-SNAPSHOT", " 5.0.0\n",
     "0.1", "2!0.1.0", "7.0.0.dev1", "1!7.0.0a2", "5.0.0.1"],
)  # fmt: skip
def test_versions_from_0_1_0_up_to_8_0_0_are_spoken_whatever_their_epoch(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize(
    "version", ["8.0.0", "8", "1!8.0.0", "0.0.9", "0.0", "0", "10.0.0", "banana", "", "!5.0.0", "v"]
)
def test_another_version_is_a_value_error_that_names_both(version: str) -> None:
    with pytest.raises(ValueError, match=r"0.1.0 up to, not including, 8.0.0") as caught:
        check_version(version)
    assert repr(version) in str(caught.value)
    assert isinstance(caught.value, IncompatibleServerError)
