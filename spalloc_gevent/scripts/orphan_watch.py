"""A process that ends a command when the one that runs it is killed outright.

SIGKILL cannot be handled: who gets it gives no boards back and ends no command. A
shell waits on a pipe that only we can write to; when we are gone it reads the end
of it, and signals the command's process group. (Linux can send a signal at a
parent's death, but to one process alone, which for a shell line is the shell.)
"""

from __future__ import annotations

import os
from contextlib import suppress

GRACE_S = 5
"""How long a command may take to end after SIGTERM."""

_SCRIPT = f"""
read -r group || exit
read -r ended && exit
kill -s TERM -- "-$group" && kill -s CONT -- "-$group"
left={GRACE_S}
while [ $left -gt 0 ]; do
    kill -s 0 -- "-$group" || exit
    sleep 1
    left=$((left - 1))
done
kill -s KILL -- "-$group"
"""


class OrphanWatch:
    """Watches for the end of this process; to be closed when the command has ended.

    Raises OSError when it cannot be started.
    """

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        try:
            # In a session of its own: what is sent to our group must not end it, too.
            self._pid = os.posix_spawn(
                "/bin/sh",
                ["/bin/sh", "-c", _SCRIPT],
                {"PATH": os.defpath},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reader, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=(),
            )
        except BaseException:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)

    def watch(self, group: int) -> None:
        """This process group is to be ended when we are gone."""
        self._write(f"{group}\n")

    def close(self) -> None:
        """Nothing is to be ended any more; it may be called twice."""
        if self._writer >= 0:
            self._write("\n")
            os.close(self._writer)
            self._writer = -1
            os.waitpid(self._pid, 0)

    def _write(self, text: str) -> None:
        # Somebody has killed it: then nobody watches.
        with suppress(BrokenPipeError):
            os.write(self._writer, text.encode())
