"""Pretraining on real clips, from a folder of clips to the answer, at a tiny size."""

from dataclasses import replace
import json

import clip_factory as factory
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.data.schema import Attempt
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.manifest import file_sha256, read_header
from moss_perception.training.derive import start_from
from moving_scenes import PHASES
import numpy as np
import pytest
from spots import MATRIX
from spots import scene as spot_scene
import torch

pytest.importorskip('scipy')
from study.pretraining import __main__ as command
from study.pretraining.pictures import draw_differences
from study.pretraining.plan import STARTS
from study.pretraining.results import answer, seed_differences, tables
from study.video.models import INITIAL
from study.video.options import PRETRAINED_ON

SETS = ['sim', 'shifted']


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """Make six clips of three groups, and one that is too short."""
    folder = tmp_path_factory.mktemp('clips')
    for n, frames in enumerate((70, 71, 72, 73, 74, 75, 30)):
        factory.write_clip(folder / f'{n}.avi', frames, 30.0)
    (folder / 'clips.tsv').write_text('clip\tgroup\n' + ''.join(
        f'{n}.avi\tlab_{n % 3}\n' for n in range(7)))
    return folder


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Make scenes of a spot, whose attempts can be watched."""
    folder = tmp_path_factory.mktemp('scenes')
    for name, seeds in (('train', range(20)), ('test', range(100, 106))):
        scenes = []
        for seed in seeds:
            one = spot_scene(seed)
            watched = Attempt(0, True, one.jpegs[1:], np.arange(20, 37) * 10**8, PHASES,
                              np.full(17, np.nan, np.float32),
                              np.tile(one.candidates[:1, :3], (17, 1)))
            scenes.append(replace(one, attempt=watched))
        write_shard(folder / name / f'scenes_{seeds[0]:08d}.npz', scenes, MATRIX)
    return folder


def words_for(clips, data, out, *more):
    return [str(clips), '--table', str(clips / 'clips.tsv'), '--scenes', str(data / 'train'),
            '--test', *(f'{name}={data / "test"}' for name in SETS), '--out', str(out),
            '--variant', 'moss_12', '--small', '--clips', '16', '--limit', '20', '--threads', '1',
            *more]


def test_the_whole_chain_runs_and_what_is_done_is_not_done_again(clips, data, tmp_path, capsys,
                                                                 caplog, monkeypatch):
    words = words_for(clips, data, tmp_path)
    assert command.main(words) == 0
    said = capsys.readouterr().out
    result = json.loads((tmp_path / 'results.json').read_text())
    assert set(result['comparison']['variants']) == {'ordinary', 'pretrained'}
    assert set(result['pretraining']['accuracy']) == {'arrow', 'speed', 'order'}
    assert result['pretraining']['on']['left_out'] == {'shorter than 46 frames': 1}
    written = '\n\n'.join(tables(result).values()) + '\n'
    assert said.endswith(written)
    made, begun_at = (tmp_path / f'{start}/moss_12.safetensors'
                      for start in ('pretrained', 'ordinary'))
    pretrained, start = load_checkpoint(made), load_checkpoint(INITIAL)
    ordinary = load_checkpoint(begun_at)
    # It learnt; what reads grasps is that of the ordinary start, and so is the normalisation.
    weights = [one.backbone.stages[2][0].weight for one in (pretrained, start)]
    assert not torch.equal(*weights)
    assert all(torch.equal(one, start.head.state_dict()[name])
               for name, one in pretrained.head.state_dict().items())
    assert pretrained.config.mean == start.config.mean
    # The ordinary start has the same backbone; MOSS's weights were trained as well.
    assert all(torch.equal(one, start.backbone.state_dict()[name])
               for name, one in ordinary.backbone.state_dict().items())
    learnt = {name for name, one in pretrained.moss.state_dict().items()
              if not torch.equal(one, ordinary.moss.state_dict()[name])}
    assert {name.split('.')[0] for name in learnt} == {'extraction', 'learning'}
    begun = {name: read_header(tmp_path / f'runs/{name}_seed_0/{name}.safetensors')[1]['initial']
             for name in ('ordinary', 'pretrained')}
    assert begun == {'ordinary': file_sha256(begun_at), 'pretrained': file_sha256(made)}
    # Both see images alike. All weights reach the training of grasps, not the backbone's alone.
    configs = {name: read_header(tmp_path / f'runs/{name}_seed_0/{name}.safetensors')[0]
               for name in STARTS}
    for name, source in (('ordinary', ordinary), ('pretrained', pretrained)):
        assert (configs[name].mean, configs[name].std) == (start.config.mean, start.config.std)
        network = build(configs[name])
        start_from(network, tmp_path / name / 'moss_12.safetensors')
        assert all(torch.equal(one, network.state_dict()[key])
                   for key, one in source.state_dict().items())
    digests = read_header(made)[1][PRETRAINED_ON]['digests']
    assert len(digests) == 4 and 'digests' not in result['pretraining']['on']
    for stage in ('fit', 'fit_grasps'):
        monkeypatch.setattr(f'study.pretraining.stages.{stage}', lambda *_: pytest.fail('again'))
    assert command.main(words) == 0 and capsys.readouterr().out == written
    assert command.main([*words, '--clips', '24']) == 1
    assert 'was begun with clips seen 16, and this command has 24' in caplog.text
    assert command.main([*words, '--learning-rate', '0.001']) == 1
    assert 'was begun with learning rate 0.003, and this command has 0.001' in caplog.text
    assert command.main([*words, '--epochs', '2']) == 1
    assert 'was begun with epochs 1, and this command has 2' in caplog.text
    for option, value in (('--limit', '10'), ('--initial', ''), ('--scenes', str(data / 'test'))):
        caplog.clear()
        assert command.main([*words, option, value]) == 1
        assert f'was begun with {option[2:]} ' in caplog.text


def test_the_estimate_trains_nothing_and_grows_with_the_sizes(clips, data, tmp_path, caplog):
    caplog.set_level('INFO')
    assert command.main(words_for(clips, data, tmp_path / 'out', '--estimate')) == 0
    assert 'minutes: pretrain 0, train 0, compare 0' in caplog.text
    assert not (tmp_path / 'out').exists()
    plans = [command.read_plan(command.build_parser().parse_args(words_for(
        clips, data, tmp_path, *more))) for more in ((), ('--clips', '999', '--seeds', '2'))]
    few, many = map(command.estimate, plans)
    assert all(few[stage] < many[stage] for stage in few)


@pytest.mark.parametrize(('more', 'message'), [
    (['--seeds', '0'], '--seeds 0 is not allowed'), (['--threads', '-1'], '--threads -1'),
    (['--learning-rate', '-1'], '--learning-rate -1 is not allowed'),
    (['--variant', 'pooling'], '--variant pooling has no MOSS'),
    (['--variant', 'nothing'], 'is no variant'), (['--test', 'sim'], '--test sim is not allowed')])
def test_an_option_that_does_not_fit_is_named(clips, data, tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        command.read_plan(command.build_parser().parse_args(
            words_for(clips, data, tmp_path, *more)))


@pytest.mark.parametrize(('low', 'high', 'word'), [
    (0.01, 0.05, '**Yes**: pretraining on real clips helps'), (-0.05, 0.03, 'the interval has 0'),
    (-0.05, -0.01, '**No**: pretraining on real clips harms'), (None, None, '**Not known**')])
@pytest.mark.parametrize('turned', [False, True])
def test_the_interval_on_the_shifted_set_answers(low, high, word, turned):
    names = ['pretrained', 'ordinary']
    ends = [low, high]
    if turned:
        names, ends = names[::-1], ends if low is None else [-high, -low]
    pairs = [{'ours': names[0], 'theirs': names[1], 'set': name, 'kind': 'all', 'p': 0.2,
              'seeds': [0, 1], 'difference': 0.0, 'low': ends[0] if name == 'shifted' else 0.9,
              'high': ends[1] if name == 'shifted' else 0.9} for name in SETS]
    sign = -1 if high is not None and high < 0 else 1
    found = {'sets': dict.fromkeys(SETS), 'pairs': pairs, 'runs': runs_of((sign, 2 * sign))}
    assert word in answer(found)
    if low is not None:
        assert 'by seed: 0: +1.0, 1: +2.0' in answer(found).replace('-', '+')


def runs_of(points):
    """Return trainings from both starts, whose success on 100 scenes differs by so many points."""
    return [{'variant': start, 'seed': seed, 'sets': {name: {
        'chosen': '1' * (50 + more) + '0' * (50 - more)} for name in SETS}}
        for seed, gain in enumerate(points) for start, more in (
            ('ordinary', 0), ('pretrained', gain))]


@pytest.mark.parametrize(('points', 'begin'), [
    ((3, 1), '**Yes**'), ((3, -1), '**No**: no help can be shown, the seeds differ to both sides'),
    ((3, 0), '**No**: no help'), ((3,), '**It cannot be told**'), ((), '**It cannot be told**')])
def test_help_takes_seeds_that_agree_and_any_answer_two_of_them(points, begin):
    pair = {'ours': 'pretrained', 'theirs': 'ordinary', 'set': 'shifted', 'kind': 'all', 'p': 0.01,
            'seeds': [0, 1], 'difference': 0.02, 'low': 0.01, 'high': 0.03}
    found = {'sets': dict.fromkeys(SETS), 'pairs': [pair], 'runs': runs_of(points)}
    assert answer(found).startswith(begin)
    assert list(seed_differences(found, 'sim').values()) == pytest.approx(
        [gain / 100 for gain in points])


def test_what_pretraining_brings_is_drawn_by_set_and_seed():
    pairs = [{'ours': 'pretrained', 'theirs': 'ordinary', 'set': name, 'kind': 'all', 'p': 0.01,
              'seeds': [0, 1], 'difference': 0.02, 'low': 0.01, 'high': 0.03}
             for name in SETS[:1]]
    figure = draw_differences({'comparison': {
        'sets': dict.fromkeys(SETS), 'pairs': pairs, 'runs': runs_of((3, 1))}})
    axis, = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == SETS
    shown = sorted(float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == 'D')
    assert shown == pytest.approx([1, 1, 3, 3])


def test_clips_of_one_group_can_not_be_held_out(clips, data, tmp_path):
    table = tmp_path / 'clips.tsv'
    table.write_text('clip\tgroup\n' + ''.join(f'{n}.avi\tlab\n' for n in range(3)))
    plan = command.read_plan(command.build_parser().parse_args(words_for(clips, data, tmp_path)))
    with pytest.raises(ConfigError, match='has clips of the group lab only: expected two groups'):
        command.pretrain(replace(plan, table=table))


def test_a_damaged_pretraining_is_named(clips, data, tmp_path):
    plan = command.read_plan(command.build_parser().parse_args(words_for(clips, data, tmp_path)))
    plan.pretrained.parent.mkdir(parents=True)
    plan.pretrained.write_bytes(b'cut off')
    with pytest.raises(CheckpointError, match='pretrained'):
        command.pretrain(plan)
