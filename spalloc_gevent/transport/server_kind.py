"""What the server at hand is, and what it can: the only place where servers are told apart."""

from __future__ import annotations

from spalloc_gevent.transport.connection import Connection

JAVA_VERSION = "5.0.0"
"""What the Java server says; but a Python server of that version says it too."""

DEFAULT_KEEPALIVE_S = 60.0
"""What the Java server makes of none."""
EXPIRY_CHECK_S = 30
"""How often the Java server looks for jobs whose keepalive has run out, in seconds."""


class ServerKind:
    """What the replies have told of a server so far; it is taken for the Python server at first.

    The Java server is known by the ends of its lines, whatever it is asked.
    """

    __slots__ = ("_ends_lines_as_java", "_says_java_version", "is_known", "remarked")

    def __init__(self) -> None:
        self.is_known = False
        """True once it has replied to anything."""
        self._ends_lines_as_java = False
        self._says_java_version = False
        self.remarked: set[str] = set()
        """What has been told of it once."""

    def learn(self, connection: Connection) -> None:
        """Take in how the replies on a connection, which has had one, end."""
        self.is_known = True
        if connection.leads_to_java_server:
            self._ends_lines_as_java = True

    def learn_version(self, version: object) -> None:
        """Take in the reply to ``version``."""
        self._says_java_version = version == JAVA_VERSION

    @property
    def is_java(self) -> bool:
        """True once it is known to be the Java server."""
        return self._ends_lines_as_java or self._says_java_version

    @property
    def never_reuses_numbers(self) -> bool:
        """True if a job's number never becomes another job's, also after a cold start.

        The version alone is no proof: to be wrong here would keep a stranger's job alive.
        """
        return self._ends_lines_as_java

    @property
    def may_undo_destroys(self) -> bool:
        """True if an allocation that is under way brings a destroyed job back."""
        return self._ends_lines_as_java

    @property
    def holds_up_questions(self) -> bool:
        """True if a command that names a job waits while boards are allocated to it."""
        return self._ends_lines_as_java

    @property
    def subscribes_to_new_jobs(self) -> bool:
        """True if a subscription to all jobs covers those that are made after it."""
        return not self._ends_lines_as_java

    @property
    def lets_go_of_machines(self) -> bool:
        """True if a subscription to machines ends; on the Java server each leaves a thread."""
        return not self._ends_lines_as_java

    @property
    def bears_subscriptions(self) -> bool:
        """True if it may be subscribed to for as long as somebody looks on.

        The Java server asks its database without pause for a subscriber to all jobs while there
        are none, and never lets go of one to machines.
        """
        return not self._ends_lines_as_java

    @property
    def tells_keepalive_interval(self) -> bool:
        """True if ``get_job_state`` tells the interval, not the time of the last keepalive."""
        return not self.is_java

    @property
    def may_hang_up_on_list(self) -> bool:
        """True if ``list_jobs`` may be answered by hanging up, on whoever asks, for a time."""
        return self.is_java

    @property
    def stops_at_too_large_jobs(self) -> bool:
        """True if a job that fits no machine is taken, and then nobody is given boards."""
        return self._ends_lines_as_java

    @property
    def revives_by_power(self) -> bool:
        """True if power on or off puts a destroyed job back to ready, without boards."""
        return self._ends_lines_as_java

    @property
    def misplaces_chips(self) -> bool:
        """True if ``where_is`` is to be believed about boards only, not about chips."""
        return self._ends_lines_as_java

    @property
    def numbers_links_clockwise(self) -> bool:
        """True if links are numbered from the north clockwise, not from the east the other way."""
        return self._ends_lines_as_java

    @property
    def tells_absent_boards(self) -> bool:
        """True if the boards that were never there count among a machine's dead ones."""
        return not self._ends_lines_as_java

    @property
    def moves_jobs(self) -> bool:
        """True if a job whose first power-on fails is given other boards."""
        return self._ends_lines_as_java

    def effective_keepalive_s(self, keepalive_s: float | None) -> float | None:
        """The interval that the server makes of a job's keepalive, both in seconds; None: none."""
        if not self._ends_lines_as_java:
            return keepalive_s
        if keepalive_s is None:
            return DEFAULT_KEEPALIVE_S
        return float(int(keepalive_s)) or keepalive_s

    def keepalive_remark(self, keepalive_s: float | None) -> str | None:
        """What to know about a job's keepalive on this server; None if there is nothing.

        Args:
            keepalive_s: the interval in seconds; None for none.
        """
        if not self._ends_lines_as_java:
            return None
        if keepalive_s is None:
            return "the server makes no keepalive one of 60 s"
        if keepalive_s % 1:
            return f"the server cuts a keepalive of {keepalive_s:g} s to {int(keepalive_s)} s"
        if keepalive_s < EXPIRY_CHECK_S:
            return f"the server looks for silent jobs only every {EXPIRY_CHECK_S} s"
        return None

    @property
    def takes_reports(self) -> bool:
        """True if it has ``report_problem``; the Python server would hang up on that."""
        return self._ends_lines_as_java
