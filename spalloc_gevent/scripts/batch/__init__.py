"""``spalloc-batch``: many commands, each on boards of its own, and what became of them.

Everything that can be wrong with the command line, the cases and the files of
results is found before any boards are asked for. Then a campaign runs until
each case has its verdict; whatever ends it, all boards are given back.

``spalloc-batch --help`` lists the options, the tokens and environment of a
command, and the exit codes; ``docs/reference/commands/spalloc-batch.rst`` tells the rest.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext

from spalloc_gevent.display.terminal import discard_unwritable, is_terminal, printable, write
from spalloc_gevent.scripts import batch_log, batch_options, logs
from spalloc_gevent.scripts.administration import connected
from spalloc_gevent.scripts.batch_campaign import Campaign
from spalloc_gevent.scripts.batch_cases import Case, CasesError, read_cases
from spalloc_gevent.scripts.batch_console import Console
from spalloc_gevent.scripts.batch_log import JobLog, done_before
from spalloc_gevent.scripts.batch_options import PROG, STDIN, Order
from spalloc_gevent.scripts.batch_outputs import Outputs, outputs_in
from spalloc_gevent.scripts.batch_records import Record, exit_code_of
from spalloc_gevent.scripts.batch_reporter import Reporter
from spalloc_gevent.scripts.batch_summary import Summary
from spalloc_gevent.scripts.common import CommandError, ExitCode, run, usage_message, warn
from spalloc_gevent.scripts.signals import Signals
from spalloc_gevent.scripts.views import json_line
from spalloc_gevent.scripts.whole_file import make_sure_of, open_now


def main(
    argv: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run ``spalloc-batch`` with these arguments and environment; None: this process's.

    Returns the exit code; raises SystemExit, as argparse does, for a wrong
    command line, --help and --version.
    """
    return run(
        lambda: _batch(
            batch_options.parse(argv, environ, sys.stderr),
            os.environ if environ is None else environ,
        ),
        prog=PROG,
        server_code=ExitCode.NO_SERVER,
        version_code=ExitCode.NO_SERVER,
        output_code=ExitCode.NOT_RECORDED,
    )


def _batch(order: Order, environ: Mapping[str, str]) -> int:
    cases = _cases(order)
    with ExitStack() as opened:
        log = None if order.joblog is None else opened.enter_context(batch_log.opened(order.joblog))
        before = _done_before(order, cases, log)
        if order.junit_xml is not None:
            _make_sure_of(order.junit_xml)
        outputs = opened.enter_context(outputs_in(order.output))
        to_run = [case for case in cases if case.name not in before]
        if to_run:
            _make_sure_of_server(order)
        console = _console(order, environ)
        reporter = Reporter(
            len(to_run), console, outputs, log, keeps_tails=order.junit_xml is not None
        )
        began = time.time()
        signum = _run(order, to_run, outputs, environ, reporter) if to_run else None
        records = [reporter.records.get(case.name) or before[case.name] for case in cases]
        code = exit_code_of(records, signum)
        if reporter.trouble is not None:
            code = ExitCode.NOT_RECORDED
        summary = Summary(records, frozenset(before), began, time.time(), code, signum)
        if order.junit_xml is not None:
            _write_junit(order.junit_xml, summary, reporter, order)
        if reporter.unshown is not None:
            raise _end_of_showing(reporter.unshown)
        if order.json:
            write(sys.stdout, json_line(summary.ended, summary.document()) + "\n")
        elif not order.quiet:
            reporter.telling(lambda: console.summary(summary))
        return code or (ExitCode.OK if reporter.telling.trouble is None else ExitCode.NOT_TOLD)


def _end_of_showing(error: OSError) -> Exception:
    """What is made of output that could not be shown; :func:`run` knows of closed windows."""
    discard_unwritable(sys.stdout)
    if isinstance(error, BrokenPipeError) or error.errno == errno.EIO:
        return error
    return CommandError(f"what cases write cannot be passed on: {error}", ExitCode.NOT_RECORDED)


def _cases(order: Order) -> list[Case]:
    is_stdin = order.file == STDIN
    source = "standard input" if is_stdin else printable(order.file)
    if is_stdin and is_terminal(sys.stdin):
        warn(f"{PROG}: reading cases from the terminal: NAME COMMAND a line, Ctrl+D at the end")
    try:
        return read_cases(_content(order.file), source, named=order.is_named)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror or error}"
        raise CommandError(usage_message(PROG, message), ExitCode.USAGE) from error
    except CasesError as error:
        raise CommandError(usage_message(PROG, error), ExitCode.USAGE) from error


def _content(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    with open(file, "rb") as content:
        return content.read()


def _done_before(order: Order, cases: Sequence[Case], log: JobLog | None) -> Mapping[str, Record]:
    """The results that are taken from the joblog."""
    if log is None:
        return {}
    # Read in any case: a half-written last line must not be gone on with.
    logged = log.read()
    return done_before(cases, logged, again=order.run_failed_again) if order.resume else {}


def _make_sure_of(path: str) -> None:
    """See now that a file can be written that is written at the end."""
    try:
        make_sure_of(path)
    except OSError as error:
        raise CommandError(_unwritable(path, error), ExitCode.NOT_RECORDED) from error


def _unwritable(path: str, error: OSError) -> str:
    return f"{printable(path)} cannot be written: {error.strerror or error}"


def _make_sure_of_server(order: Order) -> None:
    """See now that there is one of a version that will do, rather than once a case."""
    names = ("hostname", "port", "timeout", "ignore_version")
    server = {name: order.terms.job_options[name] for name in names}
    with connected(argparse.Namespace(**server)):
        pass


def _console(order: Order, environ: Mapping[str, str]) -> Console:
    return Console(
        sys.stderr if order.json else sys.stdout,
        sys.stderr,
        quiet=order.quiet,
        in_place=not order.debug,
        colour=order.colour,
        environ=environ,
    )


def _run(
    order: Order,
    cases: Sequence[Case],
    outputs: Outputs,
    environ: Mapping[str, str],
    reporter: Reporter,
) -> int | None:
    """Run the cases; the signal that was to end it, None without one."""
    log = logs.everything_shown(sys.stderr) if order.debug else logs.nothing_shown()
    campaign = Campaign(cases, order.terms, outputs, environ, reporter)
    # Nobody may have anything to tell any more when the campaign closes.
    warnings = nullcontext() if order.debug else logs.warnings_shown(campaign.tell)
    with log, Signals() as signals, campaign, warnings, closing(reporter):
        campaign.run(signals)
    return campaign.signum


def _write_junit(path: str, summary: Summary, reporter: Reporter, order: Order) -> None:
    # Nobody else needs an XML library.
    from spalloc_gevent.scripts.batch_junit import junit_xml

    name = PROG if order.file == STDIN else order.file
    content = junit_xml(summary.records, reporter.tails, summary.began, summary.seconds, name)
    try:
        with open(path, "wb", opener=open_now) as file:
            file.write(content)
    except OSError as error:
        raise CommandError(_unwritable(path, error), ExitCode.NOT_RECORDED) from error


if __name__ == "__main__":
    sys.exit(main())
