"""python -m study.questions on tiny sets of scenes and clips."""

import json
import shutil

import clip_factory as factory
from moving_scenes import write_sets
import pytest

pytest.importorskip('scipy')
from study.questions.__main__ import build_parser, estimate, main
from study.questions.model import TEXT_ONLY
from study.questions.real import NO_SPEED, TOO_SHORT
from study.questions.results import tables


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp('scenes'))


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """Make four real clips, one too short for double speed, one for all; and one of text."""
    folder = tmp_path_factory.mktemp('video')
    for n, frames in enumerate((95, 100, 60, 30)):
        factory.write_clip(folder / f'{n}.avi', frames, 30.0)
    (folder / 'text.avi').write_text('no video')
    (folder / 'clips.tsv').write_text('clip\tgroup\n' + ''.join(
        f'{name}.avi\tlab_{name}\n' for name in (0, 1, 2, 3, 'text')))
    return folder


def words_for(data, out, *more):
    return ['--scenes', str(data / 'train'), '--test', str(data / 'test'), str(data / 'held_out'),
            '--out', str(out), '--seeds', '1', '--clips', '8', '--questions', '24', '--variants',
            'pooling', 'moss_12', *more]


def test_the_command_compares_continues_and_asks_about_real_clips(data, video, tmp_path, capsys,
                                                                  monkeypatch):
    words = words_for(data, tmp_path, '--video', str(video), '--table', str(video / 'clips.tsv'))
    assert main(words) == 0
    said = capsys.readouterr().out
    for text in ('test: ', 'held_out: ', 'in held-out phrasings', 'speeds_up', '3 real clips of 3',
                 '6 of arrow, 4 of speed'):
        assert text in said
    result = json.loads((tmp_path / 'results.json').read_text())
    assert result['sets']['video']['left_out'] == {
        'does not decode': 1, TOO_SHORT: 1, NO_SPEED: 1}
    assert set(result['sets']['held_out']['families']) <= {'mug', 't_shape'}
    found = result['sets']['test']['held_out']['all']
    assert set(found['variants']) == {'most_frequent', 'pooling', 'moss_12', TEXT_ONLY}
    assert any((pair['ours'], pair['theirs']) == ('moss_12', 'pooling') for pair in found['pairs'])
    monkeypatch.setattr('study.questions.__main__.train', lambda *_: pytest.fail('trained again'))
    assert main(words) == 0 and capsys.readouterr().out == said
    # Answers about a clip are not those about another of its name and length.
    others = shutil.copytree(video, tmp_path / 'others')
    factory.noisy_clip(others / '0.avi', 95, factory.SIZE)
    with pytest.raises(pytest.fail.Exception, match='trained again'):
        main(words_for(data, tmp_path, '--video', str(others), '--table',
                       str(others / 'clips.tsv')))


def test_what_is_kept_is_collected_without_training(data, tmp_path, monkeypatch, caplog):
    words = words_for(data, tmp_path)[:-2]
    assert main([*words, 'pooling', '--collect']) == 1 and 'keeps no answers' in caplog.text
    for seeds, *variants in (('2', 'pooling'), ('1', 'displacement_1', 'displacement_12')):
        assert main([*words, *variants, '--seeds', seeds]) == 0
    monkeypatch.setattr('study.questions.__main__.train', lambda *_: pytest.fail('trained'))
    assert main([*words, 'pooling', '--collect']) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    found = result['sets']['held_out']['held_out']['motion']
    seeds = {'most_frequent': 1, 'pooling': 2, TEXT_ONLY: 2, 'displacement_1': 1,
             'displacement_12': 1}
    assert {name: one['seeds'] for name, one in found['variants'].items()} == seeds
    pairs = {(one['ours'], one['theirs']): one['seeds'] for one in found['pairs']}
    assert pairs['displacement_12', 'pooling'] == 1 == pairs['displacement_12', 'displacement_1']
    assert pairs[TEXT_ONLY, 'pooling'] == 2
    written = tables(result)
    assert [line.split('|')[1].strip() for line in written['goals'].splitlines()[2:]] == [
        f'{name}: displacement_12 above {other}' for name in ('test', 'held_out')
        for other in ('pooling', 'pooling_fine')]
    assert '| held_out, velocity ' in written['orders']
    accuracies, gains = written['kinds'].split('\n\n')[1:4:2]
    for line in accuracies.splitlines()[2:] + gains.splitlines()[2:]:
        assert line.count('[') >= 2, line
    assert 'text_only' in accuracies and 'pooling' not in gains.splitlines()[0]
    # An answer to another start is another answer.
    with pytest.raises(pytest.fail.Exception, match='trained'):
        main([*words, 'pooling', '--initial', ''])


def test_the_estimate_reads_no_scenes_and_counts_the_clips(video, tmp_path, caplog):
    caplog.set_level('INFO')
    assert main([*words_for(tmp_path / 'gone', tmp_path, '--estimate')]) == 0
    assert 'minutes: pooling 0, moss_12 0' in caplog.text
    more = ['--video', str(video), '--table', str(video / 'clips.tsv')]
    fewer, whole = (sum(estimate(build_parser().parse_args(
        words_for(tmp_path, tmp_path, *one))).values()) for one in ((), more))
    assert fewer < whole


@pytest.mark.parametrize(('more', 'message'), [
    (['--seeds', '0'], '--seeds 0 is not allowed'), (['--limit', '1'], '--limit 1 is not allowed'),
    (['--video', 'clips'], '--video and --table belong together'),
    (['--threads', '-1'], '--threads -1 is not allowed'),
    (['--variants', 'nothing'], 'is no variant'), (['--device', 'toaster'], "'toaster' can't be")])
def test_an_option_that_does_not_fit_is_named(data, tmp_path, caplog, more, message):
    assert main([*words_for(data, tmp_path), *more]) == 1
    assert message in caplog.text


def test_folders_that_hold_the_same_scenes_or_none_are_named(data, tmp_path, caplog):
    leaking = words_for(data, tmp_path)
    leaking[3] = str(data / 'train')
    assert main(leaking) == 1 and 'scenes of' in caplog.text and 'in training too' in caplog.text
    caplog.clear()
    assert main([*words_for(data, tmp_path), '--scenes', str(tmp_path / 'gone')]) == 1
    assert 'gone' in caplog.text
