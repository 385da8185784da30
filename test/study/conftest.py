"""Fixtures of the study's tests."""

import numpy as np
import pytest
from spots import write_data

from study.comparison import Attempts, compare_pairs, FORMAT, measure, summarise


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


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """Return a folder with small sets of scenes, ``train`` and ``test``."""
    return write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='session')
def stored():
    """Return a stored comparison of two variants with two seeds each."""
    some = attempts()
    sets = {'sim': some.describe()}
    runs = [run(variant, seed, some, noise) for variant, noise in (('blind', 3.0), ('moss', 0.3))
            for seed in (0, 1)]
    cost = {'parameters': 10, 'mflop_a_frame': 1.5, 'ms_a_frame': 0.1, 'ms_a_window': 2.0}
    return {'format': FORMAT, 'machine': 'a machine', 'costs': {'blind': cost, 'moss': cost},
            'sets': sets, 'variants': summarise(runs, sets), 'pairs': compare_pairs(runs, sets),
            'uncertainty': {}, 'runs': runs}
