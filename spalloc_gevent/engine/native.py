"""Threads, locks and sockets as the operating system has them, patched or not.

``gevent.monkey.patch_all()`` may have run before this package was imported, may
run later, or never: the background thread and the locks that other threads wait
on must be the native ones in every case.
"""

from __future__ import annotations

import os
import select as _select_module
import socket as _socket_module
import threading as _threading
from collections.abc import Callable
from typing import Any

import gevent
from gevent.monkey import get_original, is_module_patched

start_thread: Callable[..., int] = get_original("_thread", "start_new_thread")
thread_ident: Callable[[], int] = get_original("_thread", "get_ident")
new_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")
new_mutex: Callable[[], Any] = get_original("_thread", "RLock")
ThreadLocal: Callable[[], Any] = get_original("_thread", "_local")
Socket: type[_socket_module.socket] = get_original("socket", "socket")

has_poll = hasattr(_select_module, "poll")
"""False on Windows."""


def threads_are_greenlets() -> bool:
    """True if what the standard library calls a thread is a greenlet in this program."""
    return is_module_patched("threading")


def import_for_hubs() -> None:
    """Have imported what the first hub imports; before a thread is started that may make one.

    Patched, the locks of two threads' imports stand in each other's way for ever.
    """
    _ = gevent.config.loop, gevent.config.format_context


_native_id: Callable[[], int] = get_original("_thread", "get_native_id")


def is_main_thread() -> bool:
    """True in the thread whose Python runs signal handlers, where that can be told (on Linux)."""
    return _native_id() == os.getpid()


getaddrinfo: Callable[..., Any] = get_original("socket", "getaddrinfo")

# gevent's own versions keep watch over children in the main thread's loop.
spawn_process: Callable[..., int] = get_original("os", "posix_spawn")
wait_for_process: Callable[..., tuple[int, int]] = get_original("os", "waitpid")

LONGEST_WAIT_S: float = _threading.TIMEOUT_MAX


def poll_for_arrivals(sock: _socket_module.socket) -> Callable[[float], object]:
    """A function that waits, at most the given milliseconds, until `sock` has something to read.

    True if it has, its end included; where :data:`has_poll` says so.
    """
    poll = get_original("select", "poll")()
    poll.register(sock, _select_module.POLLIN)
    wait: Callable[[float], object] = poll.poll
    return wait
