"""Every example of README.rst and docs is run on the simulated server.

What is run: each ``code-block`` that is ``python`` or ``console``. The blocks of a page run in
their order, in one folder. Python blocks run in one process, each with names of its own; a block
whose first line is ``# NAME.py`` is that file in the folder, and so is a block of any language
with a file's name as its caption, in which ``~`` is a home of the page's own. Of a console block
each ``$`` line runs in bash, and has to end with 0; lines under it are what it writes, stdout and
stderr together, where ``...`` stands for anything. ``$ command \\`` goes on in the next line. After
``$ echo $?`` stands the exit code that the command before has to have. The last command of a
console block with a caption runs in a terminal of its own until all blocks have run.

``SPALLOC_HOSTNAME``, ``SPALLOC_PORT`` and ``SPALLOC_OWNER`` point to a simulated server of the
page's own with the machine ``my-machine`` (12 x 12 triads) and the jobs 12 (the owner's own) and
24 (another's). ``spalloc.example.org`` is its host name. Jobs that examples make have to be given
back in the end.
Names, files and commands that an example leaves to the reader are in ``stand_ins.py``, and so is
what a page's server is like, what is typed at interactive commands, and what is not run.

A comment directly above a block says more about it, with semicolons between several::

    .. example: goes on

    .. code-block:: python

- ``goes on``: the names of the Python block before are still known;
- ``own process``: the Python process is a new one;
- ``raises NAME``: the Python block ends with this exception;
- ``file NAME``: the block, in any language, is that file;
- ``output``: the block is what the Python block before has printed;
- ``server NAME``: it runs on another server, by ``SERVERS``, and in another folder;
- ``other numbers``: the console block shows numbers as they may be, and others may be written;
- ``no terminal``: nothing is typed at commands of the console block that ask for it;
- ``exit code N``: the last command of the console block ends with N; more numbers are of more of
  the last commands;
- ``not run: why``: it is not run. Better put it into ``NOT_RUN``, where all are seen at once.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import warnings
from pathlib import Path

import pytest

from spalloc_gevent.config import SECTION, load_config
from tests.docs import stand_ins
from tests.docs.pages import Block, blocks_in, blocks_of, pages
from tests.docs.stage import Line, Stage, agrees, console_lines, head_of, staged, without_numbers
from tests.docs.stand_ins import Scene
from tests.transport.programs import ROOT

RUN = {"python", "console"}
LANGUAGES = RUN | {"json", "ini", "text", "rst", "toml", "yaml", "xml", "none"}
MOST_NOT_RUN = 10

BLOCKS = {page: blocks_of(page) for page in pages()}
EVERY = [block for blocks in BLOCKS.values() for block in blocks]


def why_not_run(block: Block) -> str | None:
    listed = (why for key, why in stand_ins.NOT_RUN.items() if _names(key, block))
    return next(listed, None) or block.said("not run:")


def _names(key: tuple[str, str], block: Block) -> bool:
    page, beginning = key
    return block.page == page and block.text.startswith(beginning)


def is_run(block: Block) -> bool:
    has_part = block.language in RUN or block.file is not None or block.said("output") is not None
    return has_part and why_not_run(block) is None


@pytest.mark.parametrize("page", [page for page in BLOCKS if any(map(is_run, BLOCKS[page]))])
def test_the_examples_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    stages: dict[str, Stage] = {}
    with contextlib.ExitStack() as running:
        for block in filter(is_run, BLOCKS[page]):
            server = block.said("server") or ""
            if server not in stages:
                folder = tmp_path / f"stage-{server}"
                stages[server] = running.enter_context(staged(scene_of(page, server), folder))
            stages[server].run(block)
        for stage in stages.values():
            stage.end_python()
            assert stage.left_over() == set()


def scene_of(page: str, server: str) -> Scene:
    return stand_ins.SERVERS[server] if server else stand_ins.SCENES.get(page, Scene())


def test_every_file_that_an_example_makes_is_used_by_a_later_command() -> None:
    unused = [
        str(block)
        for blocks in BLOCKS.values()
        for number, block in enumerate(blocks)
        if is_run(block) and block.file and not _is_used(block.file, blocks[number + 1 :])
    ]
    assert unused == []


def _is_used(file: str, later: list[Block]) -> bool:
    commands = "".join(block.text for block in later if block.language == "console")
    by_pytest = Path(file).name.startswith(("conftest", "test_")) and "pytest" in commands
    return by_pytest or file in commands or file.startswith("~/.config/")


def test_few_examples_are_not_run_and_each_for_a_reason() -> None:
    reasons = {str(block): why_not_run(block) for block in EVERY if block.language in RUN}
    left_out = {block: why for block, why in reasons.items() if why is not None}
    assert len(left_out) <= MOST_NOT_RUN, left_out
    assert [block for block, why in left_out.items() if len(why.split()) < 3] == []


def test_what_is_listed_as_not_run_is_still_there() -> None:
    found = {key: sum(_names(key, block) for block in EVERY) for key in stand_ins.NOT_RUN}
    assert found == dict.fromkeys(stand_ins.NOT_RUN, 1)
    assert set(stand_ins.SCENES) - set(BLOCKS) == set()


def test_every_stand_in_is_needed() -> None:
    heads = "".join(head_of(block.text) for block in EVERY if block.language == "python")
    assert [name for name in stand_ins.NAMES if name not in heads] == []
    commands = "".join(block.text for block in EVERY if block.language == "console")
    commands += stand_ins.FILES["cases.txt"]
    assert [name for name in (*stand_ins.FILES, *stand_ins.TOOLS) if name not in commands] == []


def test_no_example_hides_in_a_language_that_is_not_run() -> None:
    assert {str(block): block.language for block in EVERY if block.language not in LANGUAGES} == {}


def test_json_on_a_page_is_json() -> None:
    for block in EVERY:
        if block.language == "json":
            json.loads(block.text)


def test_configuration_on_a_page_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "spalloc"
    for block in EVERY:
        if block.language == "ini":
            parser = configparser.RawConfigParser()
            parser.read_string(block.text)
            if parser.has_section(SECTION):
                file.write_text(block.text, "utf-8")
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    load_config([file])


# -- the reading of pages -------------------------------------------------------

PAGE = """
Title
=====

.. code-block:: python
   :caption: with an option

   one = 1

       # indented

   two = 2

Text.

.. example: goes on; raises
   ValueError

.. code-block:: python

   raise ValueError(one)

- An item:

  .. code-block:: console
      :caption: cases.txt

      $ echo a \\
          b
      a b
      $ true

.. example: of nothing

Text between.

.. code-block:: text

    x
"""


def test_blocks_are_found_with_their_lines_and_notes() -> None:
    first, second, third, fourth = blocks_in("page", PAGE)
    assert (first.caption, first.file) == ("with an option", None)
    assert (third.caption, third.file) == ("cases.txt", "cases.txt")
    assert (first.line, first.text) == (8, "one = 1\n\n    # indented\n\ntwo = 2\n")
    assert PAGE.split("\n")[second.line - 1].strip() == second.first_line
    assert (first.notes, second.notes) == ((), ("goes on", "raises ValueError"))
    assert (second.said("raises"), second.said("goes on"), second.said("file")) == (
        "ValueError",
        "",
        None,
    )
    assert list(console_lines(third.text)) == [Line("echo a \\\n    b", "a b"), Line("true", "")]
    assert (fourth.notes, fourth.language) == ((), "text")


@pytest.mark.parametrize(
    ("shown", "agreed"),
    [
        ("a 1\nb 2\nc 3", True),
        ("a ...\nb 2\n... 3", True),
        ("a 1\n...\nc 3", True),
        ("...", True),
        ("...\nc 3", True),
        (" a 1\nb 2\nc 3", False),
        ("a 1\n...", True),
        ("a 1", False),
        ("a ... 3", False),
        ("b 2\n...", False),
    ],
)
def test_what_a_page_shows_is_compared_with_what_was_written(shown: str, agreed: bool) -> None:
    assert agrees(shown, "a 1\nb 2  \nc 3\n") is agreed


def test_numbers_and_the_blanks_that_they_need_may_be_others_and_nothing_else() -> None:
    shown = without_numbers("job 7    12:30:07  10.1.2.3")
    assert shown == without_numbers("job 1024 09:00:01  127.0.0.1")
    assert shown != without_numbers("job seven 12:30:07  10.1.2.3")
    assert shown != without_numbers("job 7  12:30  10.1.2.3")


def test_the_pages_are_those_of_the_project() -> None:
    assert "README.rst" in BLOCKS
    assert [page for page in BLOCKS if not Path(ROOT, page).exists()] == []
