"""``python3 tools/soak.py --minutes 30``: hundreds of jobs on a real server behind a bad network.

Runs tools/_soak_main.py, which prints a table at the end. The exit code is 0 only if no answer was
wrong and no job was lost. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.launching import launch

if __name__ == "__main__":
    sys.exit(launch("_soak_main.py", "project", sys.argv[1:], "real-server"))
