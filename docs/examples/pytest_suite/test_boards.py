"""Run it without hardware: ``pytest --spalloc-simulate -n 4 docs/examples/pytest_suite``."""

import pytest

from spalloc_gevent import Job, JobState


def test_one_board(spalloc_job: Job) -> None:
    """A job for this test alone."""
    assert (spalloc_job.width, spalloc_job.height) == (8, 8)


@pytest.mark.spalloc(boards=3, power_timeout=120)
def test_a_triad(spalloc_job: Job) -> None:
    """Three boards, which may take two minutes to power on."""
    assert len(spalloc_job.boards or []) == 3


@pytest.mark.parametrize("chip", [(0, 0), (7, 7)])
def test_a_chip_of_shared_boards(spalloc_session_job: Job, chip: tuple[int, int]) -> None:
    """One job for all tests of a process; a board has chips as far as (7, 7)."""
    assert spalloc_session_job.state is JobState.ready
    assert len(spalloc_session_job.where_is_machine(*chip)) == 3
