"""What Sphinx is given for the project's docstrings."""

from __future__ import annotations

from typing import Any

from tools.docstrings import arguments_of, mark_docstring, marked

LINK = ":exc:`~spalloc_gevent.errors.ClosedError`"


def wait(first: int, timeout: float = 1.0) -> None:
    """Wait.

    first, timeout: what
    goes on in a second line.
    first: again.

    Raises ClosedError when it is closed: see `ClosedError`, :exc:`ClosedError`.
    other: is no argument.
    """


def test_arguments_become_a_list_and_errors_links() -> None:
    lines = [line.strip() for line in (wait.__doc__ or "").splitlines()]
    mark_docstring(None, "function", "wait", wait, None, lines)
    assert lines == [
        "Wait.",
        "",
        "",
        "- ``first``, ``timeout``: what",
        "  goes on in a second line.",
        "- ``first``: again.",
        "",
        f"Raises {LINK} when it is closed: see `ClosedError`, :exc:`ClosedError`.",
        "other: is no argument.",
        "",
    ]


def test_any_name_may_be_an_option_where_any_is_taken() -> None:
    def takes_any(**options: Any) -> None: ...

    assert marked(["owner: whose."], arguments_of(takes_any))[-1] == "- ``owner``: whose."
    assert marked(["Raises: nothing."], arguments_of(takes_any)) == ["Raises: nothing."]


def test_nothing_is_said_of_a_field_of_which_nothing_is_said() -> None:
    lines = ["Alias for field number 0"]
    mark_docstring(None, "attribute", "field", 1, None, lines)
    assert lines == []


def sections(amount: int) -> int:
    """Wait.

    Args:
        amount: seconds to wait,
            at least.

    Raises:
        ClosedError: it is closed.
    """
    return amount


def test_sections_become_fields_and_their_errors_links() -> None:
    lines = [line.removeprefix("    ") for line in (sections.__doc__ or "").splitlines()]
    mark_docstring(None, "function", "sections", sections, None, lines)
    assert [line for line in lines if line] == [
        "Wait.",
        ":param amount: seconds to wait,",
        "               at least.",
        ":raises ~spalloc_gevent.errors.ClosedError: it is closed.",
    ]


def test_what_stands_before_a_colon_in_the_first_line_about_a_field_is_no_type() -> None:
    lines = ["Seconds: how many."]
    mark_docstring(None, "attribute", "field", 1, None, lines)
    assert lines == ["Seconds: how many."]


def test_what_has_no_signature_has_no_arguments() -> None:
    assert marked(["owner: whose."], arguments_of("text")) == ["owner: whose."]
