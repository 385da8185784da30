"""Cell files: the shipped ones, what they change, and what is wrong with others."""

from dataclasses import replace
import logging
from pathlib import Path

import cv2
from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError
from moss_perception.data.scenes import load_dataset
from moss_perception.data.schema import GRIP_S
from moss_perception.data.shards import read_shard, shard_path
from moss_perception.simulation.arena import build
from moss_perception.simulation.attempt import Latencies, play
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cell_file import read_cell
from moss_perception.simulation.cell_keys import KEYS
from moss_perception.simulation.cells import cell_named, FULL
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.scene import DECISION_S, sample_scene, Source
import numpy as np
import pytest

CELLS = Path(__file__).parents[2] / 'config' / 'cells'
TABLE, BELT, WIDE = (str(CELLS / f'{name}.yaml') for name in (
    'oblique_table', 'conveyor', 'slow_wide_belt'))


def written(tmp_path, text):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize('domain', FULL.domains)
def test_todays_belt_draws_the_very_scenes_of_the_built_in_cell(domain):
    cell = cell_named(BELT)
    for seed in range(4):
        ours, theirs = (sample_scene(seed, one.domain(domain), cell=one) for one in (cell, FULL))
        assert replace(ours, cell=FULL) == theirs
        assert seed > 1 or build(ours) == build(theirs)


def test_a_file_without_keys_is_the_built_in_cell_under_its_own_name(tmp_path):
    cell = read_cell(written(tmp_path, ''))
    assert cell.name == 'mine'
    left_out = {name: getattr(FULL, name) for name in ('name', 'leads', 'described')}
    assert replace(cell, **left_out) == FULL
    assert {name: key.default for name, key in KEYS.items()} | {'name': 'mine'} == cell.described


def test_a_table_has_the_cameras_resolution_everywhere(renderer, tmp_path):
    spec = Source(TABLE).sample(2)
    assert spec.motion.name == 'pushed'
    sample = play(spec, renderer, latencies=Latencies((0.1,)))
    image = cv2.imdecode(np.frombuffer(sample.jpegs[-1], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (240, 320, 3) and image.std() > 3
    assert sample.object_mask is not None and sample.object_mask.shape == (240, 320)
    rows, columns = np.nonzero(sample.object_mask)
    seen = spec.lens.matrix @ sample.track[0]
    np.testing.assert_allclose(
        seen[:2] / seen[2], [columns.mean(), rows.mean()], atol=8)
    assert spec.lens.matrix[0, 2] == pytest.approx(159.5, abs=2)
    grip_s = 0.45 + 0.35 + 0.35 / 2
    assert sample.lead_time_s == pytest.approx(spec.physics.latency_s + grip_s)
    assert sample.other_lead_times_s == pytest.approx([0.1 + grip_s])
    assert len(sample.candidates) == 8


@pytest.mark.parametrize('seed', [0, 4, 9])
def test_a_bar_pushes_the_object_to_its_place(seed):
    spec = Source(TABLE, motion='pushed').sample(seed)
    cell = WorkCell(spec)
    start = cell.object_position
    cell.wait(DECISION_S)
    assert cell.object_position[0] == pytest.approx(spec.object.x, abs=0.004)
    assert cell.object_position[0] > start[0] + 0.005
    belt = cell.model.geom('belt')
    assert cell.data.geom_xpos[belt.id][0] == 0
    still = WorkCell(Source(TABLE, motion='still').sample(seed))
    before = still.object_position
    still.wait(DECISION_S)
    np.testing.assert_allclose(still.object_position, before, atol=2e-3)


def test_the_gripper_of_a_file_opens_and_moves_as_it_says():
    cell = WorkCell(Source(TABLE, motion='still').sample(5))
    left, right = (cell.model.geom(name).id for name in ('left', 'right'))
    apart = np.linalg.norm(cell.data.geom_xpos[left] - cell.data.geom_xpos[right])
    assert apart == pytest.approx(0.11 + 0.014)
    np.testing.assert_allclose(cell.model.geom_size[left], [0.007, 0.013, 0.015])
    execution, ticks = Execution(cell, np.array([0.05, 0.0, 0.2, 0.0])), 0
    while not execution.finished:
        execution.tick()
        ticks += 1
    assert ticks == round(100 * (0.45 + 0.35 + 0.35 + 0.4 + 0.5))


def test_speeds_sizes_and_the_camera_follow_the_file():
    slow, usual = Source(WIDE, motion='constant').sample(3), Source(
        'full', motion='constant').sample(3)
    assert slow.motion.velocity(0) == pytest.approx(usual.motion.velocity(0) * 0.06 / 0.14)
    assert slow.cell.gripper.grip_s == GRIP_S
    assert slow.mount.position[2] == pytest.approx(1.0, abs=0.02)
    assert slow.object.y == pytest.approx(4 * usual.object.y)
    long, short = slow.object.half_sizes[0], usual.object.half_sizes[0]
    assert 0.9 <= long / short <= 1.4
    drawn = [Source(TABLE).sample(seed) for seed in range(40)]
    assert 0.03 <= min(one.object.mass for one in drawn) < 0.1 < 0.4 < max(
        one.object.mass for one in drawn) <= 0.6
    assert all(0.02 <= one.physics.latency_s <= 0.08 for one in drawn)
    late = [Source(TABLE, 'shifted').sample(seed).physics.latency_s for seed in range(40)]
    assert min(late) >= 0.06 and max(late) <= 0.18


def test_the_randomised_domain_varies_the_camera_of_the_file():
    drawn = [Source(TABLE, 'randomised').sample(seed) for seed in range(30)]
    heights = [one.mount.position[2] for one in drawn]
    assert min(heights) > 0.55 * 0.6 and max(heights) < 0.55 * 1.5
    tilts = [np.degrees(np.arccos(-one.mount.rotation[2, 2])) for one in drawn]
    assert 20 < min(tilts) < 40 < max(tilts) < 60
    assert {one.lens.size for one in drawn} == {(320, 240)}


@pytest.mark.parametrize(('text', 'line'), [
    ('camera: {hight: 0.5}', 'unknown key camera.hight: expected camera.height'),
    ('camera: {height: tall}', "camera.height is 'tall': expected a number from 0.2 to 3 m"),
    ('camera: {height: 550}', 'camera.height is 550: expected a number from 0.2 to 3 m'),
    ('camera: {height: 0.6 m}', "camera.height is '0.6 m': expected a number"),
    ('camera: {height: true}', 'camera.height is True: expected a number'),
    ('camera: {tilt: 80}', 'camera.tilt is 80: expected a number from 0 to 65 degrees'),
    ('camera: {resolution: [320.5, 240]}', 'expected [width, height], whole numbers from 32 to '
                                           '1920 pixels'),
    ('camera: {resolution: 320}', 'camera.resolution is 320: expected [width, height]'),
    ('camera: {focal_length: 900}', 'camera.focal_length is 900: objects from (-0.07, -0.05) to '
                                    '(0.1, 0.05) m would be outside the image'),
    ('camera: 0.5', 'camera is 0.5: expected keys with values'),
    ('latency: [0.2, 0.1]', 'latency is [0.2, 0.1]: expected the lowest and the highest value'),
    ('latency: .nan', 'latency is nan: expected'),
    ('speed: 140', 'speed is 140: expected a number from 0.005 to 0.6 m/s'),
    ('surface: {kind: shelf}', "surface.kind is 'shelf': expected one of belt, table"),
    ('surface: {kind: table}', "motions has 'constant': expected some of still, pushed on a "
                               'table'),
    ('motions: {pushed: 1}', "motions has 'pushed': expected some of still, constant"),
    ('motions: {still: 0}', "motions is {'still': 0}: expected names with their shares, above 0"),
    ('objects: {families: [ball]}', "objects.families has 'ball': expected some of box"),
    ('objects: {families: []}', 'objects.families is []: expected one at least'),
    ('objects: {families: [box]}', "motions has 'rolling': expected one of cylinder"),
    ('objects: {held_out: [box]}', "objects.held_out has 'box': expected a family that is not"),
    ('objects: {size: [1, 2]}', 'objects.size is [1.0, 2.0]: the widest object is 0.120 m, '
                                'expected at most gripper.opening, 0.09 m'),
    ('objects: {across: 0.2}', 'objects.across is 0.2: expected at most 0.08 m'),
    ('gripper: {times: {lift: 0}}', 'gripper.times.lift is 0: expected a number from 0.05 to 5 s'),
    ('name: full', "name is 'full': expected another one than the built-in cells'"),
    ('name: My cell', "name is 'My cell': expected a name of small letters, digits and _"),
    ('[1, 2]', 'its content is [1, 2]: expected keys with values'),
    ('camera: {height: 1', 'is no YAML'),
])
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, text, line):
    path = written(tmp_path, text)
    read_cell.cache_clear()
    with pytest.raises(ConfigError) as caught:
        read_cell(path)
    assert str(caught.value).startswith(f'cell file {path}') and line in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match="cell file nowhere.yaml can't be read: No such file"):
        cell_named('nowhere.yaml')


def test_record_makes_data_and_a_picture_of_a_file(renderer, tmp_path, caplog):
    assert moss(['record', '--out', str(tmp_path / 'data'), '--scenes', '2', '--seed', '3',
                 '--cell', TABLE]) == 0
    described = load_dataset(tmp_path / 'data')
    assert described['cell'] == 'oblique_table'
    assert described['cell_file']['camera.resolution'] == [320, 240]
    scenes = read_shard(shard_path(tmp_path / 'data', 3))
    assert [(one.cell, one.image_size) for one in scenes] == [('oblique_table', (320, 240))] * 2
    changed = written(tmp_path, Path(TABLE).read_text() + 'objects: {across: 0.03}\n')
    with caplog.at_level(logging.INFO):
        assert moss(['record', '--out', str(tmp_path / 'data'), '--scenes', '2', '--seed', '3',
                     '--cell', changed]) == 1
    assert 'holds scenes of the cell_file' in caplog.text
    picture = tmp_path / 'cell.png'
    assert moss(['record', '--picture', str(picture), '--scenes', '5', '--cell', WIDE]) == 0
    assert cv2.imread(str(picture)).shape == (2 * 242, 4 * 322, 3)


def test_a_recording_has_the_calibration_of_a_file(renderer, tmp_path):
    from moss_perception.data.bags.reader import Recording
    assert moss(['record', '--bag', str(tmp_path / 'bag'), '--attempts', '1', '--seed', '5',
                 '--cell', TABLE]) == 0
    with Recording(tmp_path / 'bag') as recording:
        _, kind, _, raw = next(recording.messages(['/camera_info']))
        info = recording.deserialize(raw, kind)
    assert (info.width, info.height) == (320, 240)
