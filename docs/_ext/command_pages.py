"""Directives that make a command's page from the command itself, so that the two cannot differ.

``command-synopsis`` and ``command-options`` tell what its parser knows; the content of the latter
adds to single options what a --help has no room for. ``names`` tells a table of the program's.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from spalloc_gevent.config import Config, load_config
from spalloc_gevent.scripts import alloc_options, job, machine, ps, where_is
from spalloc_gevent.scripts.batch import options as batch_options
from spalloc_gevent.simulator import __main__ as simulator

SYNOPSIS_COLUMNS = 78


def defaults() -> Config:
    """Those that hold where nothing is configured: not this machine's."""
    return load_config(filenames=[], environ={})


def _configured(make: Callable[[Config], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    return make(defaults())


COMMANDS: Mapping[str, Callable[[], argparse.ArgumentParser]] = {
    "spalloc": lambda: _configured(alloc_options.make_parser),
    "spalloc-batch": lambda: _configured(batch_options.make_parser),
    "spalloc-ps": lambda: _configured(ps.make_parser),
    "spalloc-job": lambda: _configured(job.make_parser),
    "spalloc-machine": lambda: _configured(machine.make_parser),
    "spalloc-where-is": lambda: _configured(where_is.make_parser),
    "spalloc-simulator": simulator.make_parser,
}
"""How each command's parser is made."""


def man_pages(author: str) -> list[tuple[str, str, str, list[str], int]]:
    """What Sphinx wants to know of each command's page in section 1."""
    return [
        (f"reference/commands/{name}", name, _in_brief(parser()), [author], 1)
        for name, parser in COMMANDS.items()
    ]


def _in_brief(parser: argparse.ArgumentParser) -> str:
    sentence = (parser.description or "").rstrip(".")
    return sentence[:1].lower() + sentence[1:]


# ------------------------------------------------------------------- options


@dataclass(frozen=True)
class Told:
    """An option or argument: the ways to write it, and its help."""

    forms: tuple[str, ...]
    help: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the content of the directive calls it."""
        return tuple(form.split()[0].strip("[]") for form in self.forms)


def groups_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[Told]]]:
    """The titles of a parser's groups with what is in them, in the order of its --help."""
    for group in parser._action_groups:
        told = [_told(parser, action) for action in group._group_actions]
        if told:
            yield group.title or "", told


def _told(parser: argparse.ArgumentParser, action: argparse.Action) -> Told:
    values = _values(action)
    forms = [f"{option} {values}".rstrip() for option in action.option_strings] or [values]
    return Told(tuple(forms), parser._get_formatter()._expand_help(action))


def _values(action: argparse.Action) -> str:
    """What follows an option, as a --help has it."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    name = action.metavar or _choices(action) or action.dest.upper()
    if action.nargs == argparse.REMAINDER:
        return f"{name} ..."
    if action.nargs == argparse.OPTIONAL:
        return f"[{name}]"
    if action.nargs == argparse.ZERO_OR_MORE:
        return f"[{name} ...]"
    return name


def _choices(action: argparse.Action) -> str:
    return "{" + "|".join(map(str, action.choices)) + "}" if action.choices else ""


# ---------------------------------------------------------------- as reST

_OPTION = re.compile(r"(?<![\w=-])--?[A-Za-z][\w-]*(?:=-?[A-Z]+)?")
_PAGE = re.compile(r"docs/(reference/[\w/-]+)\.rst")
_MARKUP = re.compile(r"([*`|\\]|_(?=\W|$))")


def as_rest(text: str) -> str:
    """Plain text as reST, with options as literals and pages as links."""
    pieces = []
    at = 0
    for found in sorted([*_OPTION.finditer(text), *_PAGE.finditer(text)], key=lambda m: m.start()):
        pieces.append(_MARKUP.sub(r"\\\1", text[at : found.start()]))
        page = found.re is _PAGE
        pieces.append(f":doc:`/{found[1]}`" if page else f"``{found[0]}``")
        at = found.end()
    return "".join([*pieces, _MARKUP.sub(r"\\\1", text[at:])])


def options_as_rest(name: str, more: Mapping[str, str]) -> Iterator[str]:
    """The lines that tell a command's options; `more`: what is added to some of them."""
    yield from (f".. program:: {name}", "")
    for title, told in groups_of(COMMANDS[name]()):
        yield from (f"**{title[:1].upper()}{title[1:]}**", "")
        for option in told:
            yield from _option_as_rest(option, more)


def _option_as_rest(option: Told, more: Mapping[str, str]) -> Iterator[str]:
    yield from (f".. option:: {', '.join(option.forms)}", "")
    sentence = as_rest(option.help)
    yield f"   {sentence[:1].upper()}{sentence[1:]}."
    yield ""
    for name in option.names:
        if added := more.get(name):
            yield from (textwrap.indent(added, "   ").splitlines())
            yield ""


def additions(lines: Sequence[str]) -> dict[str, str]:
    """The content of the directive: an option at the beginning of a line, indented text below."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.strip() and not line.startswith(" "):
            name = line.strip()
        found.setdefault(name, []).extend([line] if line.startswith(" ") or not line else [])
    return {name: textwrap.dedent("\n".join(text)).strip() for name, text in found.items() if name}


# --------------------------------------------------------------- the directives


class _Made(SphinxDirective):
    """A directive about what its one argument names."""

    required_arguments: ClassVar[int] = 1

    def _parsed(self, lines: Iterable[str]) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines))


class Synopsis(_Made):
    """How a command is called."""

    def run(self) -> list[nodes.Node]:
        parser = COMMANDS[self.arguments[0]]()
        formatter = argparse.HelpFormatter(parser.prog, width=SYNOPSIS_COLUMNS)
        formatter.add_usage(None, parser._actions, parser._mutually_exclusive_groups, prefix="")
        text = formatter.format_help().strip()
        return [nodes.literal_block(text, text, language="none")]


class Options(_Made):
    """What a command line may say."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        more = additions(list(self.content))
        groups = groups_of(COMMANDS[name]())
        known = [option.names for _, told in groups for option in told]
        if unknown := set(more).difference(*known):
            raise self.error(f"{name} has no {' and no '.join(sorted(unknown))}")
        return self._parsed(options_as_rest(name, more))


class Names(_Made):
    """A table of the program's, given by its full name: pairs, or columns of a table."""

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].rpartition(".")
        rows = [_row(row) for row in getattr(import_module(module), name)]
        lines = []
        for term, meaning in rows:
            lines += [f"``{term}``", f"    {as_rest(meaning)}"]
        return self._parsed(lines)


def _row(row: Any) -> tuple[str, str]:
    term, meaning = (row.name, row.heading) if hasattr(row, "heading") else row
    return str(term), str(meaning)


# ------------------------------------------------------------------ for man


class ManReferences(SphinxPostTransform):
    """Links inside, which lead nowhere in a manual page, become the names of what they lead to."""

    default_priority = 900
    builders = ("man",)

    def run(self, **_: Any) -> None:
        for link in list(self.document.findall(nodes.reference)):
            if link.get("internal"):
                name = link.astext()
                shown = nodes.strong(text=f"{name}(1)") if name in COMMANDS else None
                link.replace_self(shown or link.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-synopsis", Synopsis)
    app.add_directive("command-options", Options)
    app.add_directive("names", Names)
    app.add_post_transform(ManReferences)
    return {"parallel_read_safe": True}
