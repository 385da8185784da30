"""Scenes played with a camera: training data and recordings."""

import logging
import sys

import cv2
from moss_perception.cli.main import main as moss
from moss_perception.core.errors import ConfigError, SceneError, SimulationError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.data.scenes import read_shards
from moss_perception.data.schema import GRIP_S
from moss_perception.simulation.attempt import Latencies, play, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, TICK_S
from moss_perception.simulation.generate import generate
from moss_perception.simulation.recording import PAUSE_NS, record, Recorded
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, sample_scene, Source
import numpy as np
import pytest


class Tape:
    """Keeps what a recording is told, in order."""

    def __init__(self):
        self.events = []

    def __getattr__(self, name):
        return lambda *values, **fields: self.events.append((name, values, fields))

    def of(self, name):
        return [event for event in self.events if event[0] == name]


@pytest.fixture(scope='module')
def tape(renderer):
    made = Tape()
    made.successes = record(made, renderer, 2, 77, progress=False).successes
    return made


def test_scene_played_twice_is_the_same(renderer):
    spec = sample_scene(21, BELT.domain('sim'), 'constant')
    first, second = play(spec, renderer, 2), play(spec, renderer, 2)
    assert first.jpegs == second.jpegs
    np.testing.assert_array_equal(first.candidates, second.candidates)
    np.testing.assert_array_equal(first.outcomes, second.outcomes)
    assert first.newest(len(first.jpegs)).shape == (20, 128, 128, 3)
    assert first.candidates.shape == (2, 4)


@pytest.mark.parametrize('motion', ['still', 'constant'])
def test_the_track_leads_from_the_object_to_where_the_belt_carries_it(renderer, motion):
    spec = sample_scene(21, BELT.domain('sim'), motion)
    scene = play(spec, renderer, 2)
    offsets = sample_offsets(spec.seed, 2)
    belt = np.array([np.cos(spec.mount.turn), np.sin(spec.mount.turn)])
    across = np.array([belt[1], -belt[0]])
    places = scene.candidates[:, :2] - offsets[:, :1] * belt - offsets[:, 1:2] * across
    np.testing.assert_allclose(places, np.tile(scene.track[0, :2], (2, 1)), atol=1e-5)
    carried = scene.track[1] - scene.track[0]
    np.testing.assert_allclose(carried, [*(belt * scene.speed * GRIP_S), 0], atol=1e-6)


def test_moving_object_moves_in_the_image(renderer):
    frames = play(sample_scene(21, BELT.domain('sim'), 'constant'), renderer, 1).newest(20)
    still = play(sample_scene(21, BELT.domain('sim'), 'still'), renderer, 1).newest(20)
    change = np.abs(np.diff(frames.astype(float), axis=0)).mean()
    assert change > 1.5 * np.abs(np.diff(still.astype(float), axis=0)).mean()


def test_training_data_is_resumed_not_made_again(renderer, tmp_path):
    assert generate(tmp_path, 1, seed=9, progress=False).played == 1
    (scene,) = read_shards(tmp_path)
    spec = sample_scene(9, BELT.domain('sim'))
    np.testing.assert_array_equal(scene.outcomes, play(spec, renderer).outcomes)
    assert (scene.seed, scene.motion, scene.shape) == (9, spec.motion.name, spec.object.shape)
    assert generate(tmp_path, 1, seed=9, progress=False).played == 0
    for other in (Source(domain='shifted'), Source(motion='still'), Source(cell='full')):
        with pytest.raises(ConfigError, match='holds scenes of the (domain|motion|cell)'):
            generate(tmp_path, 1, seed=9, source=other, progress=False)
    with pytest.raises(ConfigError, match='the seed 9, not 10'):
        generate(tmp_path, 1, seed=10, progress=False)


def test_shard_of_a_shorter_run_is_made_again(renderer, tmp_path):
    generate(tmp_path, 1, seed=9, progress=False)
    assert generate(tmp_path, 2, seed=9, progress=False).played == 2
    assert [scene.seed for scene in read_shards(tmp_path)] == [9, 10]
    with pytest.raises(ConfigError, match='is to hold 2 scenes'):
        generate(tmp_path, 1, seed=9, progress=False)


@pytest.mark.parametrize('wrong', [{'scenes': 0}, {'seed': -1}, {'workers': 0}])
def test_generate_refuses_numbers_out_of_range(tmp_path, wrong):
    with pytest.raises(ConfigError, match=f'{next(iter(wrong))} must be at least'):
        generate(tmp_path / 'new', **{'scenes': 1, **wrong})
    assert not (tmp_path / 'new').exists()


def test_frame_comes_after_its_calibration_and_candidates(tape):
    order = [name for name, _, _ in tape.events[:8]]
    assert order == ['camera_info', 'candidates', 'lead_times', 'image'] * 2
    stamps = {values[0] for _, values, _ in tape.events[:4]}
    assert len(stamps) == 1


def test_frames_come_at_ten_hertz_with_pauses_between_attempts(tape):
    stamps = np.array([values[0] for _, values, _ in tape.of('image')])
    gaps = np.diff(stamps)
    assert set(gaps[gaps < PAUSE_NS]) == {100_000_000}
    assert (gaps >= PAUSE_NS).sum() == 1


def test_selected_grasp_is_listed_at_the_decision(tape):
    assert len(tape.of('selected')) == 2
    for (_, (stamp_ns, grasp), _), (_, _, outcome) in zip(
            tape.of('selected'), tape.of('outcome'), strict=True):
        assert stamp_ns == outcome['decision_ns']
        (listed,) = [values[1] for _, values, _ in tape.of('candidates') if values[0] == stamp_ns]
        assert any((grasp == candidate).all() for candidate in listed)


def test_at_least_twenty_frames_lead_to_a_decision_and_then_there_are_no_candidates(tape):
    for _, _, outcome in tape.of('outcome'):
        inside = [(values[0], values[1]) for _, values, _ in tape.of('candidates')
                  if outcome['start_ns'] <= values[0] <= outcome['end_ns']]
        before = [grasps for stamp, grasps in inside if stamp <= outcome['decision_ns']]
        after = [grasps for stamp, grasps in inside if stamp > outcome['decision_ns']]
        assert len(before) >= 20
        assert all(len(grasps) == 6 for grasps in before)
        assert [len(grasps) for grasps in after] == [0]


def test_both_outcomes_are_sought(tape):
    assert [fields['success'] for _, _, fields in tape.of('outcome')].count(True) == 1
    assert tape.successes == 1


def test_images_are_jpeg_of_the_models_size(tape):
    data = np.frombuffer(tape.of('image')[0][1][1], np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (128, 128, 3)


def test_missing_renderer_gives_one_line_and_leaves_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    for backend in ('egl', 'osmesa'):
        monkeypatch.setitem(sys.modules, f'mujoco.{backend}', None)
    with pytest.raises(SimulationError, match='libegl1, libgl1-mesa-dri and libosmesa6'):
        Renderer()
    with caplog.at_level(logging.INFO):
        assert moss(['record', '--bag', str(tmp_path / 'bag'), '--attempts', '1']) == 1
    (line,) = caplog.records
    assert 'libosmesa6' in line.getMessage()
    assert '\n' not in line.getMessage()
    assert list(tmp_path.iterdir()) == []


def test_renderer_that_needs_a_display_is_refused_by_name(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'glfw')
    with pytest.raises(SimulationError, match="'glfw'.*egl or osmesa"):
        Renderer()


def test_unknown_domain_ends_the_command_with_one_line(tmp_path, caplog):
    assert moss(['record', '--out', str(tmp_path / 'data'), '--cell', 'belt',
                 '--domain', 'moon']) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "unknown domain 'moon', expected one of sim, shifted"]


def test_full_cell_is_played_with_nine_candidates_and_one_grasp_watched(renderer):
    scene = play(Source('full', split='held_out').sample(4), renderer)
    assert (scene.cell, scene.split, scene.domain) == ('full', 'held_out', 'sim')
    assert scene.family in ('mug', 't_shape')
    assert scene.candidates.shape == scene.offsets.shape == (9, 4)
    assert scene.attempt.success == scene.outcomes[scene.attempt.candidate]
    assert len(scene.attempt.jpegs) == len(scene.attempt.phases) >= 17
    during = scene.during(3)
    assert during.newest(len(during.jpegs)).shape == (24, 128, 128, 3)
    np.testing.assert_array_equal(np.diff(during.times_ns), 100_000_000)


def test_full_cell_is_recorded_at_thirty_hertz(renderer):
    tape = Tape()
    assert record(tape, renderer, 1, 6, Source('full'), 30, progress=False).attempts == 1
    stamps = np.array([values[0] for _, values, _ in tape.of('image')])
    # Frames fall on ticks of 10 ms.
    assert set(np.diff(stamps) // 1_000_000) <= {30, 40}
    (outcome,) = [fields for _, _, fields in tape.of('outcome')]
    assert (stamps <= outcome['decision_ns']).sum() == 58
    assert len(tape.of('candidates')[0][1][1]) == 9


def test_unusable_scene_is_left_out_of_a_recording_and_counted(renderer, monkeypatch):
    def refuse(self, seed):
        raise SceneError('contact', f'the object of seed {seed} touches the wrist')
    monkeypatch.setattr(Source, 'sample', refuse)
    done = record(Tape(), renderer, 2, 6, progress=False)
    assert (done.attempts, done.successes, done.skipped) == (0, 0, {'contact': 2})


@pytest.mark.parametrize('rate', [5, 200])
def test_recording_refuses_a_rate_out_of_range(rate):
    with pytest.raises(ConfigError, match=f'rate must be 10 to 100 frames a second, got {rate}'):
        record(Tape(), None, 1, 6, rate_hz=rate, progress=False)


def test_a_recording_is_the_same_whatever_the_number_of_workers(renderer):
    def told(workers):
        made = Tape()
        record(made, renderer if workers == 1 else None, 3, 77, progress=False, workers=workers)
        return made.events
    one, two = told(1), told(2)
    assert len([name for name, _, _ in one if name == 'outcome']) == 3
    np.testing.assert_equal(two, one)


def test_record_hands_its_workers_on_to_a_recording(tmp_path, monkeypatch):
    given = []

    def note(*values, workers, **fields):
        given.append((values[1], workers))
        return Recorded(2)
    monkeypatch.setattr('moss_perception.simulation.recording.record', note)
    assert moss(['record', '--bag', str(tmp_path / 'bag'), '--attempts', '2',
                 '--workers', '2']) == 0
    assert given == [(None, 2)]


@pytest.mark.parametrize('wrong', [{'attempts': 0}, {'workers': 0}])
def test_record_refuses_numbers_out_of_range(wrong):
    with pytest.raises(ConfigError, match=f'{next(iter(wrong))} must be at least 1, got 0'):
        record(Tape(), None, **{'attempts': 1, 'seed': 0, **wrong})


@pytest.mark.parametrize(('values', 'draws', 'words'), [
    ((-0.01,), 0, 'latencies -0.01: expected 0 to 1 s'),
    ((0.0, 1.01), 0, 'latencies 0 1.01: expected 0 to 1 s'),
    ((float('nan'),), 0, 'latencies nan: expected 0 to 1 s'),
    ((0.12, 0.06), 0, 'latencies 0.12 0.06: expected ascending values without repetition'),
    ((0.06, 0.06), 0, 'latencies 0.06 0.06: expected ascending'),
    ((0.065,), 0, 'latencies 0.065: expected multiples of 0.01 s'),
    ((), 11, 'latencies to draw must be 0 to 10, got 11'),
    ((), -1, 'latencies to draw must be 0 to 10, got -1'),
    ((0.06,), 2, 'latencies 0.06 and 2 draws: expected one')])
def test_bad_latencies_are_refused_in_one_line(values, draws, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Latencies(values, draws)
    assert '\n' not in str(caught.value)


def test_latencies_of_a_scene_are_drawn_in_whole_ticks_from_the_whole_range():
    drawn = np.array([Latencies(draws=3).of_scene(seed) for seed in range(300)])
    assert Latencies(draws=3).of_scene(7) == tuple(drawn[7])
    assert (np.diff(drawn) > 0.005).all()
    np.testing.assert_allclose(drawn / TICK_S, np.round(drawn / TICK_S), atol=1e-9)
    assert (drawn.min(), drawn.max()) == (0.0, 0.3)
    # Thirty-one ticks take 900 draws: 29 each, with a standard deviation of 5.
    counts = np.unique(np.round(drawn / TICK_S), return_counts=True)[1]
    assert len(counts) == 31
    assert counts.min() > 8
    assert Latencies((0.0, 0.06)).of_scene(7) == (0.0, 0.06)


def test_other_latencies_start_from_the_same_state_and_change_nothing_else(renderer):
    spec = Source('full', 'shifted.latency', motion='accelerating').sample(6)
    own_s = round(spec.physics.latency_s, 2)
    plain = play(spec, renderer)
    timed = play(spec, renderer, latencies=Latencies((0.0, own_s, 0.3)))
    for name in ('jpegs', 'candidates', 'labels', 'offsets', 'track', 'stamps_ns'):
        np.testing.assert_array_equal(getattr(plain, name), getattr(timed, name))
    assert plain.attempt.jpegs == timed.attempt.jpegs
    assert np.isnan(plain.lead_time_s)
    assert plain.other_lead_times_s is plain.other_labels is plain.other_places is None
    assert timed.lead_time_s == pytest.approx(spec.physics.latency_s + GRIP_S)
    np.testing.assert_allclose(timed.other_lead_times_s,
                               np.array([0, own_s, 0.3]) + GRIP_S, atol=1e-6)
    assert timed.other_labels.dtype == np.float32
    np.testing.assert_array_equal(timed.other_labels[1], timed.labels)
    assert (timed.other_labels[0] != timed.other_labels[2]).any()
    # The cell moves in ticks of 10 ms.
    np.testing.assert_allclose(timed.other_places[1], timed.track[1], atol=0.01 * 0.2)
    way = np.linalg.norm(timed.other_places - timed.track[0], axis=1)
    assert (np.diff(way) > 0).all()
    # Longer than at the velocity of the decision: the belt gains speed.
    assert way[2] - way[0] > 0.3 * timed.velocity


def test_the_belts_cell_has_lead_times_too(renderer):
    spec = sample_scene(21, BELT.domain('sim'), 'constant')
    scene = play(spec, renderer, 2, Latencies((0.1,)))
    assert scene.lead_time_s == pytest.approx(GRIP_S)
    belt = np.array([np.cos(spec.mount.turn), np.sin(spec.mount.turn), 0])
    np.testing.assert_allclose(scene.other_places[0] - scene.track[0],
                               belt * scene.speed * (GRIP_S + 0.1), atol=1e-6)


@pytest.mark.parametrize('domain', ['sim', 'shifted', 'randomised'])
def test_the_mask_shows_the_object_and_changes_no_image(renderer, domain):
    spec = Source('full', domain, motion='constant').sample(4)
    cell = WorkCell(spec)
    cell.wait(DECISION_S)
    before, mask = renderer.render(cell), renderer.object_mask(cell)
    np.testing.assert_array_equal(renderer.render(cell), before)
    assert mask.shape == before.shape[:2]
    camera = Camera(*spec.lens.size, spec.lens.matrix)
    centre = spec.mount.to_optical(cell.object_position)[None]
    (column, row), = project(centre, camera)[0].round().astype(int)
    rows, columns = np.nonzero(mask)
    # An L has no part of itself at its centre, but around it.
    assert np.hypot(rows.mean() - row, columns.mean() - column) < 4
    assert 20 < mask.sum() < 600
    sample = play(spec, renderer, 1)
    np.testing.assert_array_equal(sample.object_mask, mask)


def test_own_lead_time_alone_needs_no_further_execution(renderer):
    scene = play(sample_scene(21, BELT.domain('sim'), 'still'), renderer, 1, Latencies())
    assert scene.lead_time_s == pytest.approx(GRIP_S)
    assert scene.other_labels is None


def test_record_keeps_lead_times_and_others_on_request(renderer, tmp_path, caplog):
    def shard(name, *more):
        assert moss(['record', '--out', str(tmp_path / name), '--cell', 'belt', '--scenes', '1',
                     '--seed', '9', *more]) == 0
        path, = (tmp_path / name).glob('scenes_*.npz')
        return path
    plain, timed = shard('plain'), shard('timed', '--latencies', '0.05', '0.1')
    with np.load(plain) as before, np.load(timed) as after:
        assert set(after) - set(before) == {
            'other_lead_times_s', 'other_labels', 'other_places'}
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])
    (scene,) = read_shards(tmp_path / 'timed')
    np.testing.assert_allclose(scene.other_lead_times_s, [GRIP_S + 0.05, GRIP_S + 0.1])
    (drawn,) = read_shards(shard('drawn', '--latency-draws', '2').parent)
    assert drawn.other_labels.shape == (2, 6)
    (many,) = read_shards(shard('many', '--candidates', '7', '--latency-draws', '1').parent)
    assert (many.labels.shape, many.other_labels.shape) == ((7,), (1, 7))
    assert many.jpegs == drawn.jpegs
    caplog.clear()
    assert moss(['record', '--out', str(tmp_path / 'new'), '--latencies', '0.2', '0.1']) == 1
    assert [record.getMessage() for record in caplog.records] == [
        'latencies 0.2 0.1: expected ascending values without repetition']
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('option', [['--latencies', '0'], ['--latency-draws', '2']])
def test_latencies_of_a_recording_are_refused(tmp_path, capsys, option):
    with pytest.raises(SystemExit, match='2'):
        moss(['record', '--bag', str(tmp_path / 'bag'), *option])
    assert '--latencies and --latency-draws need --out' in capsys.readouterr().err
