"""Runs of made-up variants, which choose better with less noise."""

import numpy as np

from study.comparison import Attempts, measure

COST = {'parameters': 10, 'mflop_a_frame': 1.5, 'mflop_a_step': 3.5, 'ms_a_step': 0.1,
        'ms_a_window': 2.0}


def attempts(scenes=40, candidates=3, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.random(scenes * candidates) < 0.4
    motions = np.array(['still', 'constant', 'oscillating'])[np.arange(scenes) % 3]
    return Attempts(labels, np.repeat(np.arange(scenes), candidates), motions,
                    np.full(scenes, 'box'), np.arange(scenes) + 100,
                    {'random': labels.reshape(scenes, -1).mean(1)})


def run(variant, seed, some, noise):
    generator = np.random.default_rng(seed)
    scores = np.clip(some.labels + generator.normal(0, noise, len(some.labels)), 0, 1)
    return {'variant': variant, 'seed': seed, 'sets': {'sim': measure(scores, some)}}
