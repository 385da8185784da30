"""The command ``moss import``: from recordings to samples, and what it refuses."""

from functools import partial
import json
import re
import time

from calibrations import write_calibration
import cv2
from moss_perception.cli.main import main
from moss_perception.data.scenes import load_scenes
import numpy as np
import pytest
from rewritten import rewrite
from robot_bag import EXECUTED, Robot, START_NS, TIMES_S
from timed import DECISION, lead_times, write_recording


def test_each_attempt_becomes_a_sample(imports, robot, tmp_path):
    said = imports(robot('monday', successes=(True, False), rate_hz=30.0))
    first, second = load_scenes(tmp_path / 'out')
    decision = START_NS + round(1e9 * TIMES_S[1])
    assert first.name == 'monday, attempt 1' and first.domain == 'real'
    assert first.groups == {'bag': 'monday', 'day': '2023-11-14', 'object': 'cup'}
    assert second.groups['object'] == 'box'
    assert first.candidates.shape == (8, 4)
    assert first.mask.tolist() == [n == 3 for n in range(8)]
    np.testing.assert_allclose(first.candidates[3], [0.02, -0.01, 0.5, 0], atol=1e-6)
    assert (first.labels[3], second.labels[3]) == (1, 0)
    assert first.track is None and first.seed is None
    np.testing.assert_allclose(first.camera.distortion, [0.01, -0.02, 0.001, 0, 0])
    assert first.camera.matrix[0, 0] == 60 and first.image_size == (64, 48)
    # The last image is the decision's, and 30 Hz become 10.
    assert first.stamps_ns[-1] == pytest.approx(decision, abs=2)
    np.testing.assert_allclose(np.diff(first.stamps_ns) / 1e9, 0.1, atol=1e-6)
    assert first.jpegs[-1] == Robot(successes=(True, False), rate_hz=30.0).jpeg(TIMES_S[1])
    assert (first.attempt.candidate, first.attempt.success) == (3, True)
    assert len(first.attempt.jpegs) == 9 and first.attempt.stamps_ns[0] > decision
    assert '2 samples of 2 attempts in out, 1 of them successful' in said
    assert json.loads((tmp_path / 'out' / 'dataset.json').read_text())['samples'] == 2


def test_candidates_that_lack_the_executed_grasp_get_it_as_one_more(imports, robot, tmp_path):
    imports(robot(listed=False))
    for sample in load_scenes(tmp_path / 'out'):
        assert sample.candidates.shape == (9, 4)
        assert sample.labelled.tolist() == [False] * 8 + [True]
        np.testing.assert_allclose(sample.candidates[8, :3], [0.02, -0.01, 0.5], atol=1e-6)


@pytest.mark.parametrize('candidates', [None, 0])
def test_without_candidates_the_executed_grasp_is_the_only_one(
        imports, robot, tmp_path, candidates):
    imports(robot(candidates=candidates))
    samples = load_scenes(tmp_path / 'out')
    assert [x.labels.tolist() for x in samples] == [[1], [0], [1]]
    for sample in samples:
        np.testing.assert_allclose(sample.candidates, [[0.02, -0.01, 0.5, 0]], atol=1e-6)
        assert sample.labelled.all() and sample.attempt.candidate == 0


def test_the_index_of_a_candidate_is_not_enough_without_candidates(imports, robot, tmp_path):
    bag = robot(candidates=None, executed=None)
    head, *rows = (tmp_path / 'bag.csv').read_text().splitlines()
    (tmp_path / 'bag.csv').write_text('\n'.join(
        [f'{head},candidate', *(f'{row},3' for row in rows)]) + '\n')
    said = imports(bag, status=1, topics=False)
    assert ('none of the 3 attempts can be imported: attempt 1 of bag: its executed grasp is not '
            'known: expected a pose within the attempt (--executed-topic), or the index of a '
            'candidate in its outcome (column candidate, and --candidates-topic)') in said
    assert len(said.strip().splitlines()) == 1


def test_executed_grasps_of_any_name_are_named_if_nobody_says_which_they_are(
        imports, robot, tmp_path):
    def renamed(topic, kind, ns, message):
        yield {EXECUTED: '/arm/goal'}.get(topic, topic), kind, ns, message
    rewrite(tmp_path / robot('source'), tmp_path / 'bag', renamed)
    (tmp_path / 'source.csv').rename(tmp_path / 'bag.csv')
    said = imports('bag', status=1, topics=False)
    assert said.strip().endswith('no topic of executed grasps was named; the recording has poses '
                                 'on /arm/goal: name one with --executed-topic')
    imports('bag', topics=False, words=['--executed-topic', '/arm/goal'])


@pytest.mark.parametrize(('zone', 'day'), [('UTC0', '2023-11-14'), ('EST5', '2023-11-14'),
                                           ('JST-9', '2023-11-15')])
def test_the_day_is_that_of_the_place_as_in_the_recorder(
        imports, robot, tmp_path, monkeypatch, zone, day):
    # The decision is at 22:13:22 UTC.
    monkeypatch.setenv('TZ', zone)
    time.tzset()
    imports(robot(successes=(True,)))
    sample, = load_scenes(tmp_path / 'out')
    assert sample.groups['day'] == day


def test_grasps_in_another_frame_are_taken_to_the_camera_s(imports, robot, tmp_path):
    robot(frame='base_link', executed=(0.12, -0.01, 0.1), successes=(True,))
    assert main(['import', 'bag', '--outcomes', 'bag.csv', '--executed-topic', EXECUTED, '--out',
                 'out', '--candidates-transform', '-0.1', '0', '0.4', '0', '0', '0', '1']) == 0
    sample, = load_scenes(tmp_path / 'out')
    assert sample.labelled.tolist() == [n == 3 for n in range(8)]
    np.testing.assert_allclose(sample.candidates[3], [0.02, -0.01, 0.5, 0], atol=1e-6)


def test_several_recordings_and_workers_make_the_same_samples(imports, robot, tmp_path):
    bags = [robot('monday/bag'), robot('tuesday/bag', successes=(False, True))]
    imports(*bags, out='one')
    words = [x for bag in bags for x in ('--outcomes', f'{bag}.csv')]
    words += ['--executed-topic', EXECUTED]
    assert main(['import', *bags, *words, '--out', 'two', '--workers', '3',
                 '--group', 'operator=anna', '--lead-time', '0.7', '--gripper-opening',
                 '0.085']) == 0
    one, two = (load_scenes(tmp_path / name) for name in ('one', 'two'))
    assert [x.name for x in one] == [x.name for x in two] == [
        *(f'monday/bag, attempt {n}' for n in (1, 2, 3)),
        *(f'tuesday/bag, attempt {n}' for n in (1, 2))]
    for mine, theirs in zip(one, two, strict=True):
        assert mine.jpegs == theirs.jpegs and theirs.groups['operator'] == 'anna'
        assert np.isnan(mine.lead_time_s) and theirs.lead_time_s == 0.7
        assert np.isnan(mine.gripper_opening_m) and theirs.gripper_opening_m == 0.085


@pytest.mark.parametrize(('times', 'measured', 'expected'), [
    (lead_times, 0.62, 0.62), (lead_times, None, lead_times(DECISION)[2]),
    (lambda index: None, None, 0.7)])
def test_the_lead_time_is_the_measured_one_then_the_planners_then_the_options(
        tmp_path, times, measured, expected):
    write_recording(tmp_path / 'bag', times, measured)
    assert main(['import', str(tmp_path / 'bag'), '--out', str(tmp_path / 'out'), '--lead-time',
                 '0.7']) == 0
    sample, = load_scenes(tmp_path / 'out')
    assert sample.lead_time_s == pytest.approx(expected)


def test_one_table_of_several_recordings_is_matched_by_stamps(imports, robot, tmp_path):
    robot('both', successes=(True, False))
    bags = [robot('first', successes=(True,)), 'second']
    later = Robot(successes=(False, False))
    later.write(tmp_path / 'second')
    for bag in bags:
        (tmp_path / f'{bag}.csv').unlink()
    (tmp_path / 'first.csv').write_text((tmp_path / 'both.csv').read_text())
    said = imports(*bags)
    assert [x.name for x in load_scenes(tmp_path / 'out')] == [
        'first, attempt 1', 'second, attempt 1', 'second, attempt 2']
    assert 'left out' not in said


@pytest.mark.parametrize('rate_hz', [7.0, 15.0, 25.0, 29.97])
def test_a_model_sees_the_decision_last_at_any_rate_of_the_camera(
        imports, robot, tmp_path, rate_hz):
    imports(robot(rate_hz=rate_hz, successes=(True,)))
    sample, = load_scenes(tmp_path / 'out')
    assert sample.window(16, 10.0)[-1] == len(sample.jpegs) - 1
    age_s = (START_NS + 1e9 * TIMES_S[1] - sample.stamps_ns[-1]) / 1e9
    assert 0 <= age_s <= 1 / rate_hz
    assert len(np.unique(sample.window(16, 10.0))) >= min(16, int(1.5 * rate_hz))


@pytest.mark.parametrize(('values', 'message'), [
    ({'executed': None}, 'none of the 3 attempts can be imported: attempt 1 of bag: its executed '
     'grasp is not known: expected a pose within the attempt'),
    ({'executed': (0.5, -0.4, 0.5)}, 'its executed grasp is at the pixel 92, -24 .without '
     'distortion.: expected one inside the 64 x 48 image'),
    ({'executed': (0.0, 0.0, -0.5)}, 'its executed grasp is behind the camera: expected one'),
    ({'executed': (3.0, 0.0, 0.5)}, 'its executed grasp is 81 degrees off the optical axis, '
     'beyond the range of the lens model of the calibration: expected one inside'),
    ({'frame': 'base_link'}, "its executed grasp is in the frame 'base_link': expected "
     "'camera_color_optical_frame', that of the images, or a transform to it"),
    ({'calibrated': False}, 'no calibration of .*: expected a topic of camera_info')])
def test_a_recording_without_a_usable_attempt_is_refused(imports, robot, values, message):
    said = imports(robot(**values), status=1, topics=values.get('executed', 1) is not None)
    assert re.search(message, said), said
    assert len(said.strip().splitlines()) == 1


def edit_table(tmp_path, change):
    path = tmp_path / 'bag.csv'
    head, *rows = path.read_text().splitlines()
    path.write_text('\n'.join([head, *change([x.split(',') for x in rows])]) + '\n')


def shifted(rows, seconds):
    return [','.join([*(f'{float(x) + seconds:.3f}' for x in row[:3]), *row[3:]]) for row in rows]


def overlapping(rows):
    rows[1][0] = f'{float(rows[0][2]) - 0.5:.3f}'
    return [','.join(row) for row in rows]


def with_label(rows, text):
    rows[1][3] = text
    return [','.join(row) for row in rows]


@pytest.mark.parametrize(('change', 'message'), [
    (partial(shifted, seconds=3600), 'no attempt has images: .*: the outcomes are 3600 s later, '
     'about 1 h, as between two time zones; expected stamps of the images'),
    (partial(shifted, seconds=-86400), 'the outcomes are 86400 s earlier'),
    (overlapping, 'attempt 2 begins at 1700000002.500 s, before attempt 1 ends at 1700000003.000'),
    (partial(with_label, text='nan'), "bag.csv, line 3: success is 'nan', expected true or false"),
])
def test_outcomes_that_cannot_be_right_are_refused(imports, robot, tmp_path, change, message):
    bag = robot()
    edit_table(tmp_path, change)
    said = imports(bag, status=1)
    assert re.search(message, said), said
    assert len(said.strip().splitlines()) == 1


def test_a_recording_without_outcomes_is_refused(imports, robot):
    assert 'no outcomes of attempts: expected some on /grasp_outcome' in imports(
        robot(), status=1, table=False)


def test_some_unusable_attempts_are_left_out_and_named(imports, robot, tmp_path):
    bag = robot(successes=(True, False, True, False))
    edit_table(tmp_path, lambda rows: [','.join(rows[0]), *shifted(rows[1:2], 500),
                                       *(','.join(row) for row in rows[2:])])
    said = imports(bag)
    assert ('1 of 4 attempts are left out (no images), such as attempt 2 of bag: no image is '
            'stamped within 0.5 s before its decision') in said
    left, = json.loads((tmp_path / 'out' / 'dataset.json').read_text())['left_out']
    assert (left['recording'], left['attempt'], left['reason']) == ('bag', 2, 'no images')


def test_an_attempt_that_begins_too_early_for_a_window_is_left_out(imports, robot, tmp_path):
    bag = robot()
    edit_table(tmp_path, lambda rows: [*shifted(rows[:1], -1.5), *(
        ','.join(row) for row in rows[1:])])
    said = imports(bag)
    assert 'left out (too few images), such as attempt 1 of bag: its images begin 0.' in said


def test_what_a_training_would_suffer_from_is_said(imports, robot, tmp_path):
    said = imports(robot('a', successes=(True, True)), robot('b', successes=(True,), focal=70.0))
    assert '3 attempts are too few to train on: expected 20 or more' in said
    assert 'all 3 attempts are successes: expected both' in said
    assert ('the samples have 2 calibrations: 64 x 48, focal length 60.0, plumb_bob (2); 64 x 48, '
            'focal length 70.0, plumb_bob (1); each sample keeps its own; if only one is') in said
    assert "1 of 2 values of the group 'object' have one attempt: box" in said
    assert len(load_scenes(tmp_path / 'out')) == 3


def test_doubtful_stamps_and_pictures_are_said_as_in_an_evaluation(imports, robot, tmp_path):
    robot('source')
    black = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].ravel()

    def change(topic, kind, ns, message):
        if kind.endswith('PoseArray'):
            total = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec + 2 * 10**8
            message.header.stamp = type(message.header.stamp)(*divmod(total, 10**9))
        if kind.endswith('CompressedImage'):
            message.data = black
        yield topic, kind, ns, message
    rewrite(tmp_path / 'source', tmp_path / 'bag', change)
    (tmp_path / 'source.csv').rename(tmp_path / 'bag.csv')
    said = imports('bag')
    assert 's ahead of the images that were recorded after them' in said
    assert 'images are almost black' in said


def test_each_sample_has_the_calibration_of_its_images(imports, robot, tmp_path):
    said = imports(robot(focal_changes=True))
    samples = load_scenes(tmp_path / 'out')
    assert [x.camera.matrix[0, 0] for x in samples] == [60, 120, 120]
    # No sample has images of two calibrations: this one begins at the change.
    assert samples[1].stamps_ns[0] == pytest.approx(START_NS + 1e9 * 4.1, abs=6e7)
    assert 'the samples have 2 calibrations' in said


def test_each_recording_has_its_own_topics_outcomes_and_calibration(imports, robot, tmp_path):
    robot('monday', calibrated=False)
    robot('tuesday', successes=(False,), executed=(0.0, 0.01, 0.5))
    write_calibration(tmp_path / 'monday.yaml', focal=70.0)
    (tmp_path / 'topics.yaml').write_text(
        f'real:\n  executed: {EXECUTED}\n  calibration: monday.yaml\n  outcomes: monday.csv\n')
    imports('real:monday', 'tuesday', table=False, topics=False, words=[
        '--topics', 'topics.yaml',
        '--topics', f'tuesday=executed:={EXECUTED},outcomes:=tuesday.csv'])
    samples = load_scenes(tmp_path / 'out')
    assert [(x.domain, x.camera.matrix[0, 0]) for x in samples] == [
        *[('real', 70.0)] * 3, ('real', 60.0)]
    assert samples[0].camera.distortion.tolist() == samples[3].camera.distortion.tolist()
    # A calibration for all takes the place of recorded ones, but not of that of one recording.
    imports('real:monday', 'tuesday', table=False, topics=False, out='again', words=[
        '--topics', 'topics.yaml', '--calibration', str(write_calibration(
            tmp_path / 'all.yaml', focal=50.0)),
        '--topics', f'tuesday=executed:={EXECUTED},outcomes:=tuesday.csv'])
    assert [x.camera.matrix[0, 0] for x in load_scenes(tmp_path / 'again')] == [70.0] * 3 + [50.0]


def test_topics_of_a_recording_that_is_not_imported_are_refused(imports, robot):
    said = imports(robot(), words=['--topics', 'real=image:=/x'], status=1)
    assert "--topics names 'real': expected one of bag" in said


def test_nothing_is_overwritten(imports, robot, tmp_path):
    bag = robot()
    imports(bag)
    before = sorted(tmp_path.glob('out/*'))
    assert main(['import', bag, '--outcomes', f'{bag}.csv', '--out', 'out']) == 1
    assert sorted(tmp_path.glob('out/*')) == before


@pytest.mark.parametrize('words', [['--group', 'anna'], ['--rate', '-1'], ['--workers', '0'],
                                   ['--seconds', '0.5'], ['--rate', '0'], ['--seconds', '0'],
                                   ['--outcomes', 'a', '--outcomes', '2']])
def test_wrong_options_are_refused_before_anything_is_read(imports, robot, caplog, words):
    assert main(['import', robot(), '--out', 'out', *words]) == 1
    assert 'expected' in caplog.text and len(caplog.records) == 1
    assert words[-1].lstrip('-') in caplog.text
