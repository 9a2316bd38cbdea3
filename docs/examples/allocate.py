"""Boards that pass a test of your own; what fails it is avoided from then on."""

import random

from spalloc_gevent import Job
from spalloc_gevent.batch import allocate


def answers(job: Job) -> bool:
    """Stands for your own test of the boards: a ping of every one, a boot, a memory test."""
    return job.hostname is not None and random.random() < 0.9


job = allocate(3, check=answers, attempts=5, queue_timeout=600, power_timeout=120)
try:
    print(f"{job.width} x {job.height} chips at {job.hostname}")
finally:
    job.destroy()
