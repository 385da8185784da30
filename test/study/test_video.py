"""The study on clips: bad clips and tables, questions, folds, and the command on a tiny folder."""

import importlib.util
import json
from pathlib import Path
import shutil

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models.checkpoint import save_checkpoint
import numpy as np
import pytest
import torch

pytest.importorskip('scipy')
from study.video import clips as reading
from study.video.__main__ import build_parser, estimate, main
from study.video.answers import KeptAnswers
from study.video.clips import Clip, load_clips, read_table
from study.video.fitting import batches, Budget, fit
from study.video.goals import GOAL_VARIANT
from study.video.models import BACKBONE, ClipReader, FINE_BACKBONE, INITIAL
from study.video.options import PRETRAINED_ON
from study.video.results import BLIND, summarise, tables
from study.video.tasks import (
    arrow,
    asked,
    folds_of,
    frames_needed,
    FREE,
    Item,
    LENGTH,
    order,
    PARTS,
    questions_a_clip,
    sample,
    speed,
    TASKS,
    verb,
)
from study.video.training import questions, train

_spec = importlib.util.spec_from_file_location(
    'clip_factory', Path(__file__).parents[1] / 'clip_factory.py')
factory = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(factory)

FRAMES = max(map(frames_needed, TASKS))


def write_table(folder, rows, head='clip\tgroup\tverb'):
    path = folder / 'clips.tsv'
    path.write_text('\n'.join([head, *('\t'.join(row) for row in rows)]) + '\n')
    return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Make six good clips of three groups, and one of each kind of bad one."""
    folder, rows = tmp_path_factory.mktemp('clips'), []
    for n in range(6):
        factory.write_clip(folder / f'{n}.avi', FRAMES + n, 30.0)
        rows.append((f'{n}.avi', f'lab_{n % 3}', ('Pick', 'Put')[n % 2]))
    factory.write_clip(folder / 'small.avi', FRAMES, 30.0, (32, 32))
    factory.write_clip(folder / 'slow.avi', FRAMES, 10.0)
    factory.write_clip(folder / 'short.avi', 20, 30.0)
    (folder / 'text.avi').write_text('no video')
    factory.cut(factory.write_clip(folder / 'cut.avi', FRAMES, 30.0), 0.5)
    for name in ('small', 'slow', 'short', 'text', 'cut', 'gone'):
        rows.append((f'{name}.avi', 'lab_0', 'Put'))
    write_table(folder, rows)
    return folder


@pytest.fixture(scope='module')
def loaded(folder, tmp_path_factory):
    return load_clips(folder, read_table(folder / 'clips.tsv'),
                      tmp_path_factory.mktemp('cache'), 64, lambda rate_hz: FRAMES)


def test_bad_clips_are_left_out_and_counted_by_reason(loaded):
    used, skipped = loaded
    assert [clip.name for clip in used] == [f'{n}.avi' for n in range(6)]
    assert skipped == {
        'no such file': ['gone.avi'], 'does not decode': ['text.avi', 'cut.avi'],
        'of another size than 64 x 48': ['small.avi'],
        'of another rate than 30 Hz': ['slow.avi'], 'shorter than 61 frames': ['short.avi']}
    assert FREE == ('arrow', 'speed', 'order') and frames_needed('verb') == 16
    assert used[2].frames.shape == (FRAMES + 2, 64, 64, 3) and used[2].frames.dtype == np.uint8


def test_what_was_decoded_is_not_decoded_again(folder, tmp_path, monkeypatch):
    rows = read_table(folder / 'clips.tsv')[:2]
    first, _ = load_clips(folder, rows, tmp_path, 64, lambda rate_hz: FRAMES)
    monkeypatch.setattr(reading, 'read_frames', lambda *_, **__: pytest.fail('decoded again'))
    second, _ = load_clips(folder, rows, tmp_path, 64, lambda rate_hz: FRAMES)
    assert np.array_equal(first[1].frames, second[1].frames)


@pytest.mark.parametrize(('head', 'rows', 'message'), [
    ('clip\tverb', [('a.mp4', 'Put')], "has 0 columns 'group': expected one; its columns are"),
    ('clip\tgroup', [('a.mp4', '')], 'line 2: no clip or no group'),
    ('clip\tgroup', [('a.mp4', 'x'), ('a.mp4', 'x')], '1 clips twice, such as a.mp4'),
    ('clip\tgroup\tsplit', [('a.mp4', 'x', 'train'), ('b.mp4', 'x', 'val')],
     "splits 1 groups, such as x, which is in 'train' and 'val'")])
def test_a_table_that_can_not_be_used_is_refused(head, rows, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_table(write_table(tmp_path, rows, head))


def test_a_missing_table_and_a_folder_without_clips_are_named(tmp_path):
    with pytest.raises(ConfigError, match='gone.tsv'):
        read_table(tmp_path / 'gone.tsv')
    with pytest.raises(ConfigError, match='no clip can be used: 1 no such file'):
        load_clips(tmp_path, [Clip('a.mp4', 'x')], tmp_path / 'cache', 64, lambda rate_hz: 16)


def test_the_arrow_plays_the_same_frames_forwards_and_backwards(loaded):
    frames = loaded[0][0].frames
    forwards, backwards = (sample(frames, item) for item in arrow(loaded[0]).items[:2])
    assert np.array_equal(forwards, backwards[::-1]) and len(forwards) == 16


def test_all_speeds_have_as_many_frames(loaded):
    task = speed(loaded[0])
    seen = [sample(loaded[0][0].frames, item)[:, 32, 32, 0].astype(int) for item in task.items[:3]]
    steps = [np.median(np.abs(np.diff(one))) for one in seen]
    # The shade of the made-up clips rises by 8 a frame.
    assert [len(one) for one in seen] == [16] * 3
    assert steps == pytest.approx([8, 16, 32], abs=3)


def test_the_parts_of_a_clip_are_shown_in_their_order_or_shuffled(loaded):
    task = order(loaded[0])
    assert task.classes == ('in order', 'shuffled') and len(task.items) == 12
    length = LENGTH // PARTS
    for n, clip in enumerate(loaded[0]):
        whole, mixed = (sample(clip.frames, item) for item in task.items[2 * n:2 * n + 2])
        parts = task.items[2 * n + 1].parts
        shown = np.concatenate([whole[part * length:][:length] for part in parts])
        assert np.array_equal(mixed, shown) and not np.array_equal(mixed, whole)
    assert len({item.parts for item in task.items}) > 3
    # A training sees another order of the same clip each time.
    rng = np.random.default_rng(0)
    shown = {tuple(sample(loaded[0][0].frames, task.items[1], rng)[:, 32, 32, 0])
             for _ in range(8)}
    assert len(shown) > 4


@pytest.mark.parametrize(('rate_hz', 'arrow_step', 'speeds'), [
    (30.0, 3, (1, 2, 4)), (29.97, 3, (1, 2, 4)), (60.0, 6, (2, 4, 8)), (10.0, 1, (1, 2, 4))])
def test_samples_are_as_far_apart_in_time_whatever_the_rate(rate_hz, arrow_step, speeds):
    clips = [Clip('0', 'g', frames=np.zeros((200, 8, 8, 3), np.uint8), rate_hz=rate_hz)]
    assert [item.step for item in asked('arrow', clips).items] == [arrow_step, -arrow_step]
    assert [item.step for item in asked('order', clips).items] == [arrow_step] * 2
    assert tuple(item.step for item in asked('speed', clips).items) == speeds
    assert frames_needed('speed', rate_hz) == 15 * speeds[-1] + 1


def test_a_long_clip_is_seen_to_its_end_and_a_longer_one_is_left_out(tmp_path, monkeypatch):
    factory.write_clip(tmp_path / 'long.avi', 320, 30.0)
    factory.write_clip(tmp_path / 'longer.avi', 350, 30.0)
    rows = [Clip('long.avi', 'a', 'Pick'), Clip('longer.avi', 'b', 'Put')]
    monkeypatch.setattr(reading, 'MAX_FRAMES', 340)
    used, skipped = load_clips(tmp_path, rows, tmp_path / 'cache', 64, lambda rate_hz: 16)
    assert [len(clip.frames) for clip in used] == [320]
    assert skipped == {'longer than 340 frames': ['longer.avi']}


def test_a_clip_is_left_out_of_those_tasks_only_that_it_is_too_short_for(loaded):
    clips = [Clip(f'{n}', 'g', ('Pick', 'Put')[n % 2], frames=np.zeros((n, 8, 8, 3), np.uint8),
                  rate_hz=30.0) for n in (16, 45, 46, 61)]
    counts = {name: len({item.clip for item in asked(name, clips).items}) for name in TASKS}
    assert counts == {'arrow': 2, 'speed': 1, 'order': 2, 'verb': 4}
    with pytest.raises(ConfigError, match='speed needs clips of 61 frames or more: the longest'):
        asked('speed', clips[:3])
    with pytest.raises(ConfigError, match='one fold has all clips that are long enough'):
        questions(asked('speed', clips), np.array([2, 3]))


def test_a_verb_is_asked_of_the_whole_clip_and_other_is_left_out(loaded):
    others = [*loaded[0], Clip('x', 'g', 'Other'), Clip('y', 'g')]
    task = verb(others)
    assert task.classes == ('Pick', 'Put') and len(task.items) == 6
    shades = sample(loaded[0][0].frames, task.items[0])[:, 32, 32, 0]
    assert len(shades) == 16 and len(np.unique(shades)) > 5
    with pytest.raises(ConfigError, match='needs a column verb with two verbs'):
        verb([Clip('x', 'g', 'Put')])


def test_no_group_is_in_training_and_test_at_once():
    clips = [Clip(f'{n}', f'g{n % 7}') for n in range(60)]
    folds = folds_of(clips, 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    task = arrow(clips)
    for fold in folds:
        known, test = ({clips[item.clip].group for item in part} for part in questions(task, fold))
        assert known and test and not known & test
    assert max(map(len, folds)) - min(map(len, folds)) < 10
    with pytest.raises(ConfigError, match='--folds 8 is not allowed with 7 groups'):
        folds_of(clips, 8)


def test_intervals_draw_groups_whose_sizes_differ():
    groups = [f'g{n}' for n in range(12) for _ in range(1 + n * n)]
    labels = [1] * len(groups)
    sure = summarise({BLIND: {0: labels}}, labels, groups, ('no', 'yes'))['variants'][BLIND]
    assert (sure['accuracy'], sure['low'], sure['high']) == (1.0, 1.0, 1.0)
    first = [int(group != 'g11') for group in groups]
    some = summarise({BLIND: {0: first}}, labels, groups, ('no', 'yes'))['variants'][BLIND]
    assert some['accuracy'] == pytest.approx(np.mean(first))
    assert some['low'] < 0.6 and some['high'] == 1.0


def test_variants_are_compared_on_the_same_questions():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, 200), [f'g{n % 20}' for n in range(200)]
    noisy = {seed: np.where(rng.random(200) < 0.3, 1 - labels, labels).tolist()
             for seed in range(2)}
    found = summarise({BLIND: {0: [0] * 200}, BACKBONE: {n: [1] * 200 for n in range(2)},
                       'moss_12': noisy},
                      labels.tolist(), groups, ('no', 'yes'))
    assert found['variants']['moss_12']['accuracy'] == pytest.approx(0.7, abs=0.06)
    assert found['variants'][BACKBONE]['recall'] == {'no': 0.0, 'yes': 1.0}
    pair, = found['pairs']
    assert (pair['ours'], pair['theirs'], pair['seeds']) == ('moss_12', BACKBONE, 2)
    assert 0.1 < pair['low'] < pair['difference'] < pair['high'] and pair['p'] < 0.01
    text = tables({'tasks': {'arrow': found}})['arrow']
    assert text.index('| moss_12') < text.index(f'| {BACKBONE}') and 'p = 0.00' in text


def test_the_goals_are_about_the_variant_that_was_named_before():
    labels, groups = [0, 1] * 50, [f'g{n % 20}' for n in range(100)]
    rng = np.random.default_rng(0)
    runs = {name: {seed: np.where(rng.random(100) < share, labels, 2).tolist() for seed in seeds}
            for name, share, seeds in ((BACKBONE, 0.3, (0, 1, 2)), ('flow', 0.88, (0,)),
                                       (GOAL_VARIANT, 0.6, (0, 2)), ('moss_12', 1.0, (0,)),
                                       ('displacement_1', 0.5, (0,)))}
    found = summarise(runs, labels, groups, ('no', 'yes', 'neither'))
    written = tables({'tasks': {'arrow': found, 'order': found}})
    lines = written['goals'].splitlines()[2:]
    assert len(lines) == 3 and all(GOAL_VARIANT in line for line in lines)
    assert [[cell.strip() for cell in line.split('|')][4:7] for line in lines] == [
        ['at least 5', 'yes', 'yes'], ['at least 5', '', ''], ['at least 0', 'no', 'no']]
    assert f'above {FINE_BACKBONE} ' in lines[1] and 'not run' in lines[1]
    # Each pair has the seeds of both, by number, and each variant all of its own.
    pairs = {(one['ours'], one['theirs']): one for one in found['pairs']}
    assert pairs[GOAL_VARIANT, BACKBONE]['seeds'] == 2
    assert pairs[GOAL_VARIANT, 'flow']['seeds'] == 1
    right = np.array([runs[name][seed] == np.array(labels) for name in (GOAL_VARIANT, BACKBONE)
                      for seed in (0, 2)]).mean(1)
    assert pairs[GOAL_VARIANT, BACKBONE]['difference'] == pytest.approx(
        right[:2].mean() - right[2:].mean())
    assert found['variants'][GOAL_VARIANT]['seed_numbers'] == [0, 2]
    assert '| 3: 23.0 to 28.0 ' in written['arrow'] and '| 173 k ' in written['arrow']
    # Order 2 of displacements beside order 1; moss_1 was not run.
    assert len(written['orders'].splitlines()) == 4 and '| displacement_1 ' in written['orders']
    assert 'not run' in tables({'tasks': {'arrow': summarise(
        {BACKBONE: runs[BACKBONE]}, labels, groups, ('no', 'yes', 'neither'))}})['goals']


def test_equal_seeds_train_equal_networks(loaded):
    items = [Item(n, n % 2, 3) for n in range(4)]
    task = arrow(loaded[0])
    one, other = (train('pooling', task, loaded[0], items, 7, Budget(8, 4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(),
                                                 strict=True))


def test_a_training_that_was_stopped_continues_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr('study.video.fitting._KEPT_S', 0.0)
    drawn, state = batches(10, 4, 3), tmp_path / 'state.safetensors'
    values = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    stop_at = [99]

    def trained():
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 1)

        def loss_of(step):
            if step == stop_at[0]:
                raise KeyboardInterrupt
            return (network(values[drawn(step)]) - 1).square().mean()

        fit(network, loss_of, Budget(40, 4), state)
        return network.weight

    whole = trained()
    assert not state.exists()
    stop_at[0] = 6
    with pytest.raises(KeyboardInterrupt):
        trained()
    stop_at[0] = 99
    with pytest.raises(CheckpointError, match='belongs to another training'):
        fit(torch.nn.Linear(3, 1), lambda _: pytest.fail('trained'), Budget(44, 4), state)
    assert torch.equal(trained(), whole) and not state.exists()
    state.write_bytes(b'cut off')
    with pytest.raises(CheckpointError, match='is damaged'):
        trained()


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_a_loss_that_is_not_finite_ends_the_training(value):
    network = torch.nn.Linear(3, 1)
    with pytest.raises(ConfigError, match=f'the loss is {value} in step 3 of 5: expected a fin'):
        fit(network, lambda step: network(torch.ones(1, 3)).abs().sum() * (
            float(value) if step == 2 else 1.0), Budget(20, 4))
    assert all(one.isfinite().all() for one in network.parameters())


def test_every_item_is_seen_before_any_is_seen_again():
    drawn = batches(10, 4, 3)
    seen = np.concatenate([drawn(step) for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])


def test_the_command_compares_continues_and_reports_what_it_left_out(folder, tmp_path, capsys,
                                                                     monkeypatch):
    words = [str(folder), '--table', str(folder / 'clips.tsv'), '--out', str(tmp_path), '--folds',
             '3', '--seeds', '1', '--clips', '8', '--variants', 'pooling', 'displacement_12',
             '--tasks', *TASKS]
    assert main(words) == 0
    said = capsys.readouterr().out
    # The clip of 20 frames is asked about what is done, which needs 16.
    for task in ('arrow: 12 questions', 'speed: 18 questions', 'order: 12', 'verb: 7 questions'):
        assert task in said
    result = json.loads((tmp_path / 'results.json').read_text())
    assert result['left_out']['does not decode'] == 2 and result['clips'] == 7
    assert {name: task['too_short'] for name, task in result['tasks'].items()} == {
        'arrow': 1, 'speed': 1, 'order': 1, 'verb': 0}
    assert result['tasks']['arrow']['variants'][BLIND]['accuracy'] == 0.5
    monkeypatch.setattr('study.video.__main__.train', lambda *_: pytest.fail('trained again'))
    assert main(words) == 0 and capsys.readouterr().out == said
    others = shutil.copytree(folder, tmp_path / 'others')
    factory.noisy_clip(others / '0.avi', FRAMES, factory.SIZE)
    with pytest.raises(pytest.fail.Exception, match='trained again'):
        main([str(others), '--table', str(others / 'clips.tsv'), *words[3:]])


def test_what_is_kept_is_collected_without_training(folder, tmp_path, monkeypatch, caplog):
    words = [str(folder), '--table', str(folder / 'clips.tsv'), '--out', str(tmp_path), '--clips',
             '8', '--tasks', 'arrow']
    assert main([*words, '--collect']) == 1 and 'keeps no answers' in caplog.text
    for variant, seeds in (('pooling', '2'), ('tsm', '1')):
        assert main([*words, '--variants', variant, '--seeds', seeds]) == 0
    monkeypatch.setattr('study.video.__main__.train', lambda *_: pytest.fail('trained'))
    assert main([*words, '--collect', '--variants', 'pooling']) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    found = result['tasks']['arrow']['variants']
    assert {name: one['seed_numbers'] for name, one in found.items()} == {
        BLIND: [0], 'pooling': [0, 1], 'tsm': [0]}
    pair, = result['tasks']['arrow']['pairs']
    assert (pair['ours'], pair['theirs'], pair['seeds']) == ('tsm', 'pooling', 1)
    # What else is asked changes neither the folds nor what is kept.
    assert main([*words[:-1], 'arrow', 'verb', '--collect']) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    assert set(result['tasks']['arrow']['variants']) == {BLIND, 'pooling', 'tsm'}
    assert set(result['tasks']['verb']['variants']) == {BLIND}
    # A training whose folds are not all there does not count.
    next(tmp_path.rglob('tsm_*/seed_0_fold_2.json')).unlink()
    assert main([*words, '--collect']) == 0
    result = json.loads((tmp_path / 'results.json').read_text())
    assert set(result['tasks']['arrow']['variants']) == {BLIND, 'pooling'}


def test_answers_of_a_variant_that_was_another_one_are_not_used_again(loaded, tmp_path,
                                                                      monkeypatch):
    def path_of(initial='', clips=8):
        return KeptAnswers(tmp_path, loaded[0], [arrow(loaded[0])], 3, Budget(clips),
                           initial).path('arrow', 'pooling', 0, 0)

    first = path_of()
    assert path_of() == first != path_of(str(INITIAL)) and path_of(clips=16) != first
    from study.video import models
    config = models.config_of('pooling')
    monkeypatch.setattr(models, 'config_of', lambda _: type(config)(temporal_channels=8))
    assert path_of() != first


def test_a_start_that_was_pretrained_on_the_clips_is_refused(folder, loaded, tmp_path, caplog):
    path = tmp_path / 'start.safetensors'
    save_checkpoint(path, ClipReader('pooling', '').network,
                    {PRETRAINED_ON: {'digests': [loaded[0][1].digest]}})
    assert main([str(folder), '--table', str(folder / 'clips.tsv'), '--out', str(tmp_path / 'o'),
                 '--variants', 'pooling', '--initial', str(path)]) == 1
    assert 'was pretrained on 1 of these clips, such as 1.avi' in caplog.text


def test_the_estimate_decodes_nothing_and_grows_with_the_sizes(folder, tmp_path, caplog):
    words = [str(folder), '--table', str(folder / 'clips.tsv'), '--out', str(tmp_path / 'out')]
    caplog.set_level('INFO')
    assert main([*words, '--estimate']) == 0
    assert 'minutes: pooling' in caplog.text and not (tmp_path / 'out').exists()
    few, many, fast = (sum(estimate(build_parser().parse_args([*words, *more]), 12).values())
                       for more in (['--seeds', '1'], ['--seeds', '5'], ['--device', 'cuda']))
    assert fast < few < many == pytest.approx(5 * few)
    # What is asked of each clip is what the tasks ask.
    clips = [Clip('0', 'g', 'Pick'), Clip('1', 'g', 'Put')]
    assert {name: questions_a_clip(name) for name in TASKS} == {
        name: len(task(clips).items) // 2 for name, task in TASKS.items()}


@pytest.mark.parametrize(('words', 'message'), [
    (['--seeds', '0'], '--seeds 0 is not allowed'), (['--folds', '9'], 'with 3 groups'),
    (['--learning-rate', '0'], '--learning-rate 0 is not allowed'),
    (['--variants', 'nothing'], 'is no variant')])
def test_an_option_that_does_not_fit_is_named(folder, words, message, tmp_path, caplog):
    assert main([str(folder), '--table', str(folder / 'clips.tsv'), '--out', str(tmp_path),
                 *words]) == 1
    assert message in caplog.text
