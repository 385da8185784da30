"""A recording goes through the predictor as fast as it can, and its attempts are scored."""

import cv2
from moss_perception.cli.evaluate_results import print_results
from moss_perception.core import images as imaging
from moss_perception.core.errors import BagError
from moss_perception.core.frames import Camera, Candidates, Frame
from moss_perception.core.image_messages import CompressedImage
from moss_perception.data.bags.writer import RecordingWriter, TOPICS
from moss_perception.evaluation.parts import Part, WHOLE
from moss_perception.evaluation.pictures import read_images
from moss_perception.evaluation.records import Evaluation
from moss_perception.evaluation.replay import replay
from moss_perception.runtime import sampling
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from timed import (
    DECISION as DECIDED,
)
from timed import (
    expected_score,
    lead_times,
    LEAD_WEIGHT,
    replayed,
    timed_network,
    write_recording,
)

START_NS, RATE_NS = 1_700_000_000_000_000_000, 100_000_000
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
GRASPS = np.array([[0.01, 0.0, 0.5, 0.3], [-0.05, 0.01, 0.6, 1.2]])
FRAMES, DECISION, END = 26, 20, 24


@pytest.fixture(scope='module')
def predictor(tiny_checkpoint):
    return Predictor.load(str(tiny_checkpoint), threads=1)


@pytest.fixture(scope='module')
def jpegs():
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (FRAMES, 40, 40, 3), np.uint8)
    return [cv2.imencode('.jpg', image)[1].tobytes() for image in images]


@pytest.fixture
def record(tmp_path, jpegs):
    """Return a function that writes one attempt; more frames than samples if asked."""
    def write(name='bag', outcome=True, period_ns=RATE_NS, frames=None, executed=True,
              success=True, candidate=None, **options):
        with RecordingWriter(tmp_path / name, **options) as writer:
            for index, jpeg in enumerate(frames or jpegs):
                stamp_ns = START_NS + index * period_ns
                writer.camera_info(stamp_ns, 40, 40, MATRIX)
                if '/grasp_candidates' in options.get('topics', ['/grasp_candidates']):
                    writer.candidates(stamp_ns, GRASPS if index <= DECISION else GRASPS[:0])
                writer.image(stamp_ns, jpeg)
                if index == DECISION and '/selected_grasp' in options.get('topics', TOPICS):
                    writer.selected(stamp_ns, GRASPS[1])
            if outcome:
                writer.outcome('held', attempt=4, start_ns=START_NS, decision_ns=START_NS
                               + DECISION * period_ns, end_ns=START_NS + END * period_ns,
                               success=success, domain='sim', motion='still', object='box',
                               executed=executed, candidate=candidate)
        return tmp_path / name
    return write


def pushed(predictor, jpegs):
    """Do by hand what a replay is to do."""
    own = Predictor(predictor.engine)
    own.set_camera(Camera(40, 40, MATRIX))
    found = []
    for index, jpeg in enumerate(jpegs):
        stamp_ns = START_NS + index * RATE_NS
        grasps = GRASPS if index <= DECISION else GRASPS[:0]
        own.set_candidates(Candidates.from_yaws(
            stamp_ns, 'camera_optical_frame', grasps[:, :3], grasps[:, 3]))
        found.append(own.push(Frame(stamp_ns, 'camera_optical_frame', CompressedImage(jpeg))))
    return found


def test_scores_are_those_of_the_predictor_and_the_executed_grasp_is_scored_to_the_end(
        record, predictor, jpegs):
    by_hand = pushed(predictor, jpegs)
    found = replay(record(), predictor)
    assert found.by_status == {'scored': 11, 'stored': 15, 'skipped': 0, 'refused': 0}
    (attempt,) = found.attempts
    decided = by_hand[DECISION]
    assert (attempt.scored_ns, attempt.source) == (decided.stamp_ns, 'executed')
    # A yaw travels as a quaternion, and may come back another in the last bit.
    np.testing.assert_allclose(attempt.score, decided.scores[1], rtol=1e-5)
    np.testing.assert_allclose(attempt.times_s, np.arange(-5, 5) / 10)
    assert np.isfinite(attempt.scores).all() and len(set(attempt.scores)) > 5
    assert (found.domain, found.frames, found.lost_share, found.unmatched) == ('sim', 26, 0.0, ())
    assert len(found.decode_ms) == len(found.inference_ms) == 11


def test_only_samples_are_decoded(record, predictor, jpegs, monkeypatch):
    decoded, decode = [], sampling.decode_for
    monkeypatch.setattr(sampling, 'decode_for',
                        lambda *what: decoded.append(1) or decode(*what))
    many = [jpeg for jpeg in jpegs for _ in range(3)]
    found = replay(record(period_ns=RATE_NS // 3, frames=many), predictor)
    assert len(decoded) == found.by_status['scored'] + found.by_status['stored'] == len(jpegs)
    assert found.by_status['skipped'] == 2 * len(jpegs)


def test_large_images_score_as_the_messages_that_the_node_takes(record, predictor, jpegs):
    large = [cv2.imencode('.jpg', cv2.resize(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1),
                                             (160, 120)))[1].tobytes() for jpeg in jpegs]
    own, expected, found = Predictor(predictor.engine), {}, {}
    for index, jpeg in enumerate(large):
        frame = Frame(START_NS + index * RATE_NS, 'camera_optical_frame', CompressedImage(jpeg))
        if (prediction := own.push(frame)) is not None:
            expected[prediction.stamp_ns] = prediction.score
            assert prediction.size == (120, 160)
            np.testing.assert_array_equal(prediction.image, imaging.decode(frame.image))
    replay(record(frames=large), predictor,
           on_prediction=lambda one: found.__setitem__(one.stamp_ns, one.score))
    assert found == expected != {}


def test_every_calibration_that_can_not_be_used_is_counted(tmp_path, predictor, jpegs):
    with RecordingWriter(tmp_path / 'bag') as writer:
        for index, jpeg in enumerate(jpegs):
            writer.camera_info(START_NS + index * RATE_NS, 40, 40, MATRIX * (index < 3))
            writer.image(START_NS + index * RATE_NS, jpeg)
    notes = replay(tmp_path / 'bag', predictor).notes
    assert any(f'{FRAMES - 3} messages of camera_info were refused' in line for line in notes)


def test_a_spoilt_image_is_refused_and_its_sample_repeated(record, predictor, jpegs):
    spoilt = [*jpegs[:18], jpegs[18][:100], *jpegs[19:]]
    found = replay(record(frames=spoilt), predictor)
    assert (found.refused, found.missing) == ({'compressed': 1}, 1)
    assert sum(found.by_status.values()) == found.frames == FRAMES


def test_frames_that_were_not_received_are_left_out_and_counted(record, predictor, jpegs):
    stamps = [START_NS + n * RATE_NS for n in range(FRAMES)]
    received = dict.fromkeys(stamps, 'stored')
    del received[stamps[17]]
    received[stamps[18]] = 'skipped'
    scores = {}
    found = replay(record(), predictor, received=received,
                   on_prediction=lambda p: scores.__setitem__(p.stamp_ns, p.missing_in_window))
    assert (found.not_arrived, found.missing, found.by_status['skipped']) == (1, 2, 1)
    assert sum(found.by_status.values()) + found.not_arrived == found.frames == FRAMES
    assert stamps[18] not in scores and scores[stamps[19]] == 2


def test_outcomes_of_a_table_are_scored_by_the_default_grasp(record, predictor, tmp_path):
    table = tmp_path / 'outcomes.csv'
    start = (START_NS + 19 * RATE_NS) / 1e9
    table.write_text(f'start,end,success,domain\n{start:.3f},{start + 0.3:.3f},no,real\n'
                     '5,6,yes,real\n')
    bag = record(outcome=False, topics=('/image/compressed', '/camera_info'))
    found = replay(bag, predictor, attempts_csv=table)
    (attempt,) = found.attempts
    assert (attempt.success, found.domain) == (False, 'real')
    assert attempt.scored_ns == START_NS + 19 * RATE_NS and attempt.source == 'default'
    assert any('no grasp candidates on /grasp_candidates: if the executed' in x
               for x in found.notes)
    (one,) = found.unmatched
    assert str(one).startswith('attempt 2: it ends') and 'before the first image' in one.why


def test_the_executed_grasp_is_scored_where_it_is_no_candidate_at_all(
        record, predictor, tmp_path):
    bag = record(topics=('/image/compressed', '/camera_info', '/selected_grasp',
                         '/grasp_outcome'))
    (alone,), (listed,) = (replay(x, predictor).attempts for x in (bag, record('listed')))
    assert alone.source == listed.source == 'executed'
    np.testing.assert_allclose(alone.score, listed.score, rtol=1e-6)
    # It was no candidate before the decision: only its scores from then on are on the curve.
    assert np.isnan(alone.scores[:6]).all() and np.isfinite(alone.scores[6:]).all()


def test_the_candidate_that_an_outcome_names_is_scored_without_a_recorded_selection(
        record, predictor):
    bag = record(topics=('/image/compressed', '/camera_info', '/grasp_candidates',
                         '/grasp_outcome'), candidate=1)
    (named,), (selected,) = (replay(x, predictor).attempts for x in (bag, record('selected')))
    assert (named.source, named.score) == ('executed', selected.score)


def test_an_attempt_in_which_nothing_was_executed_has_no_score(record, predictor):
    found = replay(record(executed=False, success=False), predictor)
    (attempt,) = found.attempts
    assert (attempt.executed, attempt.source) == (False, 'none') and np.isnan(attempt.score)
    assert any(note.startswith('not_executed: in 1 of 1 attempts') for note in found.notes)


def test_a_decision_after_the_cut_of_a_recording_has_no_score(record, predictor, tmp_path):
    table = tmp_path / 'outcomes.csv'
    start, last = START_NS / 1e9, (START_NS + (FRAMES - 1) * RATE_NS) / 1e9
    table.write_text('start,decision,end,success\n'
                     + ''.join(f'{start:.1f},{last + late:.1f},{last + 60:.1f},yes\n'
                               for late in (0.5, 0.6, 58.0)))
    found = replay(record(outcome=False), predictor, attempts_csv=table)
    fresh, *old = found.attempts
    assert fresh.scored_ns == START_NS + (FRAMES - 1) * RATE_NS and np.isfinite(fresh.score)
    assert [(x.scored_ns, x.source) for x in old] == [(None, 'none')] * 2
    assert np.isnan([(x.score, x.uncertainty) for x in old]).all()
    assert any('2 (0.600 s), 3 (58.000 s)' in note for note in found.notes)
    patient = Predictor(predictor.engine, max_gap_s=0.7)
    assert np.isfinite(replay(tmp_path / 'bag', patient, attempts_csv=table).attempts[1].score)


def test_without_outcomes_the_report_is_told(record, predictor):
    found = replay(record(outcome=False), predictor, domain='real')
    assert found.attempts == () and found.domain == 'real'
    assert any('no outcomes' in note for note in found.notes)


def test_clocks_that_differ_are_told(record, predictor, tmp_path):
    table = tmp_path / 'outcomes.csv'
    table.write_text('start,end,success\n5,6,yes\n7,8,no\n')
    found = replay(record(), predictor, attempts_csv=table)
    assert found.attempts == () and len(found.unmatched) == 2
    assert any('stamps of the same clock' in line for line in found.warnings)


def test_what_is_named_has_to_be_there(record, predictor):
    bag = record()
    with pytest.raises(BagError, match='no calibration on /nowhere'):
        replay(bag, predictor, camera_info_topic='nowhere')
    with pytest.raises(BagError, match='no images on /nowhere'):
        replay(bag, predictor, image_topic='nowhere')
    with pytest.raises(BagError, match='no grasp candidates on /typo; expected one of '
                       '/grasp_candidates'):
        replay(bag, predictor, candidates_topic='/typo')
    with pytest.raises(BagError, match='no outcomes on /typo; expected one of /grasp_outcome'):
        replay(bag, predictor, outcome_topic='/typo')
    with pytest.raises(BagError, match='no executed grasps on /typo; expected one of /selected'):
        replay(bag, predictor, executed_topic='/typo')
    with pytest.raises(BagError, match='/camera_info is a .*CameraInfo, expected .*PoseArray'):
        replay(bag, predictor, candidates_topic='/camera_info')


def test_a_camera_at_half_the_models_rate_is_said_at_the_terminal(record, predictor, capsys):
    slow, quick = (replay(record(name, period_ns=period_ns), predictor, domain='real')
                   for name, period_ns in (('slow', 2 * RATE_NS), ('quick', RATE_NS)))
    assert (slow.missing, quick.missing, quick.repeats) == (FRAMES - 1, 0, '')
    print_results([Evaluation('tiny', '0' * 64, 1.0, 'onnxruntime', 1, '', '',
                              (slow, quick))], None)
    assert capsys.readouterr().out.count(
        f'    note: {FRAMES - 1} of {2 * FRAMES - 1} samples repeat the one before') == 1


def test_progress_counts_every_image(record, predictor):
    told = []
    replay(record(), predictor, progress=lambda *x: told.append(x))
    assert told == [(n, FRAMES) for n in range(1, FRAMES + 1)]


def test_of_a_cut_file_what_is_there_is_evaluated(record, predictor):
    bag = record()
    file = next(bag.glob('*.mcap'))
    file.write_bytes(file.read_bytes()[:len(file.read_bytes()) // 2])
    found = replay(bag, predictor)
    assert 5 < found.frames < FRAMES and 0.2 < found.lost_share < 0.9
    assert any('damaged or cut off' in line for line in found.warnings)


def test_images_are_fetched_by_their_stamps(record):
    images = read_images(record(), '/image/compressed', [START_NS + RATE_NS, 5])
    assert list(images) == [START_NS + RATE_NS] and images[START_NS + RATE_NS].shape == (40, 40, 3)


@pytest.fixture(scope='module')
def timed():
    """Return a predictor of a checkpoint with time inputs, trained for 0.25 to 0.75 s."""
    return Predictor(TorchEngine(timed_network(), threads=1))


@pytest.mark.parametrize(('measured', 'used'), [(0.6, 0.6), (3.0, 0.75)])
def test_the_executed_grasp_is_scored_at_its_measured_lead_time(tmp_path, timed, measured, used):
    planned, rows = replayed(write_recording(tmp_path / 'planned'), timed)
    found, again = replayed(write_recording(tmp_path / 'bag', measured=measured), timed)
    (attempt,), (before,) = found.attempts, planned.attempts
    ratio = (1 / expected_score(used) - 1) / (1 / attempt.score - 1)
    # Both are scored in the same frame; the rest of the logit is that of the intervals.
    planned_s = float(rows[before.scored_ns]['lead_time'][2])
    assert ratio == pytest.approx(
        (1 / expected_score(planned_s) - 1) / (1 / before.score - 1), rel=1e-4)
    assert attempt.source == 'executed' and not attempt.scored_elsewhere
    # The candidates keep the lead times of the planner.
    np.testing.assert_array_equal(rows[before.scored_ns], again[attempt.scored_ns])
    assert any('measured lead times are outside 0.25 to 0.75 s' in x for x in found.notes) == (
        used != measured)


def test_without_time_inputs_a_measured_lead_time_changes_nothing(tmp_path, predictor):
    first, _ = replayed(write_recording(tmp_path / 'a'), predictor)
    second, _ = replayed(write_recording(tmp_path / 'b', measured=0.6), predictor)
    np.testing.assert_array_equal(first.attempts[0].scores, second.attempts[0].scores)


@pytest.mark.parametrize(('part', 'measured'), [
    (WHOLE, None), (Part(5, 22, WHOLE.end), None), (WHOLE, 0.6)])
def test_after_the_decision_the_lead_time_of_the_executed_grasp_runs_out(
        tmp_path, timed, part, measured):
    found, rows = replayed(write_recording(tmp_path / 'bag', measured=measured), timed, part=part)
    (attempt,) = found.attempts
    after = attempt.times_s > 0
    scores, passed_s = attempt.scores[after], attempt.times_s[after]
    assert len(scores) == (4 if part == WHOLE else 3)
    # The planner gave it 0.75 s, and the default grasp has the 0.5 s of the checkpoint.
    left_s = np.maximum((measured or lead_times(DECIDED)[2]) - passed_s, 0.25)
    default = [rows[attempt.decision_ns + round(passed * 1e9)]['score'][-1] for passed in passed_s]
    gained = np.log(scores / (1 - scores)) - np.log(default / (1 - np.array(default)))
    np.testing.assert_allclose(gained, LEAD_WEIGHT * (left_s - 0.5), atol=1e-5)
