"""What ``spalloc-job`` does with a job, and what it reads in a ledger of jobs."""
