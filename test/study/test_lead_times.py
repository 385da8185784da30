"""What knowing the lead time is worth, on scenes that were executed at several."""

from dataclasses import replace
import json

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.data.schema import GRIP_S
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
import numpy as np
import pytest
from spots import later_scene, MATRIX, scene, TINY
from study_runs import attempts, run
import torch

from study import compare as command
from study.comparison import Attempts
from study.lead_times import (
    bins,
    lead_time_table,
    LeadTimes,
    success_by_latency,
    worth_by_latency,
)
from study.scoring import Scorer

pytest.importorskip('scipy')
SINGLE = replace(TINY, orders=1)
TIMED = replace(SINGLE, time_inputs=True, lead_times_s=(0.5, 0.9), default_lead_time_s=0.7)


def test_each_lead_time_has_its_own_outcomes_and_references():
    found = LeadTimes.of([later_scene(1), later_scene(2)])
    np.testing.assert_allclose(found.times_s[0], [GRIP_S, GRIP_S + 0.1, GRIP_S + 0.2], rtol=1e-6)
    assert found.labels[1].tolist() == [[True, False, True], [False, True, False],
                                        [False, True, False]]
    # The object is at the first candidate, later at the second: true motion follows it.
    assert found.references['true_motion'].tolist() == [[1, 1, 1]] * 2
    assert 'constant_velocity' not in found.describe()['references']
    # A network that does not know the time always takes the first candidate.
    assert found.chosen(np.array([[[0.9, 0.1, 0.2]]] * 2)) == '100100'
    knowing = np.array([[[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.1, 0.9, 0.2]]] * 2)
    assert found.chosen(knowing) == '111111'


def test_scenes_with_one_lead_time_have_none_and_uneven_ones_are_refused():
    assert LeadTimes.of([scene(1), scene(2)]) is None
    assert 'lead_times' not in Attempts.of([scene(1)]).describe()
    with pytest.raises(ConfigError, match=r'scene 2 has \(lead times, candidates\) \(2, 3\): '
                                          r'expected \(3, 3\), as scene 1 has'):
        LeadTimes.of([later_scene(1), later_scene(2, (0.0, 0.1))])


def test_latencies_are_put_into_bins_by_their_upper_ends():
    found = LeadTimes.of([later_scene(1, (0.0, 0.06, 0.061, 0.5))]).describe()
    assert {label: mask.tolist() for label, mask in bins(found).items()} == {
        'all': [[True] * 4], '0 to 60 ms': [[True, True, True, False]],
        '240 to 300 ms': [[False, False, False, True]]}


def made_result():
    some = attempts(4)
    described = LeadTimes.of([later_scene(n) for n in range(4)]).describe()
    runs = [run('blind', 0, some, 1.0), run('timed', 0, some, 1.0), run('timed', 1, some, 1.0)]
    for one, told, fixed in zip(runs, ('100' * 4, '111' * 4, '011' * 4),
                                (None, '100' * 4, '110' * 4), strict=True):
        one['sets']['sim']['lead_times'] = {'told': told, **({'fixed': fixed} if fixed else {})}
    return {'sets': {'sim': {**some.describe(), 'lead_times': described}}, 'runs': runs,
            'costs': {'blind': {}, 'timed': {}}}


def test_the_worth_is_success_told_the_truth_minus_success_told_the_mean():
    result = made_result()
    blind = success_by_latency(result, 'sim', 'blind')
    assert [blind[label]['success'] for label in blind] == pytest.approx([1 / 3, 1, 0, 0])
    worth = worth_by_latency(result, 'sim', 'timed')
    assert list(worth) == ['all', '0 to 60 ms', '60 to 120 ms', '180 to 240 ms']
    # Of two trainings: (1, 1, 1) against (1, 0, 0), and (0, 1, 1) against (1, 1, 0).
    assert [one['difference'] for one in worth.values()] == pytest.approx([1 / 3, -0.5, 0.5, 1])
    assert worth_by_latency(result, 'sim', 'blind') == {}
    assert success_by_latency(result, 'sim', 'true_motion')['all']['success'] == 1
    text = lead_time_table(result, 'sim')
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines()]
    assert ['blind', '-', '33.3', '100.0', '0.0', '0.0'] in rows
    assert ['timed', 'difference', '+33.3 [+33.3, +33.3]', '-50.0 [-50.0, -50.0]',
            '+50.0 [+50.0, +50.0]', '+100.0 [+100.0, +100.0]'] in rows
    assert sum(row[0] == 'true_motion' for row in rows) == 1
    assert lead_time_table({**result, 'sets': {'sim': attempts(4).describe()}}, 'sim') == ''


def test_one_pass_scores_as_each_lead_time_by_itself_does():
    torch.manual_seed(1)
    network = build(TIMED).eval()
    scenes = [later_scene(seed) for seed in range(5)]
    # The last lead time lies beyond the trained range, and is clamped to its end.
    times = np.tile([0.55, 0.8, 5.0], (5, 1))
    found = Scorer({'it': scenes}, 'cpu').score_at(network, 'it', times)
    assert found.shape == (5, 3, 3, TIMED.ensemble)
    for number, time in enumerate((0.55, 0.8, 0.9)):
        told = [replace(one, lead_time_s=time) for one in scenes]
        expected = Scorer({'it': told}, 'cpu').score(network, 'it')
        np.testing.assert_allclose(found[:, number].reshape(-1, TIMED.ensemble), expected,
                                   atol=1e-6)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-4


@pytest.fixture
def runs(tmp_path):
    """Return a folder with an untrained network with time inputs, and one without."""
    for name, config in (('blind', SINGLE), ('timed', TIMED)):
        torch.manual_seed(2)
        (tmp_path / 'runs' / name).mkdir(parents=True)
        save_checkpoint(tmp_path / 'runs' / name / f'{name}.safetensors', build(config).eval(), {
            'variant': name, 'seeds': [0, 9], 'recipe': {'seed': 0}})
    return str(tmp_path / 'runs')


def test_networks_with_and_without_time_are_compared_in_one_run(runs, tmp_path, capsys):
    write_shard(tmp_path / 'sim' / 'scenes_00000100.npz',
                [later_scene(seed) for seed in range(100, 106)], MATRIX)
    write_shard(tmp_path / 'old' / 'scenes_00000200.npz', [scene(seed) for seed in (200, 201)],
                MATRIX)
    out = tmp_path / 'both.json'
    sim = ['--scenes', f'sim={tmp_path / "sim"}']
    assert command.main(['--runs', runs, *sim, '--validation', f'sim={tmp_path / "sim"}',
                         '--monitored', '0', '--out', str(out)]) == 0
    assert 'sim: success of the chosen grasp in %, by the time from' in capsys.readouterr().out
    result = json.loads(out.read_text())
    blind, timed = (next(one for one in result['runs'] if one['variant'] == name)
                    for name in ('blind', 'timed'))
    assert set(blind['sets']['sim']['lead_times']) == {'told'}
    assert timed['sets']['sim']['lead_times']['fixed_s'] == 0.7
    assert len(timed['sets']['sim']['lead_times']['told']) == 18
    # The first lead time of each scene is its own, at which it is scored.
    for one in (blind, timed):
        assert one['sets']['sim']['lead_times']['told'][::3] == one['sets']['sim']['chosen']
        assert one['validation']['sim'] == pytest.approx(
            np.mean([int(digit) for digit in one['sets']['sim']['chosen']]))


def test_a_network_with_time_inputs_needs_scenes_with_lead_times(runs, tmp_path, caplog):
    write_shard(tmp_path / 'old' / 'scenes_00000200.npz', [scene(seed) for seed in (200, 201)],
                MATRIX)
    command_line = ['--runs', f'{runs}/timed', '--scenes', f'old={tmp_path / "old"}']
    assert command.main(command_line) == 1
    assert 'scene 200 has no lead time' in caplog.text
    assert DataError.__name__ not in caplog.text
