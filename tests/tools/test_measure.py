"""What tools/measure.py counts, on a small source whose figures anybody can count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.measure import ROOT, measure, rows

SOURCE = '''"""A module."""

# A comment.
from x import y


class Board:
    """No code."""

    def _place(self):
        """Neither is this."""
        return (
            y
        )

    def place(self):
        return self._place()


def _unused():
    pass


def _twice():
    return _twice, _twice
'''


def test_code_private_functions_and_classes_are_counted(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "p").mkdir(exist_ok=True)
        (tmp_path / "p" / f"{name}.py").write_text(SOURCE)
    found = measure(["p"], tmp_path)
    assert (found.modules, found.lines) == (2, 2 * SOURCE.count("\n"))
    assert found.code_lines == 2 * 12
    assert sorted(found.function_lengths) == [2, 2, 2, 2, 2, 2, 4, 4]
    assert sorted(found.private) == ["_place", "_place", "_twice", "_twice", "_unused", "_unused"]
    assert found.classes == {"Board": 2}


def test_a_private_function_that_one_place_names_is_used_once(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(SOURCE)
    assert measure(["."], tmp_path).used_once == 1


def test_every_figure_is_printed_with_its_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "measure.py")], capture_output=True, text=True
    )
    names = [line[:45].rstrip() for line in done.stdout.splitlines()]
    assert (done.returncode, names) == (0, [name for name, _ in rows(tmp_path)])
