"""How each message about the server, the connection and a job is met."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pickle
import socket
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import gevent

from spalloc_gevent import Job, JobState, ProtocolClient
from spalloc_gevent.batch import Allocation, JobGroup, SpallocExecutor, allocate
from spalloc_gevent.batch import allocation as allocation_module
from spalloc_gevent.batch.phases import PhaseCounter
from spalloc_gevent.batch.request import BoardRequest
from spalloc_gevent.deadline import Deadline
from spalloc_gevent.errors import ConnectionLostError
from spalloc_gevent.scripts.jobs.subject import Subject
from spalloc_gevent.simulator import SimulatedServer
from spalloc_gevent.transport import connection as connection_module
from spalloc_gevent.transport import native, pool, tracked_jobs
from spalloc_gevent.transport.background import BackgroundHub, default_background
from spalloc_gevent.transport.notification_queue import NotificationQueue
from spalloc_gevent.transport.session import ServerSession
from spalloc_gevent.transport.threads import start_thread
from spalloc_gevent.transport.tracked_jobs import TrackedJob, unknown_job
from spalloc_gevent.transport.waiting import Waiter
from spalloc_gevent.wire.answers import job_state, machine_info
from spalloc_gevent.wire.identity import Identity
from spalloc_gevent.wire.lines import LineSplitter
from spalloc_gevent.wire.messages import decode_message
from spalloc_gevent.wire.protocol_state import ProtocolState
from spalloc_gevent.wire.requests import Request
from spalloc_gevent.wire.version import check_version
from tests.docs.message_stage import Stage, told
from tests.transport.scripted_server import Command, Peer, Script, ScriptedServer
from tools.real_server import free_port

LONG_S = 20.0


def hang_up(peer: Peer, _: Command) -> None:
    peer.hang_up()


def say_nothing(_peer: Peer, _: Command) -> None: ...


# -- the server and the connection -----------------------------------------------------


def no_answer_at_all(stage: Stage) -> str:
    """A server in whose backlog there is no place: the system answers nothing."""
    stage.patch.setattr(connection_module, "CONNECT_WITHIN_S", 0.5)
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        where = listener.getsockname()
        for _ in range(4):
            waiting_one = opened.enter_context(socket.socket())
            waiting_one.setblocking(False)
            waiting_one.connect_ex(where)
        return told(ProtocolClient(*where).connect)


def list_hung_up_on(_stage: Stage) -> str:
    """A Java server with a job that was made with a text for a number."""
    poison = b'{"command": "create_job", "args": ["2"], "kwargs": {"owner": "x"}}\n'
    with SimulatedServer(dialect="java") as server:
        with socket.create_connection((server.host, server.port), LONG_S) as somebody:
            somebody.sendall(poison)
            somebody.recv(4096)
        with contextlib.closing(ProtocolClient(server.host, server.port).open()) as client:
            return told(client.list_jobs)


def broke_three_times(stage: Stage) -> str:
    return told(stage.client(stage.scripted(hang_up)).list_machines)


def broke_in_power(stage: Stage) -> str:
    return told(stage.client(stage.scripted(hang_up)).power_on_job_boards, 1)


def nonsense(stage: Stage) -> str:
    server = stage.scripted(lambda peer, _: peer.sock.sendall(b"hello\n"))
    return told(stage.client(server).list_machines)


def session_with(stage: Stage, server: Any, **options: Any) -> ServerSession:
    """One whose background hub runs."""
    background = BackgroundHub()
    stage.on_exit(background.end)
    session = ServerSession(background, server.host, server.port, **options)
    stage.on_exit(session.close)
    session.background.start()
    return session


def hung_up_when_new(stage: Stage) -> str:
    """What is logged, and told in brackets by a call that is late, of a connection like that."""
    server = stage.started(ScriptedServer(lambda peer, _: peer.hang_up()))
    session = session_with(stage, server)
    told(session.call, Request("list_machines"), Deadline(LONG_S))
    return str(session.pool.backoff.error)


def silent_when_new(stage: Stage) -> str:
    stage.patch.setattr(pool, "PROBE_WITHIN_S", 0.05)
    server = stage.started(ScriptedServer())
    session = session_with(stage, server)
    session.call(Request("list_jobs"), Deadline(LONG_S))
    # One that answers is there: the next is tried before it is used.
    server.script = say_nothing
    return session.background.run(lambda: told(session.pool._make_connection))


def not_verified(stage: Stage, keepalive_s: float, answer: Script) -> str:
    """What is told when a server does not tell what is needed to know it for the same one."""
    session = session_with(stage, stage.scripted(answer))
    session.tracked.add(TrackedJob(7, Identity("me"), keepalive_s))
    return told(session.call, Request("list_machines"), Deadline(LONG_S))


def no_list_of_jobs(stage: Stage) -> str:
    stage.patch.setattr(tracked_jobs, "SHORTEST_LIST_S", 0.05)
    return not_verified(stage, 0.25, say_nothing)


def no_state_of_a_job(stage: Stage) -> str:
    def answer(peer: Peer, command: Command) -> None:
        if command.name == "list_jobs":
            peer.answer([])

    return not_verified(stage, 10.0, answer)


def missed_notifications(_: Stage) -> str:
    queue = NotificationQueue()
    queue.put_gap(ConnectionLostError("gone"))
    return told(queue.take, math.inf)


def late_and_away(_: Stage) -> str:
    with_patience = ProtocolClient(
        "127.0.0.1", free_port(), call_timeout=0.3, wait_for_server=True
    ).open()
    try:
        return told(with_patience.version)
    finally:
        with_patience.close()


def cannot_tell_changes(stage: Stage) -> str:
    client = stage.client(stage.scripted(say_nothing))
    return told(client.notify_job, timeout=0.05)


def unasked(_: Stage) -> str:
    return told(ProtocolState().receive, b'{"return": 1}\n')


def job_number_is_none(stage: Stage) -> str:
    server = stage.scripted(lambda peer, _: peer.answer("seven"))
    stage.point_at(server.host, server.port)
    return told(Job)


def too_long(_: Stage) -> str:
    lines = LineSplitter(10)
    return told(lambda: list(lines.lines(b"x" * 20)))


# -- what is closed, or another process's ------------------------------------------------


def closed_client(stage: Stage) -> str:
    client = stage.client()
    client.connect()
    client.close()
    return told(client.version)


def closed_in_flight(stage: Stage) -> str:
    server = stage.scripted(say_nothing)
    client = stage.client(server)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(told, client.list_jobs)
        server.wait_until(lambda: server.counts["list_jobs"])
        client.close()
        return call.result(LONG_S)


def after_the_end(_: Stage) -> str:
    background = BackgroundHub()
    background.end()
    return told(background.acquire)


def closed_pool(stage: Stage) -> str:
    session = session_with(stage, stage.server)
    session.pool.close()
    return told(session.call, Request("version"), Deadline(LONG_S))


def closed_while_queued(stage: Stage) -> str:
    session = session_with(stage, stage.server, limit=1)
    connection = session.pool.acquire(Request("version"), math.inf)
    assert connection is not None
    waiting_one = gevent.spawn(told, session.call, Request("list_jobs"), Deadline(LONG_S))
    gevent.sleep(0)
    session.pool.close()
    return str(waiting_one.get())


def closed_while_listening(stage: Stage) -> str:
    session = session_with(stage, stage.server)
    waiting_one = gevent.spawn(told, session.open_queue().take, math.inf)
    gevent.sleep(0)
    session.close()
    return str(waiting_one.get())


def ended_job(stage: Stage) -> str:
    job = stage.job()
    job.close()
    stage.destroy(job)
    return told(job.set_power, True)


def closed_group(stage: Stage) -> str:
    with JobGroup(1) as group:
        pass
    return told(lambda: list(group.as_ready()))


def forked_job(stage: Stage) -> str:
    job = stage.job()
    default_background.forks += 1
    try:
        return told(job.set_power, True)
    finally:
        default_background.forks -= 1


def forked_executor(stage: Stage) -> str:
    with SpallocExecutor() as executor, stage.patch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        return told(executor.submit, print)


def own_thread(stage: Stage) -> str:
    background = session_with(stage, stage.server).background
    return background.run(lambda: told(background.run, print))


def in_callback(_: Stage) -> str:
    said: list[str] = []
    gevent.get_hub().loop.run_callback(lambda: said.append(told(Waiter().wait)))
    gevent.sleep(0)
    gevent.sleep(0)
    return said[0]


def no_threads(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def no_background_thread(stage: Stage) -> str:
    with stage.patch.context() as patch:
        patch.setattr(native, "start_thread", no_threads)
        return told(BackgroundHub().acquire)


def no_worker(stage: Stage) -> str:
    with stage.patch.context() as patch:
        patch.setattr(native, "start_thread", no_threads)
        return told(start_thread, lambda: None)


# -- bugs: driven into from inside, since no program can ----------------------------------


def two_in_flight(_: Stage) -> str:
    state = ProtocolState()
    state.sent()
    return told(state.sent)


# -- jobs --------------------------------------------------------------------------------


def destroyed(stage: Stage, reason: str = "enough") -> Job:
    job = stage.job(is_ready=True)
    stage.destroy(job, reason)
    return job


def number_is_anothers(stage: Stage) -> str:
    session = session_with(stage, stage.server)
    job = TrackedJob(7, Identity("me"), None)
    session.tracked.add(job)
    job.learn_end(unknown_job("it was lost"))
    return told(session.call, Request("get_job_state", (7,)), Deadline(LONG_S))


def never_any_boards(_: Stage) -> str:
    return told(allocate, 5000)


def not_ready(stage: Stage) -> str:
    stage.use("slow")
    return told(stage.job().wait_until_ready, 0.0)


def left_alone(stage: Stage) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = Job()
        job_id = job.id or 0
        del job
        gc.collect()
    stage.client().destroy_job(job_id)
    return str(caught[0].message)


def no_such_chip(stage: Stage) -> str:
    stage.use("java")
    return told(stage.job(is_ready=True).where_is_machine, 7, 0)


def report_bad_chip(stage: Stage) -> str:
    stage.use("java")
    return told(stage.job(is_ready=True).report_problem, 99, 99)


def report_chip_too_early(stage: Stage) -> str:
    stage.use("java")
    stage.job(4, 2, is_ready=True)
    return told(stage.job(4, 2).report_problem, 0, 0)


# -- why jobs have ended -----------------------------------------------------------------------


def reasons_told_to(server: SimulatedServer) -> str:
    """The reasons of all jobs that clients of this server have ended."""
    seen = server.commands_seen
    return " ".join(str(one.kwargs.get("reason")) for one in seen if one.name == "destroy_job")


def reason_of_attempt(stage: Stage) -> str:
    bad_attempt(stage, lambda _: False)
    return reasons_told_to(stage.server)


def reason_of_task(stage: Stage) -> str:
    with SpallocExecutor(1) as executor:
        executor.submit(lambda job: job.id).result()
    return reasons_told_to(stage.server)


def reason_of_group(stage: Stage) -> str:
    with JobGroup(1) as group:
        list(group.as_ready())
    return reasons_told_to(stage.server)


def reason_of_command(stage: Stage) -> str:
    stage.run("job", stage.job().id, "--destroy")
    return reasons_told_to(stage.server)


def reason_of_impatience(stage: Stage) -> str:
    asked: list[Peer] = []

    def script(peer: Peer, command: Command) -> None:
        if command.name == "create_job":
            asked.append(peer)
        else:
            peer.answer(None)

    server = stage.scripted(script)
    told(Job, hostname=server.host, port=server.port, owner="me", timeout=0.05)
    server.wait_until(lambda: server.counts["create_job"])
    asked[0].answer(7)
    server.wait_until(lambda: server.counts["destroy_job"])
    return str(server.commands)


def reason_after_restart(stage: Stage, *, is_number_taken: bool) -> str:
    server = stage.own_server()
    job = stage.job()
    # Its start is asked for in the background; a restart meanwhile would be noticed at once.
    job._life.changes.wait_beyond(0)
    server.restart(cold=True)
    if is_number_taken:
        # Of a program that holds nothing there: this one would first see that its job is gone.
        stage.client(server).create_job(owner="somebody else")
    _ = job.state
    return str(job.reason)


def sight_after_restart(stage: Stage) -> str:
    server = stage.own_server()
    client, subject = stage.client(server), Subject(1)
    stage.job()
    subject.look(client)
    server.restart(cold=True)
    stage.job(owner="somebody else")
    return str(subject.look(client).reason)


def timed_out(stage: Stage) -> str:
    client = stage.client()
    job_id = client.create_job(1, owner="me", keepalive=0.05)
    client.notify_job()
    while any(job["job_id"] == job_id for job in client.list_jobs()):
        client.wait_for_notification(LONG_S)
    return str(client.get_job_state(job_id)["reason"])


# -- many jobs -----------------------------------------------------------------------------


def bad_attempt(stage: Stage, check: Any) -> str:
    return told(allocate, attempts=1, check=check)


def unpowered(stage: Stage) -> str:
    stage.use("slow")
    return told(allocate, attempts=1, power_timeout=0.05)


def allocated_through(*states: JobState) -> Callable[[Stage], str]:
    """What is told of a job whose waits, for boards, power and calm, end in these states."""

    def provoke(_: Stage) -> str:
        left = iter(states)
        job: Any = SimpleNamespace(
            id=1, reason="enough", machine_name="m", boards=[[0, 0, 0]],
            wait_for_state_change=lambda *_: next(left), destroy=lambda _: None,
        )  # fmt: skip
        terms = allocation_module.Terms(lambda _: job, 1, None, (), None, None, LONG_S)
        search = allocation_module.Search(terms, BoardRequest(PhaseCounter()))
        return told(search.run)

    return provoke


destroyed_while_powered = allocated_through(JobState.power, JobState.destroyed)
destroyed_while_settling = allocated_through(JobState.power, JobState.ready, JobState.destroyed)


def still_queued(stage: Stage) -> str:
    stage.use("small")
    stage.job(1, 1)
    return told(allocate, 1, 1, queue_timeout=0.05)


def queued_while_holding(stage: Stage) -> str:
    stage.use("small")
    return told(allocate, 1, 1, avoid=[("small", 0, 0, 0)], queue_timeout=0.05)


def queued_after_attempts(stage: Stage) -> str:
    stage.use("small")
    stage.patch.setattr(allocation_module, "FIRST_PAUSE_S", 0.01)
    return told(allocate, 1, 1, attempts=2, check=lambda _: False, queue_timeout=0.05)


def none_ready(stage: Stage) -> str:
    stage.use("slow")
    with JobGroup(1) as group:
        return told(lambda: list(group.as_ready(timeout=0.05)))


def shut_down(_: Stage) -> str:
    executor = SpallocExecutor()
    executor.shutdown()
    return told(executor.submit, print)


def waits_for_itself(_: Stage) -> str:
    with SpallocExecutor() as executor:
        return executor.submit(lambda _: told(executor.shutdown)).result(LONG_S)


TABLE: dict[str, Callable[[Stage], str]] = {
    "cannot connect to the spalloc server at <host>:<port>: <why>": lambda _: told(
        ProtocolClient("127.0.0.1", free_port()).connect
    ),
    "no answer to the connection attempt in <seconds> s": no_answer_at_all,
    "the connection to <host>:<port> broke before <command> was answered: <why>; "
    "sending it again did not help": broke_three_times,
    "<>; this server hangs up on the list of jobs while a job lives that was made with a number "
    "that is no integer: all else works": list_hung_up_on,
    "the connection to <host>:<port> broke before <command> was answered: <why>; the server may "
    "or may not have carried it out: look with list_jobs before asking again": broke_in_power,
    "the server closed the connection": broke_three_times,
    "the server at <host>:<port> closed a new connection: <why>": hung_up_when_new,
    "<host>:<port> did not answer on a new connection": silent_when_new,
    "the server did not tell its list of jobs in time": no_list_of_jobs,
    "the server did not tell the state of a job in time": no_state_of_a_job,
    "the connection was lost: <why>": missed_notifications,
    "<host>:<port> did not answer <command> in <seconds> s": lambda stage: told(
        stage.client(stage.scripted(say_nothing)).list_jobs, timeout=0.05
    ),
    "<host>:<port> did not answer <command> in <seconds> s (<why>)": late_and_away,
    "<host>:<port> did not confirm notifications in <seconds> s": cannot_tell_changes,
    "no notification from <host>:<port> in <seconds> s": lambda stage: told(
        stage.client().wait_for_notification, 0.01
    ),
    "<host>:<port> answered <command> with nonsense: <why>": nonsense,
    "the server sent a line of more than <number> bytes, beginning <text>": too_long,
    "<sender> sent <what>: <text>": lambda _: told(decode_message, b"\xff"),
    "<sender> sent JSON that is no object: <text>": lambda _: told(decode_message, b"1"),
    "the server answered a question nobody asked: <text>": unasked,
    "the server was asked for <what> and said <answer>": lambda _: told(machine_info, 3),
    "the server told a job's state that is none: <state>": lambda _: told(
        job_state, {"state": "good"}
    ),
    "the server was asked for a job and gave <answer> as its number": job_number_is_none,
    "the version of <server> is <version>; this client speaks <version> up to, not including, "
    "<version> (ignore_version=True tries all the same)": lambda _: told(
        check_version, "99.0", "the server"
    ),
    "this server takes no reports of bad boards (only the Java server does); nothing was "
    "reported: tell those who run it": lambda stage: told(
        stage.client().report_problem, "10.0.0.1"
    ),
    "this client of <host>:<port> is closed: connect() it": closed_client,
    "this client of <host>:<port> is not connected: call connect() first, or use it in a `with` "
    "statement": lambda _: told(ProtocolClient("127.0.0.1", 1).version),
    "the connection to the server is closed": lambda _: told(BackgroundHub().call_soon, print),
    "the program is ending: nothing can be done in its background": after_the_end,
    "<command> was called on a closed client": closed_pool,
    "the client was closed before <command> was sent": closed_while_queued,
    "the client was closed while <command> was in flight": closed_in_flight,
    "the client was closed": closed_while_listening,
    "job <id> has been <ended> by this program": ended_job,
    "the group of jobs has been closed": closed_group,
    "job <id> belongs to the parent process, not to this child": forked_job,
    "this executor belongs to the parent process, not to this child": forked_executor,
    "<function>: blocking call made on the hub's own thread": own_thread,
    "a blocking call was made inside a callback of gevent's loop: make it in a greenlet": (
        in_callback
    ),
    "cannot start the background thread: <why>": no_background_thread,
    "cannot start a thread: <why>": no_worker,
    "a second command on a connection that has one in flight": two_in_flight,
    "job <id> has been destroyed: <reason>": lambda stage: told(
        destroyed(stage).wait_until_ready, LONG_S
    ),
    "job <id> is not known to the server (any more)<reason>": lambda _: told(
        Job, resume_job_id=987654
    ),
    "job <id> is gone: <reason>": number_is_anothers,
    "job <id> was given no boards: <reason>": never_any_boards,
    "job <id> has no boards (yet, or any more)": lambda stage: told(Allocation.of, stage.job(5000)),
    "Destroyed by <owner>": reason_of_command,
    "The client gave up waiting for the job to be created.": reason_of_impatience,
    "These boards failed a check, or were needed no more.": reason_of_attempt,
    "Given back when its task had ended.": reason_of_task,
    "Given back with all jobs of its group.": reason_of_group,
    "the server has lost its memory: it knows another job by this number now": (
        lambda stage: reason_after_restart(stage, is_number_taken=True)
    ),
    "the server has lost its memory, or ended the job long ago: it does not know the job any "
    "more": lambda stage: reason_after_restart(stage, is_number_taken=False),
    "The server no longer knows this job; its ID belongs to another job now.": sight_after_restart,
    "Job timed out.": timed_out,
    "No suitable machines available.": never_any_boards,
    "job <id> was not ready within <seconds> s": not_ready,
    "job <id> was neither destroyed nor closed: nobody keeps it alive now": left_alone,
    "job <id> has no chip (<x>, <y>)": no_such_chip,
    "job <id> has no chip <chip>": report_bad_chip,
    "job <id> has no boards (any more)": report_chip_too_early,
    "a Job cannot be pickled, since this program keeps it alive: give others its Allocation "
    "(spalloc_gevent.batch.Allocation.of(job), or SpallocExecutor(workers=...), which does so), "
    "or its id, and Job(resume_job_id=id) there": lambda stage: told(pickle.dumps, stage.job()),
    "no good boards in <number> attempt<s>: <each>": lambda stage: bad_attempt(
        stage, lambda _: False
    ),
    "its boards were not powered on within <seconds> s": unpowered,
    "it was destroyed: <reason>": destroyed_while_powered,
    "it was <state> soon after it was ready": destroyed_while_settling,
    "its check failed": lambda stage: bad_attempt(stage, lambda _: False),
    "its check failed: <error>: <message>": lambda stage: bad_attempt(stage, lambda _: 1 / 0),
    "its check found bad boards": lambda stage: bad_attempt(stage, lambda job: job.boards),
    "job <id> was still queued after <seconds> s": still_queued,
    "job <id> was still queued after <seconds> s, while <number> bad allocations were held": (
        queued_while_holding
    ),
    "job <id> was still queued after <seconds> s, while <number> bad allocations were held; "
    "before that, <attempts>": queued_after_attempts,
    "no job was ready in time: <counts>": none_ready,
    "this executor has been shut down, and takes on no more tasks": shut_down,
    "a task cannot wait for the end of the executor that runs it": waits_for_itself,
}
