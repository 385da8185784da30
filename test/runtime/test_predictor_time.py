"""Time as an input: intervals that add up to the true time, and the lead time of each grasp."""

from frames import CAMERA, candidates, frame, PERIOD_NS, push_all, START_NS, WINDOW
from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.core.frames import Candidates
from moss_perception.core.lead_times import LeadTimes
from moss_perception.runtime.predictor import Predictor, Sample
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from timed import expected_score, timed_network

PLACES = [[0.0, 0.0, 0.5], [0.02, 0.0, 0.5], [3.0, 0.0, 0.5], [0.0, 0.02, 0.6]]


@pytest.fixture(scope='module')
def timed():
    """Return an engine of a model with time inputs."""
    return TorchEngine(timed_network(), threads=1)


@pytest.fixture
def predictor(timed):
    """Return a predictor with a camera."""
    predictor = Predictor(timed)
    predictor.set_camera(CAMERA)
    return predictor


def lead_times(k, values, frame_id='camera'):
    return LeadTimes(frame(k).stamp_ns, frame_id, np.array(values, float))


def watch_intervals(predictor, monkeypatch):
    """Return the list that fills with each step's interval: None for a repeat."""
    intervals, step = [], predictor.engine.step

    def stepped(observation, *others):
        intervals.append(None if observation is None else float(observation['interval'][0]))
        return step(observation, *others)
    monkeypatch.setattr(predictor.engine, 'step', stepped)
    return intervals


def at(stamp_ns):
    return frame(0, stamp_ns=int(stamp_ns))


def test_the_first_sample_has_no_interval_and_others_that_of_their_stamps(
        predictor, monkeypatch):
    intervals = watch_intervals(predictor, monkeypatch)
    push_all(predictor, [at(START_NS + ms * 10**6) for ms in (0, 110, 190, 300)])
    assert intervals == pytest.approx([0, 0.11, 0.08, 0.11])
    predictor.reset()
    push_all(predictor, [at(START_NS + ms * 10**6) for ms in (400, 500)])
    assert intervals[4:] == pytest.approx([0, 0.1])


def test_repeats_take_a_period_and_the_rest_is_the_interval_after_them(predictor, monkeypatch):
    intervals = watch_intervals(predictor, monkeypatch)
    # Samples 2 and 3 are lost; sample 4 comes 30 ms late.
    push_all(predictor, [at(START_NS + ms * 10**6) for ms in (0, 110, 430)])
    assert intervals[2:4] == [None, None]
    assert intervals[4] == pytest.approx(0.43 - 0.11 - 0.2)


@pytest.mark.parametrize('seed', range(8))
def test_with_jitter_and_lost_frames_the_intervals_add_up_and_are_above_0(
        timed, monkeypatch, seed):
    predictor = Predictor(timed, max_gap_s=5)
    intervals = watch_intervals(predictor, monkeypatch)
    random = np.random.default_rng(seed)
    # A camera of three times the rate, some of whose frames come late or not at all.
    times = np.arange(300) * PERIOD_NS // 3 + random.integers(0, PERIOD_NS, 300)
    stamps = START_NS + np.sort(times[random.random(300) > 0.6])
    samples = []
    for stamp_ns in stamps:
        admitted = predictor.admit(at(stamp_ns))
        if not isinstance(admitted, Sample):
            continue
        # Some samples wait too long, as on a busy machine.
        if samples and random.random() < 0.2:
            predictor.drop(admitted)
            continue
        before = len(intervals)
        predictor.advance(admitted)
        samples.append(stamp_ns)
        taken = [0.1 if one is None else one for one in intervals[before:]]
        if len(samples) > 1:
            assert min(taken) > 0
            assert sum(taken) == pytest.approx((samples[-1] - samples[-2]) / 1e9, abs=1e-6)
    assert None in intervals and predictor.counters.dropped > 5
    assert not predictor.counters.resets


def test_the_earliest_sample_after_the_latest_has_an_interval_above_0(predictor, monkeypatch):
    intervals = watch_intervals(predictor, monkeypatch)
    last_of_1 = START_NS + PERIOD_NS + 3 * PERIOD_NS // 4 - 1
    push_all(predictor, [at(START_NS), at(last_of_1), at(last_of_1), at(last_of_1 + 1)])
    assert len(intervals) == 3 and 0 < intervals[2] < 1e-8


def test_the_interval_after_more_repeats_than_a_window_has_is_that_of_its_sample(
        timed, monkeypatch):
    predictor = Predictor(timed, max_gap_s=60)
    intervals = watch_intervals(predictor, monkeypatch)
    push_all(predictor, [at(START_NS), at(START_NS + 40 * PERIOD_NS + 20_000_000)])
    assert intervals[1:-1] == [None] * WINDOW
    assert intervals[-1] == pytest.approx(0.12)


def test_the_score_follows_the_intervals(predictor):
    frames = [at(START_NS + k * PERIOD_NS) for k in range(WINDOW)]
    late = at(START_NS + WINDOW * PERIOD_NS + 50_000_000)
    *_, steady, slow = push_all(predictor, [*frames, late])
    assert steady.score == pytest.approx(expected_score(0.5), abs=1e-6)
    assert slow.score == pytest.approx(expected_score(0.5, 0.15, 0.1), abs=1e-6)


def test_a_repeat_has_taken_a_period_for_the_model_too(predictor):
    frames = [at(START_NS + k * PERIOD_NS) for k in range(WINDOW)]
    after = at(START_NS + (WINDOW + 1) * PERIOD_NS + 30_000_000)
    found = push_all(predictor, [*frames, after])[-1]
    assert found.missing_in_window == 1
    assert found.score == pytest.approx(expected_score(0.5, 0.13, 0.1), abs=1e-6)


def test_a_candidates_lead_time_wins_over_the_streams_and_that_over_the_default(predictor):
    frames = [frame(k) for k in range(WINDOW + 3)]
    predictor.set_candidates(candidates(0, PLACES))
    default = push_all(predictor, frames[:WINDOW])[-1]
    predictor.set_lead_time(0.625)
    stream = predictor.push(frames[WINDOW])
    own = np.array([0.25, 0.5, 0.75, 0.375])
    predictor.set_lead_times(lead_times(0, own))
    joined = predictor.push(frames[WINDOW + 1])
    predictor.set_lead_time(None)
    last = predictor.push(frames[WINDOW + 2])
    seen = [0, 1, 3]
    assert default.scores[seen] == pytest.approx(expected_score([0.5] * 3), abs=1e-6)
    assert stream.scores[seen] == pytest.approx(expected_score([0.625] * 3), abs=1e-6)
    assert joined.scores[seen] == pytest.approx(expected_score(own[seen]), abs=1e-6)
    assert np.isnan(joined.scores[2])
    # The default grasp has none of its own.
    assert joined.score == pytest.approx(expected_score(0.625), abs=1e-6)
    assert (joined.lead_times.tolist(), joined.lead_time) == (own.tolist(), 0.625)
    assert (last.lead_times.tolist(), last.lead_time) == (own.tolist(), 0.5)
    assert predictor.counters.clamped_lead_times == 0


def test_lead_times_beyond_the_trained_range_are_clamped_and_counted(predictor):
    predictor.set_lead_time(2.0)
    predictor.set_candidates(Candidates.from_yaws(
        START_NS, 'camera', np.array(PLACES), np.zeros(4), np.array([0, 0.5, 0.5, 9])))
    found = push_all(predictor, [frame(k) for k in range(WINDOW + 1)])[-1]
    assert found.lead_times.tolist() == [0.25, 0.5, 0.5, 0.75]
    assert found.lead_time == predictor.lead_time_s == 0.75
    assert found.clamped_lead_times == 3 and predictor.counters.clamped_lead_times == 6
    assert found.scores[0] == pytest.approx(expected_score(0.25), abs=1e-6)
    assert found.scores[3] == pytest.approx(expected_score(0.75), abs=1e-6)


def test_rounding_to_float32_is_no_clamping(predictor):
    predictor.set_candidates(candidates(0, PLACES[:1]))
    predictor.set_lead_times(lead_times(0, [float(np.float32(0.75)) + 1e-8]))
    found = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert found.clamped_lead_times == 0


def test_lead_times_that_come_first_wait_for_their_candidates(predictor):
    predictor.set_lead_times(lead_times(WINDOW - 1, [0.75]))
    push_all(predictor, [frame(k) for k in range(WINDOW - 1)])
    predictor.set_candidates(candidates(WINDOW - 1, PLACES[:1]))
    found = predictor.push(frame(WINDOW - 1))
    assert found.lead_times.tolist() == [0.75] and not predictor.take_problems()


def test_a_frame_is_not_delayed_for_lead_times(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW - 1)])
    predictor.set_candidates(candidates(WINDOW - 1, PLACES[:1]))
    before = predictor.push(frame(WINDOW - 1))
    predictor.set_lead_times(lead_times(WINDOW - 1, [0.75]))
    after = predictor.push(frame(WINDOW))
    assert (before.lead_times.tolist(), after.lead_times.tolist()) == ([0.5], [0.75])


def test_candidates_that_come_after_their_frame_still_meet_their_lead_times(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW - 1)])
    predictor.set_lead_times(lead_times(WINDOW - 1, [0.75]))
    predictor.push(frame(WINDOW - 1))
    predictor.set_candidates(candidates(WINDOW - 1, PLACES[:1]))
    assert predictor.push(frame(WINDOW)).lead_times.tolist() == [0.75]
    assert not predictor.take_problems()


def test_lead_times_that_came_before_a_frame_still_meet_their_candidates(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW - 1)])
    # The planner took longer than lead times wait.
    predictor.set_lead_times(lead_times(2, [0.75]))
    predictor.push(frame(WINDOW - 1))
    predictor.set_candidates(candidates(2, PLACES[:1]))
    assert predictor.push(frame(WINDOW)).lead_times.tolist() == [0.75]
    assert not predictor.take_problems()


def test_candidates_that_come_again_keep_their_lead_times_until_others_come(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW - 1)])
    predictor.set_candidates(candidates(0, PLACES[:2]))
    predictor.set_lead_times(lead_times(0, [0.75, 0.25]))
    predictor.set_candidates(candidates(0, PLACES[:2]))
    assert predictor.push(frame(WINDOW - 1)).lead_times.tolist() == [0.75, 0.25]
    predictor.set_lead_times(lead_times(0, [0.5, 0.25]))
    predictor.set_candidates(candidates(0, PLACES[:2]))
    assert predictor.push(frame(WINDOW)).lead_times.tolist() == [0.5, 0.25]
    # Another number of them is another set.
    predictor.set_candidates(candidates(0, PLACES[:1]))
    assert predictor.push(frame(WINDOW + 1)).lead_times.tolist() == [0.5]
    assert not predictor.take_problems()


def test_lead_times_without_candidates_are_given_up_after_half_a_second_and_said(predictor):
    predictor.set_lead_times(lead_times(3, [0.75]))
    push_all(predictor, [frame(k) for k in range(9)])
    assert not predictor.take_problems()
    predictor.push(frame(9))
    problem, = predictor.take_problems()
    assert problem.startswith('lead times stamped 10.300000000 match no candidates: expected')
    assert predictor.counters.refused_lead_times == 1 and not predictor.take_problems()


@pytest.mark.parametrize('first', ['candidates', 'lead times'])
@pytest.mark.parametrize(('given', 'words'), [
    (lead_times(0, [0.5] * 3), '3 lead times came for 4 candidates: expected one for each'),
    (lead_times(0, [0.5] * 4, 'base_link'),
     "lead times have the frame 'base_link': expected 'camera', the frame of their candidates")])
def test_lead_times_that_do_not_fit_are_said_and_the_streams_is_used(
        predictor, first, given, words):
    calls = [lambda: predictor.set_candidates(candidates(0, PLACES)),
             lambda: predictor.set_lead_times(given)]
    for call in calls if first == 'candidates' else reversed(calls):
        call()
    found = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert predictor.take_problems() == [words]
    assert found.lead_times.tolist() == [0.5] * 4
    assert predictor.counters.refused_lead_times == 1


@pytest.mark.parametrize('value', [-0.1, float('nan'), float('inf')])
def test_impossible_lead_times_are_refused(timed, predictor, value):
    for call in (lambda: predictor.set_lead_time(value),
                 lambda: Predictor(timed, lead_time_s=value)):
        with pytest.raises(ConfigError, match=rf'lead time {value:g} s is not allowed: expected'):
            call()
    with pytest.raises(CandidateError, match=rf'lead time {value:g} s of candidate 1 is not'):
        lead_times(0, [0.5, value])
    with pytest.raises(CandidateError, match=rf'lead time {value:g} s of candidate 0 is not'):
        Candidates.from_yaws(1, 'camera', np.zeros((1, 3)), np.zeros(1), np.array([value]))


def test_as_many_lead_times_as_candidates_are_expected():
    with pytest.raises(CandidateError, match=r'shape \(2,\): expected \(1,\), one for each'):
        Candidates.from_yaws(1, 'camera', np.zeros((1, 3)), np.zeros(1), np.zeros(2))


def test_a_checkpoint_without_time_inputs_takes_no_lead_time(engine):
    words = r"lead time 0.5 s is not allowed: the checkpoint of model 'moss_grasp' has no time"
    with pytest.raises(ConfigError, match=words):
        Predictor(engine, lead_time_s=0.5)
    predictor = Predictor(engine)
    with pytest.raises(ConfigError, match=words):
        predictor.set_lead_time(0.5)
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, PLACES))
    plain = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    predictor.reset()
    predictor.set_lead_times(lead_times(0, [0.5] * 4))
    found = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    np.testing.assert_array_equal(found.scores, plain.scores)
    assert found.lead_times is None and np.isnan(found.lead_time)
    assert np.isnan(predictor.lead_time_s)


def test_a_watched_grasp_has_the_streams_lead_time_unless_it_is_a_candidate(predictor):
    predictor.set_candidates(candidates(0, PLACES[:1]))
    predictor.set_lead_times(lead_times(0, [0.75]))
    predictor.watch(candidates(0, PLACES[:2]))
    watched = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].watched
    assert watched.listed.tolist() == [True, False]
    assert watched.scores == pytest.approx(expected_score([0.75, 0.5]), abs=1e-6)


def test_of_an_executed_grasp_the_lead_time_that_is_left_counts(predictor):
    predictor.set_lead_time(0.625)
    predictor.set_candidates(candidates(0, PLACES[:1]))
    predictor.watch(candidates(0, PLACES[:2]), np.full(2, frame(WINDOW).stamp_ns))
    frames = push_all(predictor, [frame(k) for k in range(WINDOW + 7)])[WINDOW - 1:]
    # Before the decision and at it the whole lead time is left; training began at 0.25 s.
    left = [0.625, 0.625, 0.525, 0.425, 0.325, 0.25, 0.25, 0.25]
    for found, left_s in zip(frames, left, strict=True):
        assert found.watched.scores == pytest.approx(np.full(2, expected_score(left_s)), abs=1e-6)
        assert found.watched.listed.tolist() == [True, False]
        # A candidate can still be started with its whole lead time.
        assert found.scores == pytest.approx(expected_score([0.625]), abs=1e-6)


def test_an_executed_grasp_can_have_a_lead_time_of_its_own(predictor):
    predictor.watch(Candidates.from_yaws(1, 'camera', np.array(PLACES[:2]), np.zeros(2),
                                         np.array([0.75, 0.5])),
                    np.array([frame(WINDOW - 2).stamp_ns, frame(WINDOW).stamp_ns]))
    watched = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].watched
    assert watched.scores == pytest.approx(expected_score([0.65, 0.5]), abs=1e-6)


def test_what_is_executed_changes_no_score_without_time_inputs(engine):
    found = []
    for decided_ns in (None, np.array([frame(3).stamp_ns])):
        predictor = Predictor(engine)
        predictor.set_camera(CAMERA)
        predictor.set_candidates(candidates(0, PLACES[:1]))
        predictor.watch(candidates(0, PLACES[:1]), decided_ns)
        found.append(push_all(predictor, [frame(k) for k in range(WINDOW)])[-1])
    assert found[0].watched.scores.tolist() == found[1].watched.scores.tolist()
    assert found[1].watched.rows.tolist() == [1]


def test_the_cost_of_a_step_is_measured_with_time_inputs(timed):
    timed.measure()
    assert len(timed.costs) == 1 and timed.costs[0] > 0
