"""Booting an allocated machine with Rig, where Rig can be used at all."""

from __future__ import annotations

import importlib
from typing import Any

_MACHINE_CONTROLLER = "rig.machine_control.machine_controller"

# Rig 2.4.1 wants inspect.getargspec when it is imported, which Python 3.11 no
# longer has; an old Rig may trip over a new numpy in other ways.
_BROKEN = (ImportError, AttributeError, SyntaxError, TypeError, ValueError)

_FAILED = (
    OSError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class RigUnusableError(Exception):
    """Rig is not installed, or cannot be imported by this Python."""


class BootFailedError(Exception):
    """The machine did not boot."""


class RigBoot:
    """Rig, imported. Raises RigUnusableError, which says why and what to do instead."""

    def __init__(self) -> None:
        try:
            self._rig: Any = importlib.import_module(_MACHINE_CONTROLLER)
        except _BROKEN as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "rig":
                raise RigUnusableError(
                    "--boot needs Rig, which is not installed: install spalloc_gevent[boot], "
                    "or use --boot-command"
                ) from error
            raise RigUnusableError(
                f"--boot needs Rig, which this Python cannot import ({type(error).__name__}: "
                f"{error}): use --boot-command, or Python 3.10"
            ) from error

    def __call__(self, hostname: str, width: int, height: int) -> None:
        """Boot the machine behind `hostname`, width x height chips; BootFailedError if it fails."""
        try:
            self._rig.MachineController(hostname).boot(width, height)
        except (self._rig.SpiNNakerBootError, *_FAILED) as error:
            raise BootFailedError(
                f"the machine at {hostname} did not boot: {type(error).__name__}: {error}"
            ) from error
