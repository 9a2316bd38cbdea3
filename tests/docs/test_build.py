"""The documentation builds, in every form it is handed out in, without a warning."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import docs


@pytest.mark.parametrize("builder", docs.BUILDERS)
def test_the_documentation_builds_without_a_warning(
    tmp_path: Path, builder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = docs.build(Path(sys.executable), builder, tmp_path / builder)
    assert (code, capfd.readouterr().err) == (0, "")
