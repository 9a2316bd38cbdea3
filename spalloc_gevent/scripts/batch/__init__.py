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

from spalloc_gevent.display.terminal import (
    Colour,
    discard_unwritable,
    is_terminal,
    printable,
    write,
)
from spalloc_gevent.scripts import logs
from spalloc_gevent.scripts.administration import connected
from spalloc_gevent.scripts.batch import joblog
from spalloc_gevent.scripts.batch.campaign import Campaign
from spalloc_gevent.scripts.batch.cases import Case, CasesError, read_cases
from spalloc_gevent.scripts.batch.console import BatchConsole
from spalloc_gevent.scripts.batch.options import EXIT_CODES as EXIT_CODES
from spalloc_gevent.scripts.batch.options import PROG, STDIN, parse
from spalloc_gevent.scripts.batch.options import make_parser as make_parser
from spalloc_gevent.scripts.batch.outputs import outputs_in
from spalloc_gevent.scripts.batch.records import CaseRecord, exit_code_of
from spalloc_gevent.scripts.batch.reporter import Reporter
from spalloc_gevent.scripts.batch.summary import Summary
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
        lambda: run_batch(
            parse(argv, environ, sys.stderr), os.environ if environ is None else environ
        ),
        prog=PROG,
        server_code=ExitCode.NO_SERVER,
        version_code=ExitCode.NO_SERVER,
        output_code=ExitCode.NOT_RECORDED,
    )


def run_batch(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """See that all can be had and written, run the cases, and tell what became of them."""
    cases = cases_of(options)
    with ExitStack() as opened:
        log, before = None, {}
        if options.joblog is not None:
            log = opened.enter_context(joblog.opened(options.joblog))
            # Read in any case: a half-written last line must not be gone on with.
            logged = log.read()
            if options.resume or options.resume_failed:
                before = joblog.done_before(cases, logged, again=options.resume_failed)
        if options.junit_xml is not None:
            write_results(options.junit_xml)
        outputs = opened.enter_context(outputs_in(options.output))
        to_run = [case for case in cases if case.name not in before]
        console = BatchConsole(
            sys.stderr if options.json else sys.stdout,
            sys.stderr,
            quiet=options.quiet,
            in_place=not options.debug,
            colour=Colour(options.color),
            environ=environ,
        )
        keeps_tails = options.junit_xml is not None
        reporter = Reporter(len(to_run), console, outputs, log, keeps_tails=keeps_tails)
        began, signum = time.time(), None
        if to_run:
            # There is one of a version that will do: seen now, rather than once a case.
            with connected(options):
                pass
            campaign = Campaign(to_run, options, outputs, environ, reporter)
            signum = run_campaign(campaign, options, reporter)
    records = [reporter.records.get(case.name) or before[case.name] for case in cases]
    return tell_end(options, reporter, records, frozenset(before), began, signum)


def cases_of(options: argparse.Namespace) -> list[Case]:
    """The cases in the file that is given, or on standard input."""
    is_stdin = options.file == STDIN
    source = "standard input" if is_stdin else printable(options.file)
    if is_stdin and is_terminal(sys.stdin):
        warn(f"{PROG}: reading cases from the terminal: NAME COMMAND a line, Ctrl+D at the end")
    try:
        if is_stdin:
            content = sys.stdin.buffer.read() if sys.stdin is not None else b""
        else:
            with open(options.file, "rb") as file:
                content = file.read()
        return read_cases(content, source, named=not options.unnamed)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror or error}"
        raise CommandError(usage_message(PROG, message), ExitCode.USAGE) from error
    except CasesError as error:
        raise CommandError(usage_message(PROG, error), ExitCode.USAGE) from error


def write_results(path: str, content: bytes | None = None) -> None:
    """Write a file of results, or see that it can be written; CommandError where it cannot."""
    try:
        if content is None:
            make_sure_of(path)
            return
        with open(path, "wb", opener=open_now) as file:
            file.write(content)
    except OSError as error:
        message = f"{printable(path)} cannot be written: {error.strerror or error}"
        raise CommandError(message, ExitCode.NOT_RECORDED) from error


def run_campaign(campaign: Campaign, options: argparse.Namespace, reporter: Reporter) -> int | None:
    """Run the cases; the signal that was to end it, None without one."""
    log = logs.everything_shown(sys.stderr) if options.debug else logs.nothing_shown()
    # Nobody may have anything to tell any more when the campaign closes.
    warnings = nullcontext() if options.debug else logs.warnings_shown(campaign.tell)
    with log, Signals() as signals, closing(campaign), warnings, closing(reporter.console):
        campaign.run(signals)
    return campaign.signum


def tell_end(
    options: argparse.Namespace,
    reporter: Reporter,
    records: Sequence[CaseRecord],
    before: frozenset[str],
    began: float,
    signum: int | None,
) -> int:
    """Write what is written at the end; the exit code."""
    code, console = exit_code_of(records, signum), reporter.console
    if reporter.joblog_error is not None:
        code = ExitCode.NOT_RECORDED
    summary = Summary(records, before, began, time.time(), code, signum)
    if options.junit_xml is not None:
        # Nobody else needs an XML library.
        from spalloc_gevent.scripts.batch.junit import junit_xml

        name = PROG if options.file == STDIN else options.file
        content = junit_xml(records, reporter.tails, began, summary.seconds, name)
        write_results(options.junit_xml, content)
    if (error := reporter.output_error) is not None:
        discard_unwritable(sys.stdout)
        if isinstance(error, BrokenPipeError) or error.errno == errno.EIO:
            raise error  # Of a reader that has left, and a closed window, run() knows.
        message = f"what cases write cannot be passed on: {error}"
        raise CommandError(message, ExitCode.NOT_RECORDED)
    if options.json:
        write(sys.stdout, json_line(summary.ended, summary.document()) + "\n")
    elif not options.quiet:
        console.summary(summary)
    return code or (ExitCode.OK if console.telling.trouble is None else ExitCode.NOT_TOLD)
