"""What can be ordered of the simulated Java server."""

from __future__ import annotations

from dataclasses import dataclass

from spalloc_gevent.wire.checks import as_int, as_number, make_plain

REVIVE_CHOICES = ("never", "half", "always")


@dataclass(frozen=True)
class JavaOptions:
    """What is left to chance, or to its speed, on the real Java server.

    allocator_seconds: how long a run of the allocator takes for each job that it works on, 0.036
    on the real server; a run takes 0.02 s at least. Commands that name one of its jobs wait for
    its end when it has come to the last two fifths of that time.
    revive: which jobs live on that are destroyed while a run works on them: ``"never"``,
    ``"half"`` (every second one) or ``"always"``.
    database_refusals: one command in so many is refused by the database; 0: none.
    notify_twice: tell of every change twice.
    failing_power_ons: how many of the next jobs fail to power on, and move to other boards.
    expiry_check_seconds: how often the server looks for jobs whose keepalive has run out.

    Raises TypeError or ValueError for what cannot be.
    """

    allocator_seconds: float = 0.0
    revive: str = "never"
    database_refusals: int = 0
    notify_twice: bool = False
    failing_power_ons: int = 0
    expiry_check_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.revive not in REVIVE_CHOICES:
            raise ValueError(f"revive is {', '.join(REVIVE_CHOICES)}, not {self.revive!r}")
        make_plain(self, as_number, "allocator_seconds", "expiry_check_seconds")
        make_plain(self, as_int, "database_refusals", "failing_power_ons")
        for name in ("allocator_seconds", "database_refusals", "failing_power_ons"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.expiry_check_seconds <= 0:
            raise ValueError(
                f"expiry_check_seconds must be more than 0, not {self.expiry_check_seconds}"
            )


ORDINARY = JavaOptions()
