"""``moss look``: what it shows of known motion, and what it says of unusable input."""

import json
from pathlib import Path

import cv2
from moss_perception.cli.main import main
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.evaluation.look.frames import read_samples, Samples
from moss_perception.evaluation.look.orders import (
    features_of,
    LAGS,
    look,
    make_block,
    reader_of,
)
from moss_perception.evaluation.look.picture import _read
from moss_perception.evaluation.look.probes import Answers, probe
from moss_perception.models.base import build
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.flow_grasp.model import FlowGraspConfig
from moss_perception.models.moss_grasp import MossGraspConfig
import numpy as np
import pytest
import torch

pytest.importorskip('matplotlib')
FRAMES, STEP_PX = 13, 2
DISPLACEMENT = {
    'orders': 2, 'readout': 'displacement', 'learning': 'mlp', 'projection_channels': 0,
    'moss_window': (3, 7, 7), 'lags': (1, 2), 'map_stride': 2, 'compares': 'pixels',
    'similarity': 'ssd', 'patch': 7, 'refinement': 1}
SAMPLE = Path(__file__).resolve().parents[2] / 'samples/sim_20'


def moving(frames=FRAMES, size=(72, 96), step=STEP_PX, seed=0):
    """Film a texture that moves to the right by whole pixels, shape ``(T, H, W, 3)``."""
    rng = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (size[0], size[1] + step * frames, 3)).astype(
        np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([wide[:, (frames - n) * step:][:, :size[1]] for n in range(frames)])


def samples_of(images, scale=1.0):
    return Samples(images, np.arange(len(images)) / 10, scale)


def write_video(path, images, hz=10.0):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), hz,
                            images.shape[2:0:-1])
    for image in images:
        video.write(image[:, :, ::-1])
    video.release()
    return path


def test_order_1_finds_a_steady_motion_in_pixels_of_the_recording_and_order_2_no_change():
    seen = look(samples_of(moving(), 0.5), (90, 70))
    # Half as large as recorded.
    found = seen.displacements * seen.cell_px
    assert found[0, :, 0] == pytest.approx(2 * STEP_PX * np.array(LAGS), abs=0.8)
    assert found[0, :, 1] == pytest.approx(0, abs=0.8)
    assert np.abs(found[1:, :2]).max() < 1.0


def test_the_map_of_order_1_has_its_maximum_where_the_block_reads_the_displacement():
    images = moving()
    seen = look(samples_of(images), (48, 36))
    for column, age in enumerate(seen.ages[:-1]):
        peak = np.unravel_index(np.nanargmax(seen.maps[0, column]), seen.maps.shape[2:])
        right, down = -seen.displacements[0, LAGS.index(age)]
        assert peak == pytest.approx((down + 6, right + 6), abs=0.8)
    # The newest sample compared with itself: equal at the point, in every order.
    assert seen.maps[:, -1, 6, 6] == pytest.approx(1)
    assert np.nanmax(seen.maps) <= 1 + 1e-5


def test_neighbours_outside_of_the_map_have_no_similarity():
    seen = look(samples_of(moving()), (0, 0))
    assert np.isnan(seen.maps[0, :, :6]).all() and np.isnan(seen.maps[0, :, :, :6]).all()
    assert np.isfinite(seen.maps[0, :, 6:, 6:]).all()


def test_without_a_point_one_is_chosen_that_moves():
    images = np.repeat(moving(1, seed=1), FRAMES, axis=0)
    images[:, 20:56, 40:80] = moving(size=(36, 40))
    row, column = np.array(look(samples_of(images)).cell) * 96 / features_of(images).shape[-1]
    assert 14 < row < 62 and 34 < column < 86


def test_what_left_the_window_is_not_found_and_has_no_number_and_no_dot(tmp_path, monkeypatch,
                                                                         capsys):
    # In four samples of 8 pixels it leaves the window of 13 cells of 1.5 pixels.
    images = moving(step=8)
    seen = look(samples_of(images), (48, 36))
    assert seen.found[0].tolist() == [True, False, False] and not seen.found[:, 1:].any()
    drawn = [_read(seen, 0, age) for age in seen.ages]
    assert drawn[:2] == ['not found', 'not found'] and drawn[2].startswith('moved +8.')
    monkeypatch.setattr('moss_perception.evaluation.look.probes.probe',
                        lambda reader: probe(2, reader=reader))
    assert main(['look', str(write_video(tmp_path / 'a.avi', images)), '--point', '48', '36',
                 '--at', '1.2', '--out', str(tmp_path / 'look.png')]) == 0
    read = json.loads(capsys.readouterr().out)['orders']['1']['displacement_px']
    assert read['4'] is None and read['1'] is not None


def test_a_blank_image_has_nothing_that_is_found():
    seen = look(samples_of(np.full((FRAMES, 72, 96, 3), 90, np.uint8)), (48, 36))
    assert not seen.found.any()


def network_of(**options):
    return build(MossGraspConfig(image_size=64, channels=(4, 4, 8), moss_channels=4,
                                 head_channels=8, ensemble=2, **options))


@pytest.mark.parametrize(('options', 'lags'), [
    (DISPLACEMENT, (1, 2)), ({**DISPLACEMENT, 'similarity': 'cosine', 'compares': 'features',
                              'projection_channels': 4}, (1, 2)),
    ({**DISPLACEMENT, 'readout': 'both', 'compares': 'features', 'similarity': 'cosine',
      'projection_channels': 4}, (1, 2))])
def test_the_block_of_a_checkpoint_is_looked_into(options, lags, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    path = tmp_path / 'mine.safetensors'
    save_checkpoint(path, network_of(**options))
    reader = reader_of(path)
    seen = look(samples_of(moving(reader.block.receptive_field)), (48, 36), reader)
    assert seen.lags == lags and seen.maps.shape[:2] == (2, 3)
    assert np.nanmax(seen.maps) <= 1 + 1e-5 and seen.maps[0, -1, 3, 3] == pytest.approx(1)
    if options is DISPLACEMENT:
        # Of pixels, as without a checkpoint.
        found = seen.displacements[0, :, 0] * seen.cell_px
        assert seen.found[0].all() and found == pytest.approx([2, 4], abs=0.8)
    monkeypatch.setattr('moss_perception.evaluation.look.probes.probe',
                        lambda reader: probe(2, reader=reader))
    assert main(['look', str(write_video(tmp_path / 'a.avi', moving(20))), '--model', str(path),
                 '--out', str(tmp_path / 'look.png')]) == 0
    assert list(json.loads(capsys.readouterr().out)['orders']) == ['1', '2']
    assert (tmp_path / 'look.png').stat().st_size > 10_000


def test_a_checkpoint_that_reads_no_displacement_is_named(tmp_path, caplog):
    encoding, flow = tmp_path / 'encoding.safetensors', tmp_path / 'flow.safetensors'
    save_checkpoint(encoding, network_of(orders=2, moss_window=(3, 3, 3), projection_channels=4))
    save_checkpoint(flow, build(FlowGraspConfig()))
    for path, message in ((encoding, 'encodes similarities and reads no displacement'),
                          (flow, "has no MOSS on images: its model is 'flow_grasp'"),
                          (tmp_path / 'gone.safetensors', 'gone.safetensors is not there')):
        assert main(['look', str(SAMPLE), '--model', str(path)]) == 1
        assert message in caplog.text


def test_each_order_answers_to_its_own_quantity():
    explained = probe(10).explained()
    assert int(np.argmax(explained['velocity'])) == 0 and explained['velocity'][0] > 0.9
    assert int(np.argmax(explained['acceleration'])) == 1 and explained['acceleration'][1] > 0.7
    assert int(np.argmax(explained['period'])) > 0
    assert explained['period'][2] > explained['period'][0]


def test_a_number_is_the_squared_correlation_and_0_for_what_does_not_vary():
    answers = Answers({'velocity': np.array([1.0, 2, 3])},
                      {'velocity': np.array([[2.0, 4, 6], [1, 1, 1], [1, -2, 1]])})
    assert answers.explained()['velocity'] == pytest.approx([1, 0, 0])


def test_the_command_draws_a_video_and_writes_its_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('moss_perception.evaluation.look.probes.probe',
                        lambda reader: probe(2, reader=reader))
    video = write_video(tmp_path / 'a.avi', moving(20))
    out, numbers = tmp_path / 'look.png', tmp_path / 'look.json'
    assert main(['look', str(video), '--point', '48', '36', '--at', '1.5', '--out', str(out),
                 '--json', str(numbers)]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape[1] == 800 and picture.shape[0] > 800
    said = json.loads(numbers.read_text())
    assert said == json.loads(capsys.readouterr().out)
    assert said['at_s'] == 1.5 and list(said['orders']) == ['1', '2', '3']
    right, down = said['orders']['1']['displacement_px']['2']
    assert (right, down) == (pytest.approx(2 * STEP_PX, abs=0.8), pytest.approx(0, abs=0.8))


@pytest.mark.parametrize(('words', 'message'), [
    (['--at', '99'], 'is after the end'), (['--at', '-1'], 'expected 0 or more seconds'),
    (['--rate', '0'], 'expected more than 0 Hz'),
    (['--point', '96', '1'],
     'outside of the image: expected a column below 96 and a row below 72'),
    (['--at', '0.5'], 'has 6 samples at 10 Hz until 0.5 s: expected 13 or more')])
def test_an_option_that_does_not_fit_is_named(words, message, tmp_path, caplog):
    video = write_video(tmp_path / 'a.avi', moving(20))
    assert main(['look', str(video), *words, '--out', str(tmp_path / 'x.png')]) == 1
    assert message in caplog.text and not (tmp_path / 'x.png').exists()


@pytest.mark.parametrize('name', ['gone.mp4', 'text.mp4', 'gone_bag'])
def test_a_source_that_can_not_be_read_is_an_error_in_words(name, tmp_path, caplog):
    (tmp_path / 'text.mp4').write_text('no video')
    assert main(['look', str(tmp_path / name), '--out', str(tmp_path / 'x.png')]) == 1
    assert name in caplog.text


def test_a_recording_is_read_up_to_the_moment_and_its_topic_is_named_if_wrong():
    bag = SAMPLE
    samples = read_samples(bag, make_block().receptive_field, at_s=2.7)
    assert samples.times_s[-1] == pytest.approx(2.7, abs=0.06) and len(samples.images) == 13
    with pytest.raises(BagError, match='no images on /nothing'):
        read_samples(bag, 13, '/nothing')
    with pytest.raises(ConfigError, match='--rate nan'):
        read_samples(bag, 13, rate_hz=float('nan'))
