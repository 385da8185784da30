"""What a shift costs, on the scenes that two sets share by their seeds."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation.metrics import auroc, Scored, value_of
import numpy as np
import pytest
from study_runs import attempts

from study.comparison import measure, summarise
from study.shift import (
    auroc_since,
    common,
    describe_seeds,
    factor_table,
    losses,
    pairings,
    seeds_of,
)

pytest.importorskip('scipy')


def made(seed, scenes=60, kept=None, domain='sim'):
    """Make a set of scenes with a reference, of which only some are kept."""
    some = attempts(scenes, seed=seed)
    kept = np.arange(scenes) if kept is None else kept
    each = len(some.labels) // scenes
    chosen = np.isin(some.groups, kept)
    return replace(some, labels=some.labels[chosen], groups=np.repeat(
        np.arange(len(kept)), each), motions=some.motions[kept], families=some.families[kept],
        seeds=some.seeds[kept], domain=domain, baselines={
            'true_motion': (kept % 4 > 0).astype(float)})


def scored(some, noise, scene_noise=0):
    generator = np.random.default_rng(scene_noise)
    return np.clip(some.labels + generator.normal(0, noise, len(some.labels)), 0, 1)


@pytest.fixture(scope='module')
def result():
    """Return results on ``sim``, a worse set of its seeds but one, and a set of other seeds."""
    there = {'sim': made(0), 'blur': made(0, kept=np.arange(1, 60), domain='shifted.motion_blur'),
             'other': replace(made(3), seeds=np.arange(60) + 900)}
    sets = {name: some.describe() for name, some in there.items()}
    runs = []
    for seed in (0, 1):
        scores = {name: scored(some, 1.5 if name == 'blur' else 0.2, seed)
                  for name, some in there.items()}
        found = {name: measure(scores[name], some) for name, some in there.items()}
        for name, since in auroc_since(scores, there, sets).items():
            found[name]['since'] = since
        runs.append({'variant': 'mine', 'seed': seed, 'sets': found})
    return {'sets': sets, 'runs': runs, 'costs': {'mine': {}}, 'variants': summarise(runs, sets),
            'there': there}


def test_seeds_are_told_by_their_ends_and_what_is_left_out():
    seeds = np.array([5, 6, 9, 10])
    described = describe_seeds(seeds)
    assert described == {'seeds': [5, 10], 'left_out': [7, 8]}
    assert seeds_of(described).tolist() == seeds.tolist()
    assert describe_seeds(np.array([6, 5])) == {'seeds': [5, 6]}
    assert seeds_of({'seeds': [5, 6]}) is None


def test_a_set_is_paired_with_the_first_that_has_its_seeds(result):
    assert pairings(result['sets']) == {'blur': 'sim'}
    mine, theirs = common(result['sets'], 'blur', 'sim')
    assert mine.tolist() == list(range(59)) and theirs.tolist() == list(range(1, 60))
    old = {name: {'seeds': one['seeds']} for name, one in result['sets'].items()}
    assert pairings(old) == {}
    with pytest.raises(ConfigError, match='blur and sim do not tell the seeds'):
        common(old, 'blur', 'sim')


def test_a_loss_is_the_paired_difference_on_the_common_scenes(result):
    found = losses(result, 'mine')['blur']
    chosen = {name: np.mean([[int(digit) for digit in one['sets'][name]['chosen']]
                             for one in result['runs']], axis=0) for name in ('sim', 'blur')}
    assert found['difference'] == pytest.approx((chosen['blur'] - chosen['sim'][1:]).mean())
    assert (found['base'], found['scenes']) == ('sim', 59)
    assert found['low'] < found['difference'] < found['high'] < 0
    some = result['there']
    areas = []
    for seed in (0, 1):
        sim, blur = scored(some['sim'], 0.2, seed), scored(some['blur'], 1.5, seed)
        areas.append(value_of(auroc, Scored.of(blur, some['blur'].labels)) - value_of(
            auroc, Scored.of(sim[3:], some['sim'].labels[3:])))
    assert found['auroc'] == pytest.approx(np.mean(areas))
    assert found['auroc_low'] < found['auroc'] < found['auroc_high'] < 0
    # True motion succeeds in the same scenes of both sets.
    assert losses(result, 'true_motion')['blur']['difference'] == 0
    assert losses(result, 'true_motion')['blur']['auroc'] is None
    assert losses(result, 'oracle') == {}


def test_the_table_names_the_factor_and_shows_the_ceiling(result):
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in factor_table(result).splitlines()]
    assert [row[:3] for row in rows[4:]] == [['motion blur', 'mine', '59'],
                                             ['motion blur', 'true_motion', '59']]
    assert rows[5][3:] == ['0.0 [0.0, 0.0]', '-']
    assert factor_table({**result, 'sets': {'sim': result['sets']['sim']}}) == ''
