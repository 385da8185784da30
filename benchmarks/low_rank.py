"""Low-rank similarity: how many channels have to be compared, in accuracy and in time."""

import json

import blocks
from checkout import RUNS
from harness import parse_arguments, Report
from moss_perception.cli.common import write_text
import numpy as np
import probe_task
from scipy import stats
from streams import Stream
from timing import take_turns
import torch
from tqdm import tqdm

PROJECTION = 64
RANKS = (4, 8, 16, 32, 64)
SEEDS = (0, 1, 2, 3, 4)
STEPS = 400


def run(rank: int, seed: int, steps: int, count: int) -> dict:
    """Train one probe and say how much of the displacements it predicts."""
    probe = probe_task.train(rank if rank < PROJECTION else None, seed, steps)
    return {'rank': rank, 'seed': seed,
            'same': probe_task.r_squared(probe, probe_task.TRAINING, count),
            'shifted': probe_task.r_squared(probe, probe_task.SHIFTED, count)}


def runs(ranks: tuple, seeds: tuple, steps: int, count: int) -> list[dict]:
    """Return every run; those that are on disk are not run again."""
    folder = RUNS / f'low_rank_{steps}_{count}'
    found = []
    jobs = [(rank, seed) for seed in seeds for rank in ranks]
    for rank, seed in tqdm(jobs, desc='probes', disable=None):
        path = folder / f'rank_{rank}_seed_{seed}.json'
        if not path.is_file():
            write_text(path, json.dumps(run(rank, seed, steps, count)) + '\n')
        found.append(json.loads(path.read_text()))
    return found


def mean_with_interval(values: list[float]) -> tuple[float, str]:
    """Return the mean, and its 95 % interval (Student's t) in words."""
    values = np.asarray(values)
    if len(values) < 2:
        return float(values.mean()), '-'
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), f'{values.mean() - half:.3f} to {values.mean() + half:.3f}'


def step_times(ranks: tuple, rounds: int) -> dict:
    """Time a step of MOSS (C=128, 14 x 14, window 5 x 9 x 9, orders 1 and 2) at each rank."""
    frames = torch.randn(8, 1, 128, 14, 14, generator=torch.Generator().manual_seed(0))
    return take_turns({rank: Stream(blocks.light(
        projection=PROJECTION, rank=rank if rank < PROJECTION else None), frames)
        for rank in ranks}, rounds)


def main() -> None:
    """Train and measure."""
    arguments = parse_arguments(__doc__)
    quick = arguments.quick
    torch.set_num_threads(arguments.threads)
    ranks, seeds = (RANKS[::2], SEEDS[:2]) if quick else (RANKS, SEEDS)
    report = Report('low_rank', arguments, list(seeds))
    found = runs(ranks, seeds, 2 if quick else STEPS, 32 if quick else 1024)
    times = step_times(ranks, 2 if quick else 25)
    rows = []
    for rank in ranks:
        row = {'rank': rank if rank < PROJECTION else f'{rank} (all)'}
        for key, title in (('same', 'R2, same domain'), ('shifted', 'R2, shifted')):
            row[title], row[f'{title}, 95 %'] = mean_with_interval(
                [x[key] for x in found if x['rank'] == rank])
        rows.append(row | {'step ms': times[rank].median_ms})
    report.table('rank of the similarity', rows,
                 f'R2 of the displacement of a disc in three frames, {len(seeds)} seeds; step: '
                 'C=128, 14 x 14, window 5 x 9 x 9, orders 1 and 2')
    report.content['runs'] = found
    report.finish()


if __name__ == '__main__':
    main()
