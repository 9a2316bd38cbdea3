"""Work that computes, in processes; this program holds the boards and keeps them alive."""

from concurrent.futures import ProcessPoolExecutor

from spalloc_gevent.batch import Allocation, SpallocExecutor


def run_trial(boards: Allocation, seed: int) -> tuple[int, str, int]:
    """Runs in a worker process, which only needs to know where the boards are."""
    return seed, boards.hostname, sum(n * n for n in range(10_000))


def main() -> None:
    with (
        ProcessPoolExecutor(max_workers=2) as processes,
        SpallocExecutor(3, max_jobs=8, workers=processes) as executor,
    ):
        results = list(executor.map(run_trial, range(24)))
    print(f"{len(results)} trials, each on boards of its own")


if __name__ == "__main__":
    main()
