"""``python3 tools/pictures.py``: the pictures of the README, made from what the commands show.

Runs tools/_pictures_main.py in an environment that has the package. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.launching import launch

if __name__ == "__main__":
    sys.exit(launch("_pictures_main.py", "project", sys.argv[1:]))
