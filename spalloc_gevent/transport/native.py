"""Threads, locks, sockets and poll as the operating system has them, patched or not.

``gevent.monkey.patch_all()`` may have run before this package was imported, may
run later, or never: what is taken here is the original in every case. gevent
itself is looked at only if something else has imported it.
"""

from __future__ import annotations

import _socket
import _thread
import os
import select
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def _original(module: ModuleType, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    return getattr(module, name) if monkey is None else monkey.get_original(module.__name__, name)


start_thread: Callable[..., int] = _original(_thread, "start_new_thread")
thread_ident: Callable[[], int] = _original(_thread, "get_ident")
new_lock: Callable[[], Any] = _original(_thread, "allocate_lock")
new_rlock: Callable[[], Any] = _original(_thread, "RLock")
ThreadLocal: Callable[[], Any] = _original(_thread, "_local")
new_socket_pair: Callable[[], tuple[Any, Any]] = _socket.socketpair
Socket: type[socket.socket] = _original(socket, "socket")
_new_poll: Callable[[], Any] = _original(select, "poll")
getaddrinfo: Callable[..., Any] = _original(socket, "getaddrinfo")

# gevent's own versions keep watch over children in the main thread's loop.
spawn_process: Callable[..., int] = _original(os, "posix_spawn")
wait_for_process: Callable[..., tuple[int, int]] = _original(os, "waitpid")

_native_id: Callable[[], int] = _original(_thread, "get_native_id")


def is_main_thread() -> bool:
    """True in the thread whose Python runs signal handlers, where that can be told (on Linux)."""
    return _native_id() == os.getpid()


def threads_are_greenlets() -> bool:
    """True if what the standard library calls a thread is a greenlet in this program."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


READABLE, WRITABLE = select.POLLIN, select.POLLOUT


def poll_for(sock: Any, event: int) -> Any:
    """A poll object that reports one event (READABLE or WRITABLE) of one socket."""
    poll = _new_poll()
    poll.register(sock, event)
    return poll


def close_descriptor(sock: Any) -> None:
    """Close this process's copy of a socket, without a shutdown that its other holders would feel.

    Args:
        sock: a socket, open or closed.
    """
    descriptor = sock.detach()
    if descriptor >= 0:
        os.close(descriptor)


def why_no_thread(error: RuntimeError) -> str:
    """Why a thread could not be started, with what helps against it."""
    if "at interpreter shutdown" not in str(error):
        return str(error)
    return (
        f"{error}; Python 3.12 starts none once the main thread has ended: have that wait for the "
        "threads that use boards, with join(), or make a first job before it ends"
    )
