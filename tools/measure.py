"""``python3 tools/measure.py``: how large the source is, and how it is cut into functions.

Standard library only. Code lines are those with code on them: no docstring, comment or blank.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

Function = ast.FunctionDef | ast.AsyncFunctionDef

_NO_CODE = frozenset(
    (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
)


@dataclass
class Measures:
    """What the source of one package tells."""

    modules: int = 0
    lines: int = 0
    code_lines: int = 0
    function_lengths: list[int] = field(default_factory=list)
    """Code lines of each function."""
    private: list[str] = field(default_factory=list)
    """The names of private functions, as often as they are defined."""
    classes: Counter[str] = field(default_factory=Counter)
    """How often a name is defined as a class's at the top of a module."""
    words: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        """Count one module."""
        tree = ast.parse(text)
        code = code_lines(text, tree)
        self.modules += 1
        self.lines += text.count("\n")
        self.code_lines += len(code)
        self.words.update(re.findall(r"\w+", text))
        self.classes.update(node.name for node in tree.body if isinstance(node, ast.ClassDef))
        for node in ast.walk(tree):
            if isinstance(node, Function):
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                self.function_lengths.append(len(code.intersection(span)))
                if node.name.startswith("_") and not node.name.startswith("__"):
                    self.private.append(node.name)

    def share(self, count: int) -> str:
        """A count of functions in per cent of all."""
        return f"{100 * count / max(1, len(self.function_lengths)):.0f} %"

    @property
    def used_once(self) -> int:
        """How many private functions are named in one place only, besides their definition."""
        defined = Counter(self.private)
        return sum(self.words[name] == count + 1 for name, count in defined.items())

    @property
    def long_function(self) -> int:
        """The code lines within which nine of ten functions are."""
        lengths = sorted(self.function_lengths)
        return lengths[9 * len(lengths) // 10] if lengths else 0


def code_lines(text: str, tree: ast.AST) -> set[int]:
    """The numbers of the lines with code on them."""
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE and token.string:
            numbers.update(range(token.start[0], token.end[0] + 1))
    return numbers.difference(*docstrings(tree))


def docstrings(tree: ast.AST) -> Iterator[range]:
    """Where strings stand that are statements of their own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def measure(folders: Iterable[str], root: Path = ROOT) -> Measures:
    """All Python modules below these folders of the project."""
    found = Measures()
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            found.add(path.read_text(encoding="utf-8"))
    return found


def rows(root: Path = ROOT) -> Iterator[tuple[str, object]]:
    """The figures, each with its name."""
    package = measure(["spalloc_gevent"], root)
    core = measure([f"spalloc_gevent/{name}" for name in ("transport", "job", "guardian", "wire")])
    yield "lines of spalloc_gevent", package.lines
    yield "code lines of it", package.code_lines
    yield "modules of it", package.modules
    yield "lines of transport, job, guardian and wire", core.lines
    yield "code lines of them", core.code_lines
    yield "lines of tests", measure(["tests"], root).lines
    yield "lines of tools and benchmarks", measure(["tools", "benchmarks"], root).lines
    yield "private functions, of all", package.share(len(package.private))
    yield "private and used once, of all functions", package.share(package.used_once)
    yield "nine of ten functions within, code lines", package.long_function
    yield "longest function, code lines", max(package.function_lengths, default=0)
    twice = sorted(name for name, count in package.classes.items() if count > 1)
    yield "class names defined twice", " ".join([str(len(twice)), *twice])


def main() -> None:
    for name, value in rows():
        print(f"{name:<45} {value}")


if __name__ == "__main__":
    main()
