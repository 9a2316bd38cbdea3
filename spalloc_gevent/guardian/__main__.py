"""The guardian's process, run by its path in an isolated interpreter.

So nothing in the working folder or the environment can take the place of what
it imports. What it needs for its work is imported when the program is rid of it.
"""

import os
import sys

_MOST_FILES = 65_536


def main(pid: int) -> None:
    """Leave the program's family, and guard its jobs until it ends, or a little longer."""
    from spalloc_gevent.guardian.program import Program

    # What the program left open for its own children is not for us to keep open.
    os.closerange(3, _MOST_FILES)
    os.chdir("/")
    # It may have ended already, and left something to do.
    program = Program(pid)
    # Nobody waits for us: a program's own os.wait() must find none but its own children.
    if os.fork():
        os._exit(0)
    # Nor are we in reach of Ctrl+C or Ctrl+Z, which stop the program.
    os.setsid()
    from spalloc_gevent.guardian.process import GuardianProcess

    GuardianProcess(program).run()


if __name__ == "__main__":
    # Last, so that the standard library's own modules come first.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    main(int(sys.argv[1]))
