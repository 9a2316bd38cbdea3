"""``python3 tools/bench.py``: every figure, next to its floor and the existing client's.

``--quick`` sees that everything works, on a small scale, and judges no speed; ``--only calls
--only scale`` measures a part. The figures come as a table at the end, with ``--json FILE`` as JSON
and with ``--svg FILE`` as a picture. Runs ``benchmarks`` in an environment with the package; the
others are made before, so that no measurement waits for an installation. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tools.launching import launch

OTHERS = ("real-server", "existing-client", "runtime")

if __name__ == "__main__":
    sys.exit(launch("../benchmarks/__main__.py", "project", sys.argv[1:], *OTHERS))
