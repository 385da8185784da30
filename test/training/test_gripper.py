"""How far the gripper opens: from the data or an option to the network."""

from dataclasses import replace
import json
import math

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import letterbox
from moss_perception.core.resources import share_directory
from moss_perception.data.sample_shards import write_samples
from moss_perception.data.scenes import load_scenes, save_dataset
from moss_perception.data.shards import write_shard
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.simulation.scene import Source
from moss_perception.training.grasps import encode_candidates
from moss_perception.training.gripper import with_gripper
from moss_perception.training.selection import SampleSet
from moss_perception.training.settings import Settings
import numpy as np
import pytest
from spots import MATRIX, scene, TINY

from study.own_robot.plan import FINETUNED, Plan, PRETRAINED, Training

TABLE = str(share_directory() / 'config' / 'cells' / 'oblique_table.yaml')


def recorded(number, opening_m=math.nan):
    """Make a sample with one label, as one that is imported."""
    return replace(scene(number), seed=None, track=None, name=f'attempt {number}',
                   mask=np.arange(3) == number % 2, gripper_opening_m=opening_m)


def samples_of(*openings):
    """Make two samples of each of some sets, and describe the sets."""
    samples = [recorded(n, opening) for opening in openings for n in range(2)]
    return samples, [SampleSet(f'set {n}', 2) for n in range(len(openings))]


def write_scenes(folder, cell, scenes):
    """Write scenes as ``moss record --cell`` does."""
    write_shard(folder / 'scenes_00000000.npz', scenes, MATRIX)
    save_dataset(folder, {**Source(cell).described(), 'seed': 0, 'scenes': len(scenes)})
    return folder


@pytest.fixture(scope='module')
def initial(tmp_path_factory):
    """Write a checkpoint of a gripper that opens 0.08 m."""
    path = tmp_path_factory.mktemp('initial') / 'initial.safetensors'
    save_checkpoint(path, build(TINY), {})
    return path


@pytest.fixture
def train(initial, tmp_path, caplog):
    """Train on folders, and return the network's configuration and what was logged."""
    caplog.set_level('INFO')

    def run(*words):
        caplog.clear()
        assert moss(['train', *words, '--initial', str(initial), '--run', str(tmp_path / 'run'),
                     '--epochs', '1', '--no-graphs', '--threads', '1']) == 0
        path = tmp_path / 'run' / 'finetuned.safetensors'
        return read_header(path)[0], caplog.text, path.with_suffix('.md').read_text()
    return run


def test_scenes_of_a_cell_file_have_its_gripper_and_others_have_none(tmp_path):
    write_scenes(tmp_path / 'table', TABLE, [scene(0)])
    write_scenes(tmp_path / 'full', 'full', [scene(0)])
    assert [x.gripper_opening_m for x in load_scenes(tmp_path / 'table')] == [0.11]
    assert all(math.isnan(x.gripper_opening_m) for x in load_scenes(tmp_path / 'full'))


def test_the_gripper_of_the_data_reaches_the_network_and_its_model_card(train, tmp_path):
    table = write_scenes(tmp_path / 'table', TABLE, [scene(n) for n in range(12)])
    config, said, card = train('--data', str(table))
    assert config.gripper_half_width_m == pytest.approx(0.055)
    assert ("gripper_half_width_m is 0.055, half of the gripper's opening of 0.11 m (table); that "
            'of the initial checkpoint is 0.04; to keep it, use --gripper-opening 0.08') in said
    assert 'all weights are taken from' in said
    assert 'opens 0.11 m: the network sees grasps in units of it' in card


def test_an_option_takes_precedence_of_the_gripper_of_the_data(train, tmp_path):
    table = write_scenes(tmp_path / 'table', TABLE, [scene(n) for n in range(12)])
    config, said, _ = train('--data', str(table), '--gripper-opening', '0.07')
    assert config.gripper_half_width_m == pytest.approx(0.035)
    assert ('the network sees grasps as of a gripper that opens 0.07 m, as you asked for; that of '
            'the data opens 0.11 m (table)') in said


def test_data_that_do_not_say_it_keep_the_gripper_of_the_checkpoint(train, tmp_path):
    (tmp_path / 'mine').mkdir()
    write_samples(tmp_path / 'mine' / 'samples_00000.npz', [recorded(n) for n in range(12)])
    config, said, _ = train('--data', str(tmp_path / 'mine'))
    assert config.gripper_half_width_m == 0.04
    assert ('the data do not say how far the gripper opens: gripper_half_width_m stays 0.04, as '
            'in the initial checkpoint; if yours does not open 0.08 m, use --gripper-opening '
            'METRES') in said


def test_millimetres_are_refused(tmp_path, caplog):
    for words in (['train', '--data', 'none'], ['import', 'none', '--out', str(tmp_path / 'x')]):
        caplog.clear()
        assert moss([*words, '--gripper-opening', '85']) == 1
        assert ('gripper opening of 85 m: expected 0.005 to 1 m between the open fingers'
                ) in caplog.text
    with pytest.raises(ConfigError, match='gripper_half_width_m=0.0 is not allowed: expected me'):
        replace(TINY, gripper_half_width_m=0.0)


@pytest.mark.parametrize(('openings', 'expected'), [
    ((0.1, math.nan), 0.05), ((0.1, 0.1003), 0.05), ((0.0803, math.nan), None),
    ((math.nan, math.nan), None)])
def test_sets_that_say_nothing_or_the_same_agree(openings, expected):
    found = with_gripper(Settings(), *samples_of(*openings), TINY)
    assert found.network == ({} if expected is None else {
        'gripper_half_width_m': pytest.approx(expected)})


def test_grippers_that_differ_are_refused_unless_one_is_named(caplog):
    samples, sets = samples_of(0.11, 0.08, 0.11)
    with pytest.raises(ConfigError, match=(
            r'the grippers of the data open 0.08 m \(set 1\), 0.11 m \(set 0 and set 2\): '
            'expected one opening, in units of which a network sees grasps; name it with '
            '--gripper-opening METRES')):
        with_gripper(Settings(), samples, sets, TINY)
    named = Settings('', {'gripper_half_width_m': 0.055})
    assert with_gripper(named, samples, sets, TINY) is named
    assert 'that of the data opens 0.08 m (set 1)' in caplog.text


def test_a_network_of_a_wider_gripper_sees_the_same_grasp_in_its_units():
    one, wide = scene(0), 1.5
    _, transform = letterbox(one.newest(1)[0], TINY.image_size)
    narrow, wider = (encode_candidates(
        one.candidates.astype(float), one.camera, transform, config) for config in (
            TINY, replace(TINY, gripper_half_width_m=wide * TINY.gripper_half_width_m)))
    np.testing.assert_allclose(wider[:, :3], narrow[:, :3])
    np.testing.assert_allclose(wider[:, 3:], wide * narrow[:, 3:], rtol=1e-6)


def test_the_study_trains_with_the_gripper_that_the_tutorial_takes_from_the_cell_file(tmp_path):
    plan = Plan(tmp_path)
    plan.write_cells()
    scenes = load_scenes(write_scenes(tmp_path / 'cell', str(plan.own), [scene(0)]))
    tutorial = with_gripper(Settings(), scenes, (), TINY).network
    opening_m = json.loads((tmp_path / 'cell' / 'dataset.json').read_text())[
        'cell_file']['gripper.opening']
    imported = with_gripper(Settings(), [recorded(0, opening_m)], (), TINY).network
    assert tutorial == imported
    for name, attempts in ((PRETRAINED, 0), (FINETUNED, 100)):
        network = plan.settings(Training(name, attempts), TINY).network
        assert network['gripper_half_width_m'] == tutorial['gripper_half_width_m'] != 0.04
