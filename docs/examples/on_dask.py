"""A campaign that outgrows one machine: the work on a Dask cluster, the boards held here."""

import os

from distributed import Client, LocalCluster

from spalloc_gevent.batch import Allocation, SpallocExecutor


def run_trial(boards: Allocation, seed: int) -> tuple[int, str]:
    """Runs on any worker of the cluster."""
    return seed, f"{boards.hostname} used by process {os.getpid()}"


def main() -> None:
    # Stands for your own cluster: Client("tcp://scheduler:8786").
    with (
        LocalCluster(n_workers=3, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
        SpallocExecutor(max_jobs=12, workers=client.get_executor(pure=False)) as executor,
    ):
        results = dict(executor.map(run_trial, range(60)))
    processes = {told.rpartition(" ")[2] for told in results.values()}
    print(f"{len(results)} trials in {len(processes)} processes")


if __name__ == "__main__":
    main()
