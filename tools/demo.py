"""``python3 tools/demo.py``: the main job shown on a simulated server, from a bare Python.

Runs tools/_demo_main.py in an environment that has what the package needs and nothing else. The
exit code is 0 only when everything went well. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.launching import launch

if __name__ == "__main__":
    sys.exit(launch("_demo_main.py", "runtime", sys.argv[1:]))
