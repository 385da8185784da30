"""The window, line by line of the contract, on the network that the node runs."""

from dataclasses import replace

from moss_perception.errors import CandidateError, ConfigError, FrameError
from moss_perception.grasp.engine import ENGINES, load_engine
from moss_perception.grasp.frame import Camera, Candidates, Frame
from moss_perception.grasp.predictor import Outcome, Predictor, Sample
from moss_perception.imaging import RawImage
import numpy as np
import pytest
from tiny import tiny_engine, tiny_network
import torch

PERIOD_NS = 100_000_000
START_NS = 10_000_000_000
WINDOW = 16
CAMERA = Camera(32, 32, np.array([[40.0, 0, 15.5], [0, 40, 15.5], [0, 0, 1]]))


@pytest.fixture(scope='module', params=ENGINES)
def engine(request, tiny_checkpoint):
    return load_engine(str(tiny_checkpoint), engine=request.param, threads=1)


@pytest.fixture
def predictor(engine):
    return Predictor(engine)


def picture(seed, size=32):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def frame(k, seed=None, **changes):
    values = {'stamp_ns': START_NS + k * PERIOD_NS, 'frame_id': 'camera',
              'image': picture(k if seed is None else seed), **changes}
    return Frame(**values)


def candidates(k, positions, yaws=None, frame_id='camera'):
    positions = np.array(positions, float).reshape(-1, 3)
    yaws = np.zeros(len(positions)) if yaws is None else np.array(yaws, float)
    return Candidates(START_NS + k * PERIOD_NS, frame_id, positions, yaws)


def push_all(predictor, frames):
    return [predictor.push(f) for f in frames]


def test_nothing_before_the_window_is_full(predictor):
    predictions = push_all(predictor, [frame(k) for k in range(WINDOW + 2)])
    assert [p is not None for p in predictions] == [False] * (WINDOW - 1) + [True] * 3
    assert predictor.counters.stored == WINDOW - 1
    assert predictor.counters.scored == 3


def test_a_prediction_carries_the_newest_frames_stamp(predictor):
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert prediction.stamp_ns == START_NS + (WINDOW - 1) * PERIOD_NS
    assert prediction.frame_id == 'camera'
    assert 0 <= prediction.score <= 1
    assert 0 <= prediction.uncertainty <= 0.5
    assert prediction.motion_features.shape == (4, 4, 12)
    assert prediction.motion_features.dtype == np.float32


def test_streams_that_agree_on_the_window_get_the_same_score(engine):
    tail = [frame(k) for k in range(20, 20 + WINDOW)]
    one, other = Predictor(engine), Predictor(engine)
    push_all(one, [frame(k, seed=900 + k) for k in range(20)])
    first = push_all(one, tail)[-1]
    second = push_all(other, tail)[-1]
    assert first.score == second.score
    assert first.uncertainty == second.uncertainty
    np.testing.assert_array_equal(first.motion_features, second.motion_features)


def test_the_score_depends_on_the_oldest_sample_of_the_window(engine):
    one, other = Predictor(engine), Predictor(engine)
    first = push_all(one, [frame(k) for k in range(WINDOW)])[-1]
    second = push_all(other, [frame(0, seed=77), *(frame(k) for k in range(1, WINDOW))])[-1]
    assert first.score != second.score


@pytest.mark.parametrize('k', range(WINDOW))
def test_the_score_depends_on_every_sample_of_the_window(engine, k):
    frames = [frame(j) for j in range(WINDOW)]
    before = push_all(Predictor(engine), frames)[-1]
    frames[k] = frame(k, seed=500)
    assert push_all(Predictor(engine), frames)[-1].score != before.score


@pytest.mark.parametrize('window, length', [(18, 3), (20, 2), (20, 5), (32, 4)])
def test_windows_of_any_size_depend_on_each_of_their_samples_and_no_other(window, length):
    engine = tiny_engine(window_frames=window, orders=2, moss_window=(length, 3, 3))
    frames = [frame(k) for k in range(window + 4)]
    reference = push_all(Predictor(engine), frames)[-1].score
    for k, unchanged in enumerate(frames):
        changed = [*frames[:k], frame(k, seed=600), *frames[k + 1:]]
        score = push_all(Predictor(engine), changed)[-1].score
        assert (score == reference) == (k < 4), unchanged.stamp_ns


def test_a_stream_equals_the_clip(engine):
    from moss_perception.grasp.network import ensemble_probability
    frames = [frame(k) for k in range(WINDOW + 5)]
    predictor = Predictor(engine)
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[0.05, 0.02, 0.5]], [0.3]))
    streamed = push_all(predictor, frames)[-1]
    from moss_perception.training.dataset import encode_scene
    grasps = encode_scene(np.array([[0.05, 0.02, 0.5, 0.3]]), CAMERA.matrix, (32, 32),
                          np.array([1.0, 0.0, 0.0]), engine.config)
    clip = torch.from_numpy(np.stack([f.image for f in frames[-WINDOW:]]))
    with torch.inference_mode():
        logits, _ = tiny_network()(clip[None], torch.from_numpy(grasps)[None])
    # float32 sums in another order, through a network of about twenty layers.
    assert streamed.scores[0] == pytest.approx(ensemble_probability(logits)[0].item(), abs=1e-4)


def test_a_missing_sample_repeats_the_one_before(engine):
    gap, whole = Predictor(engine), Predictor(engine)
    with_gap = push_all(gap, [frame(k) for k in range(WINDOW) if k != 9])[-1]
    repeated = push_all(whole, [frame(k, seed=8 if k == 9 else k) for k in range(WINDOW)])[-1]
    assert with_gap.score == repeated.score
    assert (gap.counters.missing, with_gap.missing_in_window) == (1, 1)
    assert (whole.counters.missing, repeated.missing_in_window) == (0, 0)


def test_a_gap_above_max_gap_resets(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    assert predictor.push(frame(WINDOW - 1 + 5)) is not None  # 0.5 s, the limit itself
    assert predictor.push(frame(WINDOW - 1 + 11)) is None
    assert predictor.counters.resets == {'gap': 1}
    assert predictor.fill == 1


@pytest.mark.parametrize('following, reason', [
    (frame(3), 'stamp_backwards'), (frame(WINDOW, frame_id='other'), 'frame_id'),
    (frame(WINDOW, image=picture(0, 64)), 'resolution')])
def test_what_resets(predictor, following, reason):
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    assert predictor.push(following) is None
    assert predictor.counters.resets == {reason: 1}
    assert predictor.fill == 1


def test_reset_on_request_empties_the_window(predictor):
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    predictor.reset()
    assert predictor.push(frame(WINDOW)) is None
    assert predictor.counters.resets == {'requested': 1}


def test_after_a_reset_the_score_knows_nothing_of_before(engine):
    one, other = Predictor(engine), Predictor(engine)
    push_all(one, [frame(k, seed=300 + k) for k in range(40, 60)])
    assert (push_all(one, [frame(k) for k in range(WINDOW)])[-1].score
            == push_all(other, [frame(k) for k in range(WINDOW)])[-1].score)


def test_frames_between_samples_are_skipped_without_decoding(predictor):
    predictor.push(frame(0))
    between = frame(0, stamp_ns=START_NS + PERIOD_NS // 3, image=RawImage(
        data=b'\0' * 12, encoding='rgb8', height=2, width=2, step=6))
    outcome = predictor.admit(between)
    assert isinstance(outcome, Outcome)
    assert (outcome.kind, outcome.reason) == ('skipped', 'between_samples')


@pytest.mark.parametrize('image, reason', [
    (RawImage(data=b'\0' * 11, encoding='rgb8', height=2, width=2, step=6), 'size'),
    (RawImage(data=b'\0' * 8, encoding='rgb8', height=2, width=2, step=4), 'step'),
    (RawImage(data=b'\0' * 16, encoding='32FC1', height=2, width=2, step=8), 'encoding'),
    (np.zeros((4, 4), np.uint8), 'size')])
def test_malformed_frames_are_refused_and_the_stream_goes_on(predictor, image, reason):
    push_all(predictor, [frame(k) for k in range(4)])
    with pytest.raises(FrameError) as caught:
        predictor.push(frame(4, image=image))
    assert caught.value.reason == reason
    assert predictor.counters.refused == {reason: 1}
    predictor.push(frame(5))
    assert (predictor.counters.missing, predictor.fill) == (1, 6)


def test_a_sample_of_before_a_reset_is_stale(predictor):
    sample = predictor.admit(frame(0))
    assert isinstance(sample, Sample)
    predictor.reset()
    outcome = predictor.advance(sample)
    assert (outcome.kind, outcome.reason) == ('skipped', 'stale')


def test_a_dropped_sample_is_made_up_for(predictor):
    samples = [predictor.admit(frame(k)) for k in range(4)]
    predictor.advance(samples[0])
    predictor.drop(samples[1])
    predictor.advance(samples[2])
    predictor.advance(samples[3])
    assert (predictor.counters.dropped, predictor.counters.missing) == (1, 1)
    assert predictor.fill == 4


def test_every_frame_is_counted_once(predictor):
    push_all(predictor, [frame(k // 2, stamp_ns=START_NS + k * PERIOD_NS // 2)
                         for k in range(40)])
    counters = predictor.counters
    assert counters.frames == 40
    assert counters.scored + counters.stored + counters.skipped == 40
    assert counters.skipped == 20


def test_candidates_are_scored_in_order_and_nan_where_unseen(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [
        [0, 0, 0.5], [0, 0, -0.5], [0.1, -0.05, 0.6], [3, 0, 0.5], [np.nan, 0, 1]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).tolist() == [False, True, False, True, True]
    assert np.isnan(prediction.uncertainties).tolist() == [False, True, False, True, True]
    assert prediction.scores[0] != prediction.scores[2]
    np.testing.assert_allclose(prediction.pixels[0], [15.5, 15.5])
    np.testing.assert_allclose(prediction.pixels[2], [15.5 + 40 / 6, 15.5 - 40 / 12])


def test_two_grasps_at_one_point_can_differ_and_a_half_turn_does_not(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(
        0, [[0.02, 0.01, 0.5]] * 3 + [[0.024, 0.012, 0.6]], [0.2, 1.4, 0.2 + np.pi, 0.2]))
    scores = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].scores
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[2], abs=1e-5)  # cos and sin of pi are rounded
    assert scores[0] != scores[3]


def test_without_camera_info_only_the_default_grasp_point(predictor):
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    assert np.isnan(prediction.scores).all()
    assert np.isnan(prediction.default_point).all()
    assert np.isfinite(prediction.score)


def test_a_camera_of_another_size_is_not_used(predictor):
    predictor.set_camera(Camera(64, 64, CAMERA.matrix))
    predictor.set_candidates(candidates(0, [[0, 0, 0.5]]))
    assert np.isnan(push_all(predictor, [frame(k) for k in range(WINDOW)])[-1].scores).all()


def test_the_default_point_lies_where_the_camera_sees_it(predictor):
    predictor.set_camera(CAMERA)
    prediction = push_all(predictor, [frame(k) for k in range(WINDOW)])[-1]
    np.testing.assert_allclose(prediction.default_point, [0, 0, 0.6], atol=1e-12)


def test_candidates_hold_from_their_stamp_until_newer_ones(predictor):
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(WINDOW, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(WINDOW + 2, [[0, 0, 0.5], [0, 0, 0.6]]))
    predictor.set_candidates(candidates(WINDOW + 3, []))
    counts = [len(p.scores) for p in push_all(predictor, [frame(k) for k in range(WINDOW + 4)])
              if p is not None]
    assert counts == [0, 1, 1, 2, 0]


def test_candidates_in_another_frame_are_refused(predictor):
    predictor.push(frame(0))
    with pytest.raises(CandidateError, match="'base_link'.*'camera'"):
        predictor.set_candidates(candidates(0, [[0, 0, 1]], frame_id='base_link'))


def test_candidates_of_the_loop_before_do_not_hold_after_it(predictor):
    predictor.set_camera(CAMERA)
    push_all(predictor, [frame(k) for k in range(30, 34)])
    predictor.set_candidates(candidates(WINDOW - 1, [[0, 0, 0.5]]))
    predictor.set_candidates(candidates(33, [[0, 0, 0.5]] * 3))
    predictions = push_all(predictor, [frame(k) for k in range(WINDOW + 20)])
    assert {len(p.scores) for p in predictions if p is not None} == {0}


def test_whatever_orders_were_in_use_the_score_is_that_of_those_in_use_now(engine):
    one, three, changing = Predictor(engine), Predictor(engine), Predictor(engine)
    one.set_orders(1)
    wanted = {0: 3, 20: 1, 30: 3}
    in_use = []
    for k in range(60):
        if k in wanted:
            changing.set_orders(wanted[k])
        used = changing.order_in_use
        scores = {1: one.push(frame(k)), 3: three.push(frame(k))}
        prediction = changing.push(frame(k))
        if prediction is not None:
            in_use.append(used)
            assert prediction.score == pytest.approx(scores[used].score, abs=1e-6)
            assert scores[1].score != scores[3].score
    # A change comes into force after the step that follows it; order 3 then warms up: two orders
    # of four samples each, and three more for the head.
    assert in_use == [3] * (20 - 15 + 1) + [1] * (30 - 20 + 11) + [3] * (60 - 30 - 12)


def test_a_step_that_fails_leaves_no_half_stepped_window(engine, monkeypatch):
    predictor = Predictor(engine)
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    with monkeypatch.context() as patch:
        patch.setattr(engine, 'step', lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predictor.push(frame(WINDOW))
    assert predictor.push(frame(WINDOW + 1)) is None
    assert (predictor.fill, predictor.counters.resets) == (1, {'internal_error': 1})


def test_a_long_gap_within_max_gap_costs_no_more_than_a_window(engine):
    steps = []
    predictor = Predictor(engine, max_gap_s=60)
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    step = engine.step
    try:
        engine.step = lambda *args, **kwargs: steps.append(1) or step(*args, **kwargs)
        prediction = predictor.push(frame(WINDOW + 500))
    finally:
        del engine.step
    assert len(steps) == WINDOW + 1
    assert (predictor.counters.missing, prediction.missing_in_window) == (500, WINDOW - 1)


def test_orders_that_are_set_before_the_first_frame_hold_from_it_on(engine):
    predictor = Predictor(engine)
    predictor.set_orders(2)
    predictor.push(frame(0))
    assert (predictor.order_wanted, predictor.order_in_use) == (2, 2)


@pytest.mark.parametrize('spoilt', [
    {'scores': np.float32([np.nan])}, {'uncertainties': np.float32([np.inf])},
    {'motion_features': np.full((4, 4, 12), np.nan, np.float32)}, {'state_finite': False}],
    ids=lambda spoilt: next(iter(spoilt)))
def test_what_is_not_finite_is_refused_and_the_window_starts_anew(engine, monkeypatch, spoilt):
    predictor = Predictor(engine)
    push_all(predictor, [frame(k) for k in range(WINDOW + 2)])
    with monkeypatch.context() as patch:
        step = engine.step
        patch.setattr(engine, 'step', lambda *args, **kwargs: replace(
            step(*args, **kwargs), **spoilt))
        with pytest.raises(FrameError, match='NaN or infinite') as caught:
            predictor.push(frame(WINDOW + 2))
    assert caught.value.reason == 'not_finite'
    assert (predictor.counters.refused, predictor.counters.resets) == (
        {'not_finite': 1}, {'not_finite': 1})
    assert predictor.fill == 0
    later = push_all(predictor, [frame(k) for k in range(WINDOW + 3, 2 * WINDOW + 3)])
    assert [p is not None for p in later] == [False] * (WINDOW - 1) + [True]
    fresh = push_all(Predictor(engine), [frame(k) for k in range(WINDOW + 3, 2 * WINDOW + 3)])
    assert later[-1].score == fresh[-1].score


@pytest.mark.filterwarnings('ignore')
def test_a_repeat_that_is_not_finite_is_refused_with_the_frame_after_it(engine, monkeypatch):
    predictor = Predictor(engine)
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    step = engine.step
    monkeypatch.setattr(engine, 'step', lambda image, *args, **kwargs: replace(
        step(image, *args, **kwargs), state_finite=image is not None))
    with pytest.raises(FrameError, match='NaN or infinite'):
        predictor.push(frame(WINDOW + 1))
    assert predictor.push(frame(WINDOW + 2)) is None


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ['backbone.stages.0.0.weight', 'over_time.weight'])
def test_a_weight_that_is_nan_never_gives_a_score(name):
    engine = tiny_engine()
    with torch.no_grad():
        dict(engine.network.named_parameters())[name].view(-1)[0] = float('nan')
    predictor = Predictor(engine)
    for k in range(WINDOW + 2):
        with pytest.raises(FrameError, match='NaN or infinite'):
            predictor.push(frame(k))
    assert predictor.counters.refused == {'not_finite': WINDOW + 2}
    assert predictor.counters.scored == 0


def test_an_order_that_the_checkpoint_lacks_is_refused(predictor):
    with pytest.raises(ConfigError, match='order 4.*1 to 3'):
        predictor.set_orders(4)


def test_a_max_gap_below_the_sample_period_is_refused(engine):
    with pytest.raises(ConfigError, match=r'max_gap 0.1 s'):
        Predictor(engine, max_gap_s=0.1)
