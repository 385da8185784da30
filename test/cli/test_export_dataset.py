"""The commands ``moss export-dataset`` and ``moss import --lerobot``."""

from dataclasses import replace
import json
import shutil
import sys

from calibrations import write_calibration
from example_samples import assert_same, jpeg, sample
from moss_perception.cli.main import main
from moss_perception.data.sample_shards import sample_path, write_samples
from moss_perception.data.scenes import read_shards
from moss_perception.data.schema import Attempt
import numpy as np
import pytest

MATRIX = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
# A grasp that the camera sees.
SEEN = (0.02, 0.01, 0.5, 0.3)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write a folder of two samples, and work beside it."""
    monkeypatch.chdir(tmp_path)
    write_samples(sample_path(tmp_path / 'data', 0), [sample(1, 3), sample(2, 4)])
    return 'data'


def test_a_data_set_comes_back_as_it_was(data, tmp_path, caplog):
    caplog.set_level('INFO')
    assert main(['export-dataset', data, '--lerobot', 'out/le', '--images', 'jpeg']) == 0
    assert '2 episodes at 10 frames per second in out/le' in caplog.text
    assert [x.name for x in (tmp_path / 'out').iterdir()] == ['le']
    assert main(['import', '--lerobot', 'out/le', '--out', 'back', '--group', 'operator=bo']) == 0
    assert 'samples of 2 attempts in back, 1 of them successful' in caplog.text
    for got, one in zip(read_shards('back'), read_shards(data), strict=True):
        assert got.groups.pop('operator') == 'bo'
        assert_same(got, one)


def test_samples_without_a_lead_time_get_the_one_that_is_given(data, tmp_path):
    samples = [replace(sample(1, 3), lead_time_s=float('nan')),
               replace(sample(2, 3), lead_time_s=0.25)]
    write_samples(sample_path(tmp_path / 'data', 0), samples)
    assert main(['export-dataset', data, '--lerobot', 'le', '--images', 'jpeg']) == 0
    assert main(['import', '--lerobot', 'le', '--out', 'back', '--lead-time', '0.7']) == 0
    assert [x.lead_time_s for x in read_shards('back')] == [0.7, 0.25]


def test_video_is_the_default_and_several_data_sets_become_one(data, tmp_path):
    assert main(['export-dataset', data, '--lerobot', 'le', '--fps', '12', '--task', 'take']) == 0
    info = json.loads((tmp_path / 'le/meta/info.json').read_text())
    assert (info['fps'], info['features']['observation.images.camera']['dtype']) == (12, 'video')
    assert main(['import', '--lerobot', 'le', 'le', '--out', 'back']) == 0
    assert len(list(read_shards('back'))) == 4


@pytest.mark.parametrize(('words', 'message'), [
    (['export-dataset', 'data', '--lerobot', 'data'], 'data exists already'),
    (['export-dataset', 'data', '--lerobot', 'x', '--fps', '-3'], '--fps -3: expected 1 or more'),
    (['export-dataset', 'data', '--lerobot', 'x', '--fps', '0'], '--fps 0: expected 1 or more'),
    (['export-dataset', 'data', '--lerobot', 'x', '--task', 'take the {item}'],
     "--task 'take the {item}' is not allowed: expected a text with no braces but those of {obj"),
    (['export-dataset', 'data', '--lerobot', 'x', '--task', 'a { b'], "--task 'a { b' is not all"),
    (['export-dataset', 'data', '--lerobot', 'x', '--task', '{} {0}'], "'{} {0}' is not allowed"),
    (['import', '--lerobot', 'lost', '--out', 'x', '--lead-time', '-1'],
     'lead time of -1.0 s: expected 0 s or more'),
    (['export-dataset', 'nothing', '--lerobot', 'x'], 'no scenes in nothing'),
    (['import', '--lerobot', 'data', '--out', 'x'], 'data is no LeRobotDataset'),
    (['import', '--lerobot', 'v2', '--out', 'x'], 'of version v2.0: expected v3.0'),
    (['import', '--lerobot', 'lost', '--out', 'x'], 'videos are missing, such as')])
def test_a_mistake_is_one_line_and_nothing_is_written(data, tmp_path, caplog, words, message):
    (tmp_path / 'v2/meta').mkdir(parents=True)
    (tmp_path / 'v2/meta/info.json').write_text('{"codebase_version": "v2.0"}')
    assert main(['export-dataset', data, '--lerobot', 'lost']) == 0
    next((tmp_path / 'lost').rglob('*.mp4')).unlink()
    there = sorted(tmp_path.iterdir())
    caplog.clear()
    caplog.set_level('WARNING')
    assert main(words) == 1
    assert message in caplog.text and len(caplog.records) == 1
    assert sorted(tmp_path.iterdir()) == there


@pytest.fixture
def foreign(data, tmp_path):
    """Return a function that writes the data set of somebody else, of some grasps."""
    def write(*grasps, frames=24):
        shown = jpeg(0, (64, 48))
        samples = [replace(
            sample(n, 2), matrix=MATRIX, distortion=None, jpegs=(shown,) * frames,
            stamps_ns=np.arange(frames) * 100_000_000,
            candidates=np.array([grasp, grasp], np.float32),
            attempt=Attempt(1, bool(n % 2), (shown,), np.array([frames * 100_000_000])))
            for n, grasp in enumerate(grasps)]
        shutil.rmtree('data')
        write_samples(sample_path(tmp_path / 'data', 0), samples)
        assert main(['export-dataset', data, '--lerobot', 'le', '--images', 'jpeg']) == 0
        path = tmp_path / 'le/meta/info.json'
        info = json.loads(path.read_text())
        del info['features']['moss.sample']
        path.write_text(json.dumps(info))
        calibration = write_calibration(tmp_path / 'cal.yaml')
        return ['import', '--lerobot', 'le', '--grasp', 'action', '--calibration',
                str(calibration), '--out', 'back']
    return write


def test_episodes_that_a_training_can_not_use_are_left_out_with_the_reason(
        foreign, tmp_path, caplog):
    words = foreign(SEEN, (0.5, 0.0, 0.5, 0.0), SEEN, (0.0, 0.0, -0.5, 0.0))
    assert main([*words, '--decision', '2.0']) == 0
    assert [x.name for x in read_shards('back')] == ['le, episode 0', 'le, episode 2']
    assert ('2 of 4 attempts are left out (out of view), such as attempt 1 of le: its executed '
            'grasp is at the pixel') in caplog.text
    left_out = json.loads((tmp_path / 'back/dataset.json').read_text())['left_out']
    assert [(x['recording'], x['attempt'], x['reason']) for x in left_out] == [
        ('le', 1, 'out of view'), ('le', 3, 'out of view')]


@pytest.mark.parametrize(('decision', 'message'), [
    ('0.3', 'its images begin 0.30 s before the decision: expected 1.5 s, which the model sees'),
    ('9', 'le: episode 0 ends at 2.4 s: expected a decision before that, not at 9 s')])
def test_a_data_set_without_an_episode_to_train_on_is_refused(
        foreign, tmp_path, caplog, decision, message):
    words = foreign(SEEN, SEEN)
    assert main([*words, '--decision', decision]) == 1
    assert f'none of the 2 attempts can be imported: attempt 0 of le: {message}' in caplog.text
    assert not (tmp_path / 'back').exists()


@pytest.mark.parametrize('words', [[], ['bag', '--lerobot', 'le']])
def test_either_recordings_or_data_sets_are_imported(capsys, words):
    with pytest.raises(SystemExit):
        main(['import', *words, '--out', 'out'])
    assert 'expected recordings to import, or LeRobotDatasets' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'message'), [
    (['--lerobot', 'le', '--outcomes', 'a.csv', '--rate', '5'],
     '--outcomes, --rate: not allowed with --lerobot'),
    (['--lerobot', 'le', '--workers', '0'], '--workers: not allowed with --lerobot'),
    (['--lerobot', 'le', '--seconds', '0'], '--seconds: not allowed with --lerobot'),
    (['bag', '--camera', 'top', '--decision', '0', '--grasp', ''],
     '--camera, --decision, --grasp: not allowed with recordings')])
def test_options_that_do_not_apply_are_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        main(['import', *words, '--out', 'out'])
    assert message in capsys.readouterr().err


def test_without_pyarrow_one_line_says_what_to_install(data, caplog, monkeypatch):
    for name in [x for x in sys.modules if x.startswith(
            ('moss_perception.data.lerobot', 'moss_perception.cli.lerobot', 'pyarrow'))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    assert main(['export-dataset', data, '--lerobot', 'le']) == 1
    assert ("moss export-dataset needs the package pyarrow, which is not installed: expected the "
            "extra 'lerobot'; pip install av pyarrow") in caplog.text
