"""The documentation builds, in every form it is handed out in, without a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import Built, build
from tools import docs


def test_the_pages_build_without_a_warning(html: Built) -> None:
    assert (html.code, html.complaints) == (0, "")


@pytest.mark.parametrize("builder", [one for one in docs.BUILDERS if one != "html"])
def test_the_documentation_builds_without_a_warning(tmp_path: Path, builder: str) -> None:
    built = build(builder, tmp_path)
    assert (built.code, built.complaints) == (0, "")
