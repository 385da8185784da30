"""``moss train --initial``: a whole network goes on from a checkpoint, on several sets."""

from dataclasses import replace
import re

from moss_perception.cli.main import main as moss
from moss_perception.cli.train import read_sets
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.resources import share_directory
from moss_perception.data.sample_shards import write_samples
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.training.derive import same_layers, start_from
from moss_perception.training.results import count_seen, ranges_of
from moss_perception.training.settings import read_settings, Settings
import numpy as np
import pytest
from spots import MATRIX, scene, TINY
import torch


def recorded(number):
    """Make a sample with one label and groups, as one that is imported."""
    made = scene(number)
    return replace(made, seed=None, track=None, speed=float('nan'), motion='', shape='',
                   name=f'attempt {number}', domain='real', mask=np.arange(3) == number % 2,
                   groups={'day': f'day {number % 4}', 'bag': 'one'})


@pytest.fixture(scope='module')
def initial(tmp_path_factory):
    """Write a checkpoint with random weights, and values that no sample here has."""
    path = tmp_path_factory.mktemp('initial') / 'initial.safetensors'
    torch.manual_seed(3)
    config = replace(TINY, orders=2, mean=(0.3, 0.3, 0.3), std=(0.2, 0.2, 0.2), temperature=1.4)
    save_checkpoint(path, build(config), {'seeds': [[100, 105]]})
    return path


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sets')
    (folder / 'mine').mkdir()
    write_samples(folder / 'mine' / 'samples_00000000.npz', [recorded(n) for n in range(24)])
    write_shard(folder / 'sim' / 'scenes_00000100.npz', [scene(n) for n in range(100, 120)],
                MATRIX)
    return folder


@pytest.fixture(scope='module')
def tuned(initial, sets, tmp_path_factory):
    out = tmp_path_factory.mktemp('tuned')
    assert moss(['train', '--data', f'{sets / "mine"}=2', f'{sets / "sim"}=0.2', '--initial',
                 str(initial), '--run', str(out), '--epochs', '1', '--hold-out-by', 'day',
                 '--no-graphs', '--threads', '1']) == 0
    return out / 'finetuned.safetensors'


def test_the_network_and_its_normalisation_are_the_checkpoints(initial, tuned):
    before, (after, notes) = read_header(initial)[0], read_header(tuned)
    assert same_layers(after, before) and after.orders == 2
    assert (after.mean, after.std) == (before.mean, before.std)
    # Few held-out labels move the temperature a little.
    assert 0.5 < after.temperature < 4
    assert notes['initial'] == load_checkpoint(initial).sha256
    old, new = (load_checkpoint(path).state_dict() for path in (initial, tuned))
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    assert any(name.split('.')[0] not in ('backbone', 'lateral', 'smooth', 'head')
               for name in moved)
    # A small learning rate, so that the network stays near.
    assert all(torch.allclose(old[name].float(), new[name].float(), atol=0.01)
               for name in moved if name.endswith('weight') and old[name].dim() > 1)


@pytest.mark.parametrize(('seeds', 'expected'), [
    ([100, 105], 2), ([[100, 101], [105, 106]], 2), ([], 0), (None, 0)])
def test_scenes_that_a_checkpoint_has_seen_are_counted_as_each_version_names_them(
        tmp_path, seeds, expected):
    path = tmp_path / 'initial.safetensors'
    save_checkpoint(path, build(replace(TINY)), {} if seeds is None else {'seeds': seeds})
    samples = [*(scene(n) for n in (99, 101, 105, 107)), recorded(3)]
    assert count_seen(str(path), samples) == expected


def test_seeds_between_two_sets_are_not_noted_as_trained_on():
    one = scene(0)
    sets = {'sim': [*range(20), *range(25, 40)], 'more': range(50, 60), 'next': range(60, 70),
            'within': range(30, 35)}
    samples = [replace(one, seed=seed) for seeds in sets.values() for seed in seeds]
    names = [name for name, seeds in sets.items() for _ in seeds]
    # Scenes 20 to 24 were skipped.
    assert ranges_of([*samples, recorded(3)], [*names, 'mine']) == [[0, 39], [50, 69]]
    by_domain = [replace(one, seed=seed, domain=f'domain {seed // 50}') for seed in (1, 9, 51, 60)]
    assert ranges_of(by_domain) == [[1, 9], [51, 60]]
    assert ranges_of([recorded(3)]) == []


def test_a_whole_set_is_held_out_and_all_others_are_trained_on(
        initial, sets, tmp_path, caplog, capsys):
    write_samples(tmp_path / 'friday' / 'samples_00000000.npz',
                  [recorded(n) for n in range(30, 42)])
    words = ['train', '--data', str(sets / 'mine'), '--initial', str(initial), '--run',
             str(tmp_path), '--epochs', '1', '--no-graphs', '--threads', '1', '--hold-out']
    with pytest.raises(SystemExit, match='2'):
        moss([*words, str(tmp_path / 'friday'), '--hold-out-by', 'day'])
    assert '--hold-out and --hold-out-by day: expected one of them' in capsys.readouterr().err
    write_samples(tmp_path / 'again' / 'samples_00000000.npz', [recorded(2), recorded(50)])
    assert moss([*words, str(tmp_path / 'again')]) == 1
    assert ('1 samples of --hold-out are in --data too, such as attempt 2: expected other '
            'recordings') in caplog.text
    caplog.set_level('INFO')
    assert moss([*words, str(tmp_path / 'friday')]) == 0
    assert '24 samples to train on, 12 held out' in caplog.text
    assert re.search(r'grasp_gate --ros-args -p min_score:=0\.\d\d -p release_score:=0\.\d\d',
                     caplog.text)
    notes, card = read_header(tmp_path / 'finetuned.safetensors')[1], (
        tmp_path / 'finetuned.md').read_text()
    assert [(x['name'], x['held_out']) for x in notes['sets']] == [
        ('mine', False), ('friday', True)]
    for text in ('held out: all of friday', 'none: all are held out',
                 '12 held-out samples of the set `friday`'):
        assert text in card
    assert 'every tenth' not in card


def test_too_few_samples_beside_those_held_out_are_refused(initial, sets, tmp_path, caplog):
    write_samples(tmp_path / 'few' / 'samples_00000000.npz', [recorded(n) for n in range(30, 34)])
    assert moss(['train', '--data', str(tmp_path / 'few'), '--initial', str(initial), '--run',
                 str(tmp_path), '--hold-out', str(sets / 'mine')]) == 1
    assert '4 samples with a label are too few to train on' in caplog.text


def test_data_that_are_refused_leave_no_folder_behind(initial, sets, tmp_path, caplog):
    short = [replace(recorded(n), jpegs=recorded(n).jpegs[-4:]) for n in range(12)]
    write_samples(tmp_path / 'short' / 'samples_00000000.npz', [*short[:3], *(
        recorded(n) for n in range(3, 12))])
    words = ['train', '--initial', str(initial), '--run', str(tmp_path / 'runs' / 'mine')]
    assert moss([*words, '--data', str(tmp_path / 'short')]) == 1
    assert ('3 of 12 samples have too few images for the window of the network: the images of '
            'attempt 0 make 4 samples at 10.0 Hz: expected at least 16; import them again'
            ) in caplog.text
    # Found only when the clips are decoded.
    damaged = [replace(one, jpegs=(b'none',) * 17 + one.jpegs[-1:])
               for one in map(recorded, range(12))]
    write_samples(tmp_path / 'damaged' / 'samples_00000000.npz', damaged)
    assert moss([*words, '--data', str(tmp_path / 'damaged')]) == 1
    assert not (tmp_path / 'runs').exists()
    # A folder that was there stays, and so does what is in it.
    (tmp_path / 'runs' / 'mine').mkdir(parents=True)
    assert moss([*words, '--data', str(tmp_path / 'short')]) == 1
    assert (tmp_path / 'runs' / 'mine').exists()


def test_the_notes_say_what_was_mixed_and_held_out(tuned):
    notes = read_header(tuned)[1]
    assert [(one['name'], one['count'], one['weight']) for one in notes['sets']] == [
        ('mine', 24, 2.0), ('sim', 20, 0.2)]
    assert (notes['held_out'], notes['held_out_by']) == (6, 'day')
    assert notes['seeds'] == [[100, 119]]
    recipe = read_settings(share_directory() / 'config' / 'finetune.yaml').recipe()
    assert notes['recipe']['learning_rate'] == recipe.learning_rate
    assert notes['recipe']['epochs'] == 1


def test_a_model_card_is_written_beside_it(tuned):
    card = tuned.with_suffix('.md').read_text()
    threshold = read_header(tuned)[1]['score_threshold']
    assert 0.2 < threshold < 0.8
    for text in ('# Model card: finetuned', f'{threshold:.2f}, of highest balanced accuracy',
                 'whole groups by day', 'each 2 times',
                 '20 % of them, in turns', '6 held-out samples of the set `mine`:', 'AUROC',
                 'log loss', 'an interval needs at least 10 held-out samples', 'learning_rate'):
        assert text in card, text


def test_nothing_is_overwritten(initial, sets, tuned, caplog):
    command = ['train', '--data', str(sets / 'sim'), '--initial', str(initial), '--run']
    assert moss([*command, str(tuned.parent)]) == 1
    assert 'finetuned.safetensors is there already, and is never overwritten' in caplog.text
    other = tuned.with_name('other.safetensors')
    other.with_suffix('.md').write_text('mine')
    assert moss([*command, str(tuned.parent), '--out', str(other)]) == 1
    assert 'other.md is there already, and is never overwritten' in caplog.text


def test_a_training_does_not_resume_with_other_samples(initial, sets, tuned, caplog):
    assert moss(['train', '--data', str(sets / 'sim'), '--initial', str(initial), '--run',
                 str(tuned.parent), '--epochs', '1', '--out',
                 str(tuned.with_name('another.safetensors'))]) == 1
    assert 'belongs to a training on other samples, weights or initial weights' in caplog.text


def test_all_weights_are_taken_only_where_they_mean_the_same(initial, caplog):
    alike = build(replace(TINY, orders=2, gripper_half_width_m=0.05))
    with caplog.at_level('INFO'):
        start_from(alike, initial)
    assert f'all weights are taken from {initial}' in caplog.text
    given = load_checkpoint(initial).state_dict()
    assert all(torch.equal(values, given[name]) for name, values in alike.state_dict().items())
    torch.manual_seed(4)
    other = build(replace(TINY, orders=2, learning='shared'))
    with caplog.at_level('INFO'):
        start_from(other, initial)
    assert f'backbone and head are taken from {initial}' in caplog.text


def test_a_configuration_without_a_model_changes_values_of_the_checkpoints(initial):
    config = read_header(initial)[0]
    settings = Settings('x', {'gripper_half_width_m': 0.05}).of_checkpoint(config)
    made = settings.config()
    assert made.orders == 2 and made.gripper_half_width_m == 0.05 and same_layers(made, config)
    named = Settings('x', {}, {}, 'moss_grasp')
    assert named.of_checkpoint(config) is named


def test_sets_are_read_with_their_weights(tmp_path):
    odd = tmp_path / 'a=b'
    odd.mkdir()
    assert read_sets(['mine=3', 'sim=0.5', 'more', str(odd)]) == [
        ('mine', 3.0), ('sim', 0.5), ('more', 1.0), (str(odd), 1.0)]
    for text in ('mine=often', 'mine=0', 'mine=-1', 'mine=nan', 'mine='):
        with pytest.raises(ConfigError, match='expected DIR=WEIGHT with a weight above 0'):
            read_sets([text])


def test_a_checkpoint_that_is_missing_is_one_line(sets, tmp_path, caplog):
    assert moss(['train', '--data', str(sets / 'mine'), '--initial', str(tmp_path / 'none'),
                 '--run', str(tmp_path / 'run')]) == 1
    assert 'none is not there: expected a .safetensors file' in caplog.text
    with pytest.raises(CheckpointError):
        start_from(build(TINY), tmp_path / 'none')
