"""Forty allocations, ten at a time, each handed out as soon as it is ready."""

from spalloc_gevent.batch import JobGroup

with JobGroup(40, max_open=10, check=lambda job: job.hostname is not None) as group:
    for job in group.as_ready():
        # Whatever is to be done with the boards at job.hostname.
        job.destroy()  # makes room for the next
print(group.counts)
