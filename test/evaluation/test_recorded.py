"""Recorded scores are compared with the outcomes as they are: counts, scores and findings."""

from dataclasses import replace

from calibrations import write_calibration
from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import BagError, MossError
from moss_perception.core.scores import GraspScores, ScoreReason
from moss_perception.core.transforms import parse_transform
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.outputs import FrameScores, NodeOutputs, read_outputs, RunNotes
from moss_perception.evaluation.recorded import evaluate_recorded
from moss_perception.evaluation.verification import compare
from node_outputs import FRAME_ID, OutputsWriter, rows_of
import numpy as np
import pytest
from rewritten import rewrite

S = 10**9
START_NS = 1_700_000_000 * S
STEP_NS = S // 10
HERE, THERE = (0.1, 0.2, 0.5, 0.3), (0.3, 0.2, 0.5, 0.3)
FRAMES, DECISION = 8, 5
BASE = '0.1 -0.2 0.6 0.8 0.36 -0.48 0.0'
DIAGNOSTICS = {'frames': str(FRAMES), 'scored': '6', 'missing': '2', 'resets/gap': '1',
               'refused/step': '3', 'dropped': '0', 'inference_p95_ms': '8.0',
               'age_p50_ms': '20.0', 'topic': '/image/compressed'}


def at(index):
    return START_NS + index * STEP_NS


@pytest.fixture
def record(tmp_path):
    """Return a function that writes one attempt with its scores; two grasps that move."""
    def write(name='bag', notes=None, outcome=None, selected=THERE, swapped=False, images=True,
              scored=range(2, FRAMES), processed=True, diagnostics=DIAGNOSTICS, reasons=None):
        run = {} if notes is None else {'moss_perception.run': notes.text()}
        with RecordingWriter(tmp_path / name, notes=run) as writer:
            outputs = OutputsWriter(writer)
            for index in range(FRAMES):
                moved = np.array([HERE, THERE]) + (0.01 * (index - DECISION), 0, 0, 0)
                writer.candidates(at(index), moved)
                if images:
                    writer.image(at(index), b'never decoded')
                if index in scored:
                    shown = moved[::-1] if swapped else moved
                    outputs.scores(at(index), rows_of(
                        shown, (index / 100, index / 10), at(index), 0.5 + index / 100, reasons))
                if processed:
                    outputs.processed(at(index), 'scored' if index > 1 else 'stored')
            if selected is not None:
                writer.selected(at(DECISION), np.array(selected))
            if diagnostics:
                outputs.diagnostics(at(FRAMES), **diagnostics)
            writer.outcome('over', **{
                'attempt': 1, 'start_ns': at(0), 'decision_ns': at(DECISION), 'end_ns': at(7),
                'success': True, 'domain': 'real', 'motion': 'slide', 'object': 'box',
                'candidate': 1, **(outcome or {})})
        return tmp_path / name
    return write


def test_an_attempt_has_the_score_of_the_candidate_that_its_outcome_names(record):
    found, = evaluate_recorded(record()).attempts
    assert (found.source, found.scored_ns) == ('executed', at(DECISION))
    assert (found.score, found.uncertainty) == (np.float32(0.5), np.float32(0.05))
    np.testing.assert_allclose(found.times_s, np.arange(-3, 3) / 10)
    np.testing.assert_array_equal(np.isfinite(found.scores), [0, 0, 0, 1, 0, 0])


def test_the_recorded_pose_decides_where_an_index_says_otherwise(record):
    found, = evaluate_recorded(record(selected=HERE, outcome={'candidate': 1})).attempts
    assert (found.source, found.score) == ('nearest', np.float32(0.05))


def test_without_a_recorded_selection_the_index_counts_at_the_decision(record):
    found, = evaluate_recorded(record(selected=None)).attempts
    assert (found.source, found.score) == ('executed', np.float32(0.5))


def test_scores_of_other_candidates_do_not_count_for_an_index(record):
    # The decision's frame has no scores: those before it are of candidates elsewhere.
    found, = evaluate_recorded(record(scored=[2, 3, 4, 6, 7])).attempts
    assert (found.source, found.score) == ('default', np.float32(0.54))


def test_without_an_index_the_nearest_candidate_counts_and_is_said_so(record):
    record_ = evaluate_recorded(record(outcome={'candidate': None}))
    found, = record_.attempts
    assert (found.source, found.score) == ('nearest', np.float32(0.5))
    assert any(x.startswith('1 attempts have the score of the candidate nearest')
               for x in record_.notes)


@pytest.mark.parametrize(('of_node', 'given', 'source'), [
    ({}, None, 'default'), ({'candidates_transform': BASE}, None, 'nearest'),
    ({}, CameraSetup.of(candidates_transform=BASE), 'nearest'),
    ({'candidates_transform': BASE, 'candidates_frame': 'tool0'}, None, 'default')])
def test_an_executed_grasp_in_base_link_is_placed_as_the_node_or_the_user_says(
        record, tmp_path, of_node, given, source):
    base = parse_transform(BASE).inverse()

    def change(topic, kind, ns, message):
        if topic in ('/grasp_candidates', '/selected_grasp'):
            message.header.frame_id = 'base_link'
            for pose in getattr(message, 'poses', None) or [message.pose]:
                place, turn = pose.position, pose.orientation
                place.x, place.y, place.z = base.points(np.array([[place.x, place.y, place.z]]))[0]
                turn.x, turn.y, turn.z, turn.w = base.orientations(
                    np.array([[turn.x, turn.y, turn.z, turn.w]]))[0]
        yield topic, kind, ns, message
    bag = rewrite(record(outcome={'candidate': None}, diagnostics={**DIAGNOSTICS, **of_node}),
                  tmp_path / 'robot', change)
    record_ = evaluate_recorded(bag, setup=given)
    found, = record_.attempts
    score = np.float32(0.5 if source == 'nearest' else 0.55)
    assert (found.source, found.score) == (source, score)
    assert any('base_link' in note for note in record_.notes) == (source == 'default')


def test_a_calibration_in_a_file_draws_grasps_in_the_frame_that_the_node_knew(record, tmp_path):
    path = write_calibration(tmp_path / 'cal.yaml', (40, 40), 20.0, ())
    bag = record(diagnostics={**DIAGNOSTICS, 'candidates_transform': '0 0 0 0 0 0 1'})
    for given, drawn in ((None, False), (CameraSetup.of(calibration=path), True)):
        found, = evaluate_recorded(bag, setup=given).attempts
        assert np.isfinite(found.fingers).all() and bool(found.fingers.size) == drawn
    moved = rewrite(bag, tmp_path / 'robot', _in_base)
    found, = evaluate_recorded(moved, setup=CameraSetup.of(calibration=path)).attempts
    assert found.source != 'default' and found.fingers.size
    outputs = read_outputs(bag)
    base = outputs.setup.candidates_transform
    for given in (None, CameraSetup.of(calibration=path)):
        assert outputs.executed_setup(given).candidates_transform.numbers == base.numbers
    assert outputs.executed_setup(CameraSetup.of(rectified='true')).candidates_transform is None


def test_grasps_are_drawn_as_wide_as_the_gripper_of_the_nodes_model(record, tmp_path):
    setup = CameraSetup.of(calibration=write_calibration(
        tmp_path / 'cal.yaml', (40, 40), 20.0, ()))
    widths = []
    for name, values in (('a', {}), ('b', {'gripper_half_width': '0.08'})):
        found, = evaluate_recorded(record(name, diagnostics={**DIAGNOSTICS, **values}),
                                   setup=setup).attempts
        widths.append(np.linalg.norm(found.fingers[0] - found.fingers[1]))
    assert widths[1] == pytest.approx(2 * widths[0])


def _in_base(topic, kind, ns, message):
    """Name the frame of the robot's base, without moving a grasp."""
    if topic in ('/grasp_candidates', '/selected_grasp'):
        message.header.frame_id = 'base_link'
    yield topic, kind, ns, message


def test_the_same_place_in_another_orientation_is_not_the_executed_grasp(record):
    turned = (*THERE[:3], THERE[3] + 0.5)
    found, = evaluate_recorded(record(outcome={'candidate': None}, selected=turned)).attempts
    assert found.source == 'default'


def test_what_was_not_executed_is_counted_apart_and_has_no_score(record):
    record_ = evaluate_recorded(record(
        selected=None, outcome={'executed': False, 'success': False, 'candidate': None}))
    found, = record_.attempts
    assert not found.executed and found.source == 'none' and np.isnan(found.score)
    assert any(x.startswith('not_executed: in 1 of 1') for x in record_.notes)


@pytest.mark.parametrize('reason, source', [
    (ScoreReason.NO_CALIBRATION, 'default'), (ScoreReason.OUTSIDE_IMAGE, 'executed')])
def test_a_grasp_without_a_place_in_the_image_is_scored_by_the_default_point(
        record, reason, source):
    reasons = np.array([ScoreReason.SCORED, reason])
    assert evaluate_recorded(record(reasons=reasons)).attempts[0].source == source


def test_the_record_counts_what_was_received_and_what_diagnostics_say(record):
    found = evaluate_recorded(record())
    assert (found.frames, found.not_arrived, found.domain) == (FRAMES, 0, 'real')
    assert found.by_status == {'scored': 6, 'stored': 2, 'skipped': 0, 'refused': 0}
    assert (found.missing, found.resets, found.refused) == (2, {'gap': 1}, {'step': 3})
    assert (found.diagnostics['inference_p95_ms'], found.diagnostics['age_p50_ms']) == (8, 20)
    assert (found.pace, found.closed_loop) == ('live', False)


def test_inputs_are_those_of_the_recording_that_was_played(record, tmp_path):
    timing = tmp_path / 'timing.csv'
    timing.write_text(f'stamp_ns,publish_monotonic_ns\n{at(3)},{at(3) - 5 * 10**6}\n')
    run = RunNotes('2x', played=str(record('source')), timing_log=str(timing),
                   clock_offset_ns=1000)
    with RecordingWriter(tmp_path / 'run', notes={'moss_perception.run': run.text()},
                         topics=()) as writer:
        outputs = OutputsWriter(writer)
        for index in range(1, FRAMES):
            outputs.processed(at(index), 'scored' if index > 2 else 'stored')
            if index > 2:
                outputs.scores(at(index), rows_of([HERE, THERE], (0.2, 0.9), at(index)))
        outputs.diagnostics(at(FRAMES), **DIAGNOSTICS)
    found = evaluate_recorded(tmp_path / 'run')
    assert (found.path, found.pace) == (str(tmp_path / 'source'), '2x')
    assert (found.frames, found.not_arrived) == (FRAMES, 1)
    assert 'played at 2x: 1 of 8 frames did not arrive' in found.notes
    assert found.attempts[0].score == np.float32(0.9)
    np.testing.assert_allclose(found.latency_ms, [5.0])
    # Stamps of a recording are old: their age tells nothing.
    assert np.isnan(found.diagnostics['age_p50_ms'])


def test_a_run_may_be_recorded_without_images_and_by_any_recorder(record):
    found = evaluate_recorded(record(images=False))
    assert (found.image_topic, found.frames) == ('', FRAMES) and found.attempts[0].score > 0
    bare = evaluate_recorded(record('bare', processed=False, diagnostics=None))
    assert bare.by_status['scored'] == 6 and bare.not_arrived == 2
    assert any('no ~/processed' in x for x in bare.notes)
    assert any('no diagnostics' in x for x in bare.notes)
    assert bare.attempts[0].score == found.attempts[0].score


def test_a_recorder_that_was_there_from_the_start_has_to_have_all_scores(record):
    scored = [2, 3, 5, 6, 7]
    with pytest.raises(MossError, match='1 of 6 scores were not recorded: expected all'):
        evaluate_recorded(record(notes=RunNotes('1x', complete=True), scored=scored))
    assert '1 of 6 scores were not recorded' in evaluate_recorded(
        record('late', scored=scored)).notes
    # What was scored before another recorder began is not missed, nor a live camera's newest.
    assert not any('not recorded' in x for x in evaluate_recorded(
        record('later', scored=[4, 5, 6, 7])).notes)
    evaluate_recorded(record('on', notes=RunNotes(complete=True), scored=range(2, 7)))


def test_scores_that_are_not_there_or_of_an_older_node_are_named(record, tmp_path):
    with pytest.raises(BagError, match='no recorded scores: expected a topic of grasp_predictor'):
        evaluate_recorded(record(scored=()))
    with pytest.raises(BagError, match='no scores on /typo: expected one of /grasp_predictor'):
        evaluate_recorded(record('other'), scores_topic='typo')


# ---- beside a replay


def outputs_of(*frames):
    return NodeOutputs([FrameScores(at(n), FRAME_ID, 0, GraspScores.of(
        rows_of([HERE, THERE], (n / 10, n / 20), at(n)))) for n in frames], [])


def replayed(outputs):
    return {frame.stamp_ns: frame.scores for frame in outputs.scores}


def test_equal_scores_agree_bit_for_bit():
    outputs = outputs_of(2, 3, 4)
    found = compare(outputs, replayed(outputs))
    assert found.agrees and found.equal == 3 and found.largest == 0.0
    assert 'bit for bit' in found.line()


def test_the_last_bit_of_one_score_is_seen():
    outputs = outputs_of(2, 3, 4)
    other = replayed(outputs)
    rows = other[at(3)].candidates.copy()
    rows['score'][1] = np.nextafter(rows['score'][1], np.float32(1))
    found = compare(outputs, other | {at(3): replace(other[at(3)], candidates=rows)})
    assert not found.agrees and found.equal == 2 and 0 < found.largest < 1e-7
    assert 'DIFFER' in found.line()


def test_a_frame_that_only_one_way_scored_is_seen():
    outputs = outputs_of(2, 3, 4)
    other = replayed(outputs)
    assert not compare(outputs, {k: v for k, v in other.items() if k != at(2)}).agrees
    assert not compare(outputs, other | {at(8): other[at(2)]}).agrees


def test_candidates_that_came_too_late_are_told_apart():
    outputs = outputs_of(2, 3, 4)
    other = replayed(outputs)
    rows = other[at(2)].candidates.copy()
    rows['x'] += 1
    other[at(2)] = replace(other[at(2)], candidates=rows)
    found = compare(outputs, other)
    assert found.agrees and (found.equal, found.other_candidates) == (2, 1)
    assert '1 of them with candidates that arrived earlier or later' in found.line()


def test_outputs_are_read_with_the_notes_of_their_run(record):
    notes = RunNotes('lock step', True, '', '', 500, True, True)
    found = read_outputs(record(notes=notes))
    assert found.run == notes and found.newest['missing'] == '2'
    assert found.scores[0].received_ns == at(2) + 1000 - 500
