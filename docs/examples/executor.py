"""A hundred trials on boards of their own, twenty at a time; the boards stay warm in between."""

from spalloc_gevent import Job
from spalloc_gevent.batch import SpallocExecutor


def run_trial(job: Job, seed: int) -> tuple[int, str | None]:
    """Stands for your own work; it may block, and use any library."""
    return seed, job.hostname


with SpallocExecutor(max_jobs=20, reuse=True, retries=2) as executor:
    results = dict(executor.map(run_trial, range(100)))
print(f"{len(results)} trials on {len(set(results.values()))} boards or fewer")
