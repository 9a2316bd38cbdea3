"""How Sphinx makes the documentation: ``python3 tools/docs.py``."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs._ext import command_pages
from spalloc_gevent._version import __version__
from tools.docstrings import mark_docstring

project = "spalloc_gevent"
author = "the developers of spalloc_gevent"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["sphinx.ext.autodoc", command_pages.__name__]
exclude_patterns = ["examples"]
nitpicky = True
# Elsewhere: the standard library, gevent, pytest, and names of types that stand for any.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|concurrent|contextlib|enum|gevent|os|pathlib|types|typing)\..*"),
    ("py:.*", rf"{'|'.join(dir(builtins))}"),
    ("py:.*", r"(spalloc_gevent\.([a-z_]+\.)+)?(Value|[A-Z])"),
    # The background thread: other ones are for this project's own tests.
    ("py:.*", r"spalloc_gevent\.transport\.background\.BackgroundHub"),
]
default_role = "code"
html_theme = "furo"
html_title = f"spalloc_gevent {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100

man_pages = command_pages.man_pages(author)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", mark_docstring)
