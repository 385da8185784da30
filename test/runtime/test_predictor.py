"""The window, line by line of the contract, on the network that the node runs."""

from frames import CAMERA, candidates, frame, PERIOD_NS, picture, push_all, START_NS, WINDOW
from moss_perception.core.image_messages import RawImage
from moss_perception.runtime.predictor import FrameResult, Predictor, Sample
import numpy as np
import pytest
from tiny import tiny_engine, tiny_network
import torch


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
    _check_stream_against_clip(engine, tiny_network())


def test_a_stream_over_finer_maps_equals_the_clip():
    _check_stream_against_clip(tiny_engine(map_stride=4), tiny_network(map_stride=4))


def _check_stream_against_clip(engine, network):
    from moss_perception.models.layers.reading import ensemble_probability
    frames = [frame(k) for k in range(WINDOW + 5)]
    predictor = Predictor(engine)
    predictor.set_camera(CAMERA)
    predictor.set_candidates(candidates(0, [[0.05, 0.02, 0.5]], [0.3]))
    streamed = push_all(predictor, frames)[-1]
    from moss_perception.training.grasps import encode_candidates
    grasps = encode_candidates(np.array([[0.05, 0.02, 0.5, 0.3]]), CAMERA,
                               np.array([1.0, 0.0, 0.0]), engine.config)
    clip = torch.from_numpy(np.stack([f.image for f in frames[-WINDOW:]]))
    with torch.inference_mode():
        logits, _ = network(clip[None], torch.from_numpy(grasps)[None])
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
    result = predictor.admit(between)
    assert isinstance(result, FrameResult)
    assert (result.status, result.reason) == ('skipped', 'between_samples')


def test_a_sample_of_before_a_reset_is_stale(predictor):
    sample = predictor.admit(frame(0))
    assert isinstance(sample, Sample)
    predictor.reset()
    result = predictor.advance(sample)
    assert (result.status, result.reason) == ('skipped', 'stale')


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


def test_the_score_is_that_of_the_level_in_use_whichever_was_before(engine):
    one, three, changing = Predictor(engine), Predictor(engine), Predictor(engine)
    one.set_level(1)
    wanted = {0: 3, 20: 1, 30: 3}
    in_use = []
    for k in range(60):
        if k in wanted:
            changing.set_level(wanted[k])
        scores = {1: one.push(frame(k)), 3: three.push(frame(k))}
        prediction = changing.push(frame(k))
        used = changing.level
        if prediction is not None:
            in_use.append(used)
            assert prediction.score == pytest.approx(scores[used].score, abs=1e-6)
            assert scores[1].score != scores[3].score
    # Order 3 warms up when it returns: two orders of four samples each, and three more for the
    # head.
    assert in_use == [3] * (20 - 15) + [1] * (30 - 20 + 11) + [3] * (60 - 30 - 11)


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


def test_a_level_that_is_set_before_the_first_frame_holds_from_it_on(engine):
    predictor = Predictor(engine)
    predictor.set_level(2)
    predictor.push(frame(0))
    assert (predictor.target_level, predictor.level) == (2, 2)
