"""Fixtures of the study's tests."""

import pytest
from spots import write_data
from study_runs import attempts, COST, run

from study.comparison import compare_pairs, FORMAT, summarise


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
    return {'format': FORMAT, 'machine': 'a machine', 'costs': {'blind': COST, 'moss': COST},
            'sets': sets, 'variants': summarise(runs, sets), 'pairs': compare_pairs(runs, sets),
            'uncertainty': {}, 'runs': runs}
