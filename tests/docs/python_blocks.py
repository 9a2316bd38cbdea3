"""A process that runs Python blocks of a page, one after the other: a JSON line for each.

The names of a block are gone before the next, unless that one goes on.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import traceback
from types import ModuleType
from typing import Any


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    if not asked["goes_on"]:
        # A module, since functions of examples are pickled by where they are.
        sys.modules["__main__"] = ModuleType("__main__")
        gc.collect()
    names = sys.modules["__main__"].__dict__
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(asked["head"], "stand-ins", "exec"), names)
            # So that a traceback has the line of the page.
            code = "\n" * (asked["line"] - 1) + asked["text"]
            exec(compile(code, asked["page"], "exec"), names)
    except BaseException as error:  # noqa: BLE001 - whatever an example raises is told
        told = {"raised": type(error).__name__, "trace": traceback.format_exc()}
        return {"printed": printed.getvalue(), **told}
    return {"printed": printed.getvalue(), "raised": None, "trace": None}


def main() -> None:
    # What programs print that an example starts must not get among the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            answers.write(json.dumps(_run(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
