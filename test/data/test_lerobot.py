"""LeRobotDataset, version 3: what is written, what comes back, and what is refused."""

from dataclasses import replace
import json
import re

import cv2
from example_samples import assert_same, sample, simulated
from lerobot_doctor.dataset_loader import load_dataset
from lerobot_doctor.runner import run_checks
from moss_perception.core.errors import DataError
from moss_perception.core.frames import Camera
from moss_perception.data.clips import frames
from moss_perception.data.lerobot import video
from moss_perception.data.lerobot.foreign import Foreign
from moss_perception.data.lerobot.reader import read_dataset
from moss_perception.data.lerobot.writer import ExportSettings, rate_of, write_dataset
from moss_perception.data.schema import Attempt, Sample
import numpy as np
import pyarrow as pa
from pyarrow import parquet
import pytest

CAMERA = Camera(64, 48, np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), np.zeros(5))


def recorded(number: int, candidates: int = 5, **changes) -> Sample:
    """Return a sample with smooth images, which a video keeps well."""
    jpegs = []
    for n in range(20):
        image = np.full((48, 64, 3), 60, np.uint8)
        cv2.circle(image, (10 + 2 * n, 20 + number), 8, (40, 90, 220), -1)
        jpegs.append(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    stamps = np.arange(20) * 100_000_000 + 1_700_000_000_000_000_000 + 7 * number
    made = sample(number, candidates)
    attempt = Attempt(1, bool(number % 2), tuple(jpegs[16:]), stamps[16:])
    return replace(made, **{'jpegs': tuple(jpegs[:16]), 'stamps_ns': stamps[:16],
                            'attempt': attempt, **changes})


@pytest.fixture(scope='module')
def samples():
    return [recorded(0), recorded(1, 8), recorded(2, 3, distortion=None),
            recorded(3, attempt=None), recorded(5, matrix=None, stamps_ns=None)]


@pytest.fixture(scope='module')
def written(samples, tmp_path_factory):
    """Write the samples with their images as video and as JPEG, and return the folders."""
    folders = {}
    for images in ('video', 'image'):
        folders[images] = tmp_path_factory.mktemp(images)
        write_dataset(folders[images], samples, ExportSettings(10, images))
    return folders


def test_with_jpegs_nothing_is_lost(samples, written):
    for got, one in zip(read_dataset(written['image'], Foreign()), samples, strict=True):
        assert_same(got, one)


def test_with_video_only_the_images_differ_and_hardly(samples, written):
    for got, one in zip(read_dataset(written['video'], Foreign()), samples, strict=True):
        pairs = list(zip(got.newest(16), one.newest(16), strict=True))
        assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 3
        # Each frame is the right one: the circle moves by two pixels from one to the next.
        assert all(np.abs(a.astype(int) - b).mean() > np.abs(a.astype(int) - c).mean()
                   for (a, _), b, c in zip(pairs[1:], got.newest(16), got.newest(15),
                                           strict=False))
        attempt = one.attempt and replace(one.attempt, jpegs=got.attempt.jpegs)
        assert_same(got, replace(one, jpegs=got.jpegs, attempt=attempt))


def test_all_that_a_simulator_knows_comes_back(tmp_path):
    scenes = [simulated(6), simulated(7)]
    write_dataset(tmp_path, scenes, ExportSettings(rate_of(scenes), 'image'))
    for got, one in zip(read_dataset(tmp_path, Foreign()), scenes, strict=True):
        assert_same(got, one)


def test_the_files_say_what_lerobot_expects(samples, written):
    info = json.loads((written['video'] / 'meta/info.json').read_text())
    assert (info['codebase_version'], info['fps']) == ('v3.0', 10)
    assert (info['total_episodes'], info['total_frames']) == (5, 4 * 20 + 16)
    features = info['features']
    assert features['observation.images.camera']['shape'] == [48, 64, 3]
    assert (features['next.success']['dtype'], features['action']['names']) == (
        'bool', ['x', 'y', 'z', 'yaw'])
    data = parquet.read_table(written['video'] / 'data/chunk-000/file-000.parquet')
    assert set(data.column_names) == set(features) - {'observation.images.camera'}
    success = np.array(data['next.success'].to_pylist())
    # At the last frame of an attempt that succeeded, and nowhere else.
    assert np.flatnonzero(success).tolist() == [39, 95]
    assert np.flatnonzero(data['next.done'].to_pylist()).tolist() == [19, 39, 59, 75, 95]
    assert sum(data['grasp.decided'].to_pylist()) == 4 * 4
    tasks = parquet.read_table(written['video'] / 'meta/tasks.parquet')
    assert tasks.to_pydict() == {'task_index': [0], '__index_level_0__': ['grasp the cup']}
    # pandas makes it the index, as which lerobot looks for it.
    assert json.loads(tasks.schema.metadata[b'pandas'])['index_columns'] == ['__index_level_0__']
    stats = json.loads((written['video'] / 'meta/stats.json').read_text())
    assert np.shape(stats['observation.images.camera']['mean']) == (3, 1, 1)
    assert stats['action']['count'] == [96] and len(stats['action']['q99']) == 4
    values = np.array(data['action'].to_pylist())
    np.testing.assert_allclose(stats['action']['mean'], values.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(stats['action']['std'], values.std(axis=0), atol=1e-6)


@pytest.mark.parametrize('images', ['video', 'image'])
def test_lerobot_doctor_finds_no_failure(written, images):
    report = run_checks(load_dataset(str(written[images])))
    assert len(report.results) == 11
    assert not [(x.name, x.messages) for x in report.results if x.severity.value == 'FAIL']


def test_a_data_set_from_elsewhere_is_read_with_what_it_does_not_say(written, tmp_path):
    folder = written['video']
    strip(folder, tmp_path, 'moss.sample')
    foreign = Foreign(grasp='action', decision_s=1.5, calibration=CAMERA)
    first, second, *_ = read_dataset(tmp_path, foreign)
    assert len(first.jpegs) == 16 and len(first.attempt.jpegs) == 4
    assert (first.labels.tolist(), second.labels.tolist()) == ([0], [1])
    assert first.camera == CAMERA and first.name.endswith('episode 0')
    np.testing.assert_allclose(np.diff(first.stamps_ns) / 1e9, 0.1, atol=1e-6)


@pytest.mark.parametrize(('decision_s', 'before'), [
    (1.6, 17), (1.7, 18), (1.3, 14), (1.1, 12), (0.7, 8), (0.3, 4), (1.9, 20), (0.0, 1),
    # Between two frames, the earlier one, unless the time is a rounded one.
    (1.55, 16), (1.599, 17), (1.601, 17)])
def test_the_image_of_a_decision_is_its_own_frame(written, tmp_path, decision_s, before):
    strip(written['image'], tmp_path, 'moss.sample')
    foreign = Foreign(grasp='action', decision_s=decision_s, calibration=CAMERA)
    sample = next(read_dataset(tmp_path, foreign))
    # The last frame has no image of the attempt after it.
    assert (len(sample.jpegs), len(sample.attempt.jpegs)) == (before, 20 - before)


@pytest.mark.parametrize(('foreign', 'message'), [
    (Foreign(), 'does not say what was grasped .* expected --grasp, --decision, --calibration'),
    (Foreign(camera='top'), 'no feature top: expected --camera with one of observation.images'),
    (Foreign(grasp='state', decision_s=1, calibration=CAMERA), 'has no feature state: expected'),
    (Foreign(grasp='observation.images.camera', decision_s=1, calibration=CAMERA),
     'has no numbers in the feature observation.images.camera: expected one with .* among action'),
    (Foreign(grasp='stamp_ns', decision_s=1, calibration=CAMERA), 'stamp_ns=.*: expected x, y, z'),
    (Foreign(grasp='action', decision_s=9, calibration=CAMERA), 'ends at 1.9 s: expected a dec'),
    (Foreign(grasp='action', decision_s=1, calibration=replace(CAMERA, width=99)),
     'have 64 x 48 pixels, the calibration is of 99 x 48')])
def test_what_is_missing_of_a_data_set_from_elsewhere_is_asked_for(
        written, tmp_path, foreign, message):
    strip(written['video'], tmp_path, 'moss.sample')
    with pytest.raises(DataError, match=message):
        list(read_dataset(tmp_path, foreign))


def strip(folder, to, *names, change=lambda table: table):
    """Copy a data set without some of its features."""
    for path in folder.rglob('*'):
        if path.is_file():
            (to / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (to / path.relative_to(folder)).write_bytes(path.read_bytes())
    info = json.loads((to / 'meta/info.json').read_text())
    info['features'] = {x: one for x, one in info['features'].items() if x not in names}
    (to / 'meta/info.json').write_text(json.dumps(info))
    path = to / 'data/chunk-000/file-000.parquet'
    table = parquet.read_table(path)
    parquet.write_table(change(table.drop_columns([x for x in names if x in table.column_names])),
                        path)


def edited(folder, **values):
    path = folder / 'meta/info.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_nan(table):
    values = pa.array([float('nan')] + [0.0] * (table.num_rows - 1))
    return table.set_column(table.column_names.index('next.success'), 'next.success', values)


@pytest.mark.parametrize(('names', 'change', 'message'), [
    (['next.success'], None, 'has no feature next.success'),
    ([], with_nan, 'episode 0 has next.success=nan: expected true or false'),
    ([], lambda table: table.slice(3), 'episode 0 has 17 images and 17 rows: expected 20'),
    (['grasp.count'], None, 'an episode of 20 frames is no sample: .*grasp.count')])
def test_a_damaged_data_set_is_refused(written, tmp_path, names, change, message):
    strip(written['image'], tmp_path, *names, change=change or (lambda table: table))
    with pytest.raises(DataError, match=message):
        list(read_dataset(tmp_path, Foreign()))


def test_a_data_set_of_version_2_says_how_to_convert_it(written, tmp_path):
    strip(written['video'], tmp_path)
    edited(tmp_path, codebase_version='v2.1')
    with pytest.raises(DataError, match='of version v2.1: expected v3.0; convert it with'):
        list(read_dataset(tmp_path, Foreign()))


def test_missing_videos_are_said_before_any_work(written, tmp_path):
    strip(written['video'], tmp_path)
    next(tmp_path.rglob('*.mp4')).unlink()
    with pytest.raises(DataError, match='1 of 1 videos are missing, such as videos/.*mp4: exp'):
        list(read_dataset(tmp_path, Foreign()))


@pytest.mark.parametrize(('name', 'message'), [
    ('*.mp4', r"mp4 can't be decoded"), ('meta/info.json', 'is no LeRobotDataset'),
    ('data/*/*.parquet', "parquet can't be read"), ('meta/episodes/*/*.parquet', "can't be read")])
def test_a_damaged_file_is_named(written, tmp_path, name, message):
    strip(written['video'], tmp_path)
    path = next(tmp_path.rglob(name) if '/' not in name else tmp_path.glob(name))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=message):
        list(read_dataset(tmp_path, Foreign()))


def test_no_data_set_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match=re.escape(f'{tmp_path} is no LeRobotDataset')):
        list(read_dataset(tmp_path, Foreign()))


def test_images_of_several_or_odd_sizes_are_refused(samples, tmp_path):
    with pytest.raises(DataError, match=r'sizes \[\(64, 48\), \(80, 60\)\]: expected one size'):
        write_dataset(tmp_path, [samples[0], sample(1, 2, (80, 60))], ExportSettings(10))
    with pytest.raises(DataError, match='61 x 48 pixels: expected even sides .*--images jpeg'):
        write_dataset(tmp_path, [sample(1, 2, (61, 48))], ExportSettings(10))


def test_the_rate_is_that_of_the_stamps(samples):
    assert rate_of(samples) == 10
    assert rate_of([replace(samples[0], stamps_ns=np.arange(16) * 33_400_000)]) == 30
    assert rate_of([sample(1, 2, jpegs=samples[0].jpegs[:1], stamps_ns=np.array([5]))]) == 10


def test_videos_of_too_many_pixels_are_refused_undecoded(tmp_path, monkeypatch):
    path = tmp_path / 'a.mp4'
    with video.VideoWriter(path, (64, 48), 10) as writer:
        for _ in range(3):
            writer.add(np.zeros((48, 64, 3), np.uint8))
    assert len(list(video.read_video(path))) == 3
    monkeypatch.setattr(frames, 'MOST_PIXELS', 1000)
    with pytest.raises(DataError, match='pictures of 64 x 48 pixels: expected at most 1000'):
        list(video.read_video(path))
    # Also where the container announces less than its stream has.
    monkeypatch.setattr(video, 'check_size', lambda *_: None)
    with pytest.raises(DataError, match="can't be decoded"):
        list(video.read_video(path))
