"""Every message that the package can make, found in its source, as a text with holes.

``raise ValueError(f"attempts must be 1 or more, not {n}")`` says
``attempts must be 1 or more, not <>``. What is looked at: arguments of exceptions, of warnings,
of ``parser.error`` and of what is written to standard error; where a function only passes one
of its parameters on, its callers are looked at instead.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import spalloc_gevent

ROOT = Path(spalloc_gevent.__file__).parent
HOLE = "<>"

Function = ast.FunctionDef | ast.AsyncFunctionDef

_TOLD: Mapping[str, int | str] = {
    "error": 0,
    "warn": 0,
    "complain": 0,
    "CheckError": 0,
    "remark": 0,
    "failure": 0,
    "_say_failure": 0,
    "skip": 0,
    "SpallocServerException": 1,
    "__init__": 0,
    "CaseResult": 2,
    "BoardsFault": 0,
    "number_type": 2,
}
"""What tells a user, besides exceptions, and which argument it tells; "error" is a parser's."""

_TELLING = (
    "_complaint",
    "_loss_of",
    "_interruption",
    "reason",
    "_reason",
)
"""Functions whose results a user is told: why boards are of no use, or a job has ended, ..."""

_REASONS = ("GIVEN_UP", "GIVEN_BACK", "DONE", "LOST", "FORGOTTEN", "TIMED_OUT", "IMPOSSIBLE")
"""Constants that tell why a job has ended."""

_EXCEPTION = re.compile(r"_?[A-Z]\w*(Error|Exception)$")


@dataclass(frozen=True)
class Module:
    """One file of the package, ready to be looked things up in."""

    name: str
    tree: ast.Module

    @property
    def functions(self) -> Mapping[str, list[Function]]:
        return _functions(self.tree)


@cache
def _functions(tree: ast.Module) -> Mapping[str, list[Function]]:
    found: dict[str, list[Function]] = {}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            found.setdefault(node.name, []).append(node)
    return found


@cache
def modules() -> tuple[Module, ...]:
    """Every file of the package, parsed once."""
    return tuple(
        Module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
            ast.parse(path.read_text("utf-8")),
        )
        for path in sorted(ROOT.rglob("*.py"))
    )


@dataclass(frozen=True)
class Found:
    """A message, and where it is made."""

    text: str
    module: str
    function: str
    line: int


def holes(text: str) -> str:
    """The text with every ``<name>`` of a hole left out, so that texts can be compared."""
    return re.sub(r"<[^<>]*>", HOLE, " ".join(text.split()))


# -- what an expression may say --------------------------------------------------------


@dataclass(frozen=True)
class Scope:
    """Where an expression stands, for the names in it."""

    module: Module
    function: Function | None
    depth: int = 0

    def inside(self, function: Function) -> Scope:
        return Scope(self.module, function, self.depth + 1)


def texts_of(value: ast.expr, scope: Scope) -> set[str]:
    """Every text that an expression may come to, as far as the source of its module tells."""
    if isinstance(value, ast.Constant):
        return {value.value} if isinstance(value.value, str) else {HOLE}
    if isinstance(value, ast.JoinedStr):
        return _joined([_part(part, scope) for part in value.values])
    if isinstance(value, ast.IfExp):
        return texts_of(value.body, scope) | texts_of(value.orelse, scope)
    if isinstance(value, ast.BoolOp):
        return set().union(*(texts_of(one, scope) for one in value.values))
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _joined([texts_of(value.left, scope), texts_of(value.right, scope)])
    if isinstance(value, ast.Tuple) and value.elts:
        # With what else there is to tell: the text comes first.
        return texts_of(value.elts[0], scope)
    if isinstance(value, ast.Name):
        return _assigned(value.id, scope)
    if isinstance(value, ast.Call):
        return _returned(value, scope)
    return {HOLE}


def _part(part: ast.expr, scope: Scope) -> set[str]:
    if isinstance(part, ast.FormattedValue):
        return {HOLE}
    return texts_of(part, scope)


def _joined(parts: Sequence[Iterable[str]]) -> set[str]:
    return {"".join(chosen) for chosen in itertools.product(*parts)}


def _assigned(name: str, scope: Scope) -> set[str]:
    """What is assigned to a name in the function, or at the top of its module."""
    body: ast.AST = scope.function or scope.module.tree
    found = set().union(*(texts_of(value, scope) for value in _values(name, body)))
    if not found and scope.function is not None:
        top = Scope(scope.module, None, scope.depth)
        found = set().union(
            *(
                texts_of(node.value, top)
                for node in scope.module.tree.body
                if isinstance(node, ast.Assign)
                and [target.id for target in node.targets if isinstance(target, ast.Name)] == [name]
            )
        )
    for added in _additions(name, body):
        found |= _joined([found, texts_of(added, scope)])
    return found or {HOLE}


def _values(name: str, body: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(body):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=True):
                    if isinstance(one, ast.Name) and one.id == name:
                        yield value


def _additions(name: str, body: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(body):
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) == name:
            yield node.value


def _returned(call: ast.Call, scope: Scope) -> set[str]:
    """What a function of the same module may return."""
    name = name_of(call.func)
    if name == "usage_message":
        return _joined([{"<>: error: "}, texts_of(call.args[1], scope)])
    if name == "printable" or scope.depth > 4:
        return {HOLE}
    functions = scope.module.functions.get(name, [])
    return set().union(*(_texts_returned(one, scope.inside(one)) for one in functions)) or {HOLE}


def _texts_returned(function: Function, scope: Scope) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            found |= texts_of(node.value, scope)
    return found


def name_of(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return func.attr
    if isinstance(func, ast.IfExp):
        return name_of(func.body)
    return func.id if isinstance(func, ast.Name) else ""


# -- where messages are made -----------------------------------------------------------


def calls_in(module: Module) -> Iterator[tuple[ast.Call, Function | None]]:
    """Every call, and the innermost function that it stands in."""

    def walk(
        node: ast.AST, function: Function | None
    ) -> Iterator[tuple[ast.Call, Function | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, function
            yield from walk(child, child if isinstance(child, Function) else function)

    return walk(module.tree, None)


def _told_by(call: ast.Call, also: Mapping[str, int]) -> ast.expr | None:
    """The argument that a call tells a user, if it tells any."""
    name = name_of(call.func)
    if name == "print" and any("stderr" in ast.unparse(one.value) for one in call.keywords):
        return call.args[0]
    if name == "say" and "stderr" in ast.unparse(call):
        return call.args[0]
    if name == "error" and not _is_parsers(call.func):
        return None
    if name == "__init__" and "super()" not in ast.unparse(call.func):
        return None
    place = also.get(name, _TOLD.get(name, 0 if _EXCEPTION.match(name) else None))
    if not isinstance(place, int) or len(call.args) <= place:
        return None
    return call.args[place]


def _is_parsers(func: ast.expr) -> bool:
    return isinstance(func, ast.Attribute) and name_of(func.value) == "parser"


def _parameter(value: ast.expr, function: Function | None) -> int | None:
    """Which of the function's parameters the value is, not counting self; None for another."""
    if function is None or not isinstance(value, ast.Name):
        return None
    names = [one.arg for one in function.args.args if one.arg != "self"]
    return names.index(value.id) if value.id in names else None


def _reasons(module: Module) -> Iterator[Found]:
    """What the module's constants say of a job's end."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and name_of(node.targets[0]) in _REASONS:
            for text in texts_of(node.value, Scope(module, None)):
                yield Found(holes(text), module.name, "", node.lineno)


@cache
def found_in_source() -> tuple[Found, ...]:
    """Every message; a text that is a hole and nothing else passes on what another one says."""
    also: dict[str, int] = {}
    while True:
        found, passing = _look(also)
        if passing.items() <= also.items():
            return tuple(found)
        also |= passing


def _look(also: Mapping[str, int]) -> tuple[list[Found], dict[str, int]]:
    found, passing = [], {}
    for module in modules():
        raised = {id(node.exc) for node in ast.walk(module.tree) if isinstance(node, ast.Raise)}
        for call, function in calls_in(module):
            value = _told_by(call, also)
            if value is None and id(call) in raised and call.args:
                value = call.args[0]
            if value is None:
                continue
            place = _parameter(value, function)
            if place is not None and function is not None and function.name != "__init__":
                passing[function.name] = place
                continue
            inside = "" if function is None else function.name
            for text in sorted(texts_of(value, Scope(module, function))):
                found.append(Found(holes(text), module.name, inside, call.lineno))
        found += _reasons(module)
        for function in itertools.chain(*(module.functions.get(name, []) for name in _TELLING)):
            for text in sorted(_texts_returned(function, Scope(module, function))):
                found.append(Found(holes(text), module.name, function.name, function.lineno))
    return found, passing
