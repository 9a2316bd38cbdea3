"""The list of error messages has every message that there is, and each can be met."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from spalloc_gevent import errors
from tests.docs import provoked_arguments, provoked_commands, provoked_library, provoked_rest
from tests.docs.message_stage import Stage
from tests.docs.messages import HOLE, Found, found_in_source, holes
from tests.docs.reference_pages import entries_of, read

PAGE = "errors.rst"

INTERNAL = {
    "module <> has no attribute <>": "Python's own words for any module",
    "this program has no Python interpreter of its own": "the reason in a logged warning",
    "this package is no folder of files": "the reason in a logged warning",
    "what the server tells is no list of jobs": "the guardian's process tries again",
    "it has boards to be avoided": "such an allocation is no attempt, and is not told of",
    "job <> was still queued after <> s; before that, <>": "what failed is held, which is told",
    "simulated spalloc server <> on <>:<>: <>": "no error: what the simulator does",
    "no such command: <>": "the simulated server hangs up, as the real one does",
    "the arguments of job <> cannot be listed": "the simulated server hangs up",
    "the client sent no valid command: <>": "the simulated server hangs up, as the real one does",
}
"""Messages that no user meets, and why not."""

ARGPARSE = (
    "one of the arguments <> is required",
    "unrecognized arguments: <>",
    "ambiguous option: <> could match <>",
    "argument <>: expected one argument",
    "argument <>: expected <> arguments",
    "argument <>: invalid choice: <> (choose from <>)",
    "argument <>: not allowed with argument <>",
    "argument <>: ignored explicit argument <>",
    "argument <>: <>",
)
"""Kinds of refusals of the standard library's parser."""

PROVOCATIONS: dict[str, Callable[[Stage], str]] = {
    holes(text): provoke
    for table in (
        provoked_library.TABLE,
        provoked_arguments.TABLE,
        provoked_commands.TABLE,
        provoked_rest.TABLE,
    )
    for text, provoke in table.items()
}


def passes_on(found: Found) -> bool:
    """Whether it says nothing of its own: the message is found where it is made."""
    return not re.search(r"\w", found.text.replace(HOLE, ""))


MADE = {
    found.text: f"{found.text!r}, line {found.line} of {found.module}"
    for found in found_in_source()
    if not passes_on(found) and found.text not in INTERNAL
}
ON_PAGE = [holes(entry) for entry in entries_of(PAGE)]


def test_every_message_of_the_source_is_on_the_page() -> None:
    assert [where for text, where in MADE.items() if text not in ON_PAGE] == []


def test_every_message_on_the_page_is_made_somewhere() -> None:
    made = {found.text for found in found_in_source()} | set(ARGPARSE)
    assert [entry for entry in ON_PAGE if entry not in made] == []


def test_what_is_kept_from_the_page_is_still_in_the_source_and_not_on_the_page() -> None:
    made = {found.text for found in found_in_source()}
    assert set(INTERNAL) <= made
    assert set(INTERNAL) & set(ON_PAGE) == set()


def test_every_kind_of_refusal_of_the_parser_is_on_the_page() -> None:
    assert set(ARGPARSE) <= set(ON_PAGE)


def test_every_message_on_the_page_is_provoked_and_no_other() -> None:
    assert sorted(set(ON_PAGE) - set(PROVOCATIONS)) == []
    assert sorted(set(PROVOCATIONS) - set(ON_PAGE)) == []


def pattern_of(entry: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in entry.split(HOLE))
    return re.compile(".*?".join(parts))


@pytest.mark.parametrize("entry", sorted(PROVOCATIONS))
def test_a_message_that_is_met_is_on_the_page(entry: str, stage: Stage) -> None:
    met = " ".join(PROVOCATIONS[entry](stage).split())
    assert pattern_of(entry).search(met), met
    assert entry in ON_PAGE


@pytest.mark.parametrize(
    "kind",
    [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.SpallocError)
    ],
)
def test_the_page_is_referred_to_by_every_class_of_errors(kind: type[errors.SpallocError]) -> None:
    (label,) = re.findall(r":ref:`[^<`]+<(errors-\w+)>`", kind.__doc__ or "")
    assert f".. _{label}:" in read(PAGE)


# -- that the walk sees what there is to see -------------------------------------------


def found(text: str) -> list[str]:
    return [one.module for one in found_in_source() if one.text == holes(text)]


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("all <> jobs cannot be ready with max_open=<>", "batch.group"),
        ("this client of <>:<> is closed: connect() it", "transport.session"),
        ("job <> was neither destroyed nor closed: nobody keeps it alive now", "job.job"),
        ("<>: passed over, because it has no section [<>]", "config"),
        ("--detailed shows one machine: name it", "scripts.machine"),
        ("there is no command <>", "simulator.__main__"),
        ("no boards can be asked for, trying again: <>", "scripts.batch.campaign"),
        ("Error from server: the server refused <>: <>", "scripts.common"),
        ("it was <> soon after it was ready", "batch.allocation"),
    ],
)
def test_a_message_is_seen_however_it_is_told(text: str, module: str) -> None:
    assert module in found(text)
