"""How Sphinx makes the documentation: ``python3 tools/docs.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from docs._ext import command_pages  # noqa: E402
from spalloc_gevent._version import __version__  # noqa: E402

project = "spalloc_gevent"
author = "the developers of spalloc_gevent"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["sphinx.ext.autodoc", command_pages.__name__]
exclude_patterns = ["examples"]
nitpicky = True
html_theme = "furo"
html_title = f"spalloc_gevent {release}"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

man_pages = command_pages.man_pages(author)
