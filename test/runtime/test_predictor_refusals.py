"""What a predictor refuses, and that the stream goes on afterwards."""

from dataclasses import replace
import zlib

import cv2
from frames import frame, push_all, raw_image, WINDOW
from moss_perception.core import png
from moss_perception.core.errors import ConfigError, FrameError
from moss_perception.core.image_messages import CompressedImage, ImageLimits, RawImage
from moss_perception.models.base import InputSpec
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from tiny import tiny_engine
import torch


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


def test_an_image_is_checked_once_on_its_way_to_the_network(predictor, monkeypatch):
    data = cv2.imencode('.png', np.zeros((32, 32, 3), np.uint8))[1].tobytes()
    checked, crc32 = [], zlib.crc32

    def count(chunk):
        checked.append(bytes(chunk[:4]))
        return crc32(chunk)
    monkeypatch.setattr(png.zlib, 'crc32', count)
    predictor.push(frame(0, image=CompressedImage(data, 'png')))
    assert predictor.fill == 1
    assert sorted(checked) == [b'IDAT', b'IEND', b'IHDR']


def test_a_jpeg_that_decodes_in_part_is_refused_and_counted(predictor):
    rng = np.random.default_rng(3)
    data = cv2.imencode('.jpg', rng.integers(0, 256, (96, 128, 3), np.uint8))[1].tobytes()
    push_all(predictor, [frame(0, image=CompressedImage(data))])
    middle = len(data) // 2
    with pytest.raises(FrameError, match='decodes in part'):
        predictor.push(frame(1, image=CompressedImage(data[:middle] + data[middle + 500:])))
    assert predictor.counters.refused == {'compressed': 1}
    predictor.push(frame(2, image=CompressedImage(data)))
    assert (predictor.counters.missing, predictor.fill) == (1, 3)


def test_an_image_beyond_the_limits_is_refused(engine):
    predictor = Predictor(engine, limits=ImageLimits(megapixels=0.01))
    with pytest.raises(FrameError, match='expected at most 0.01, the parameter max_megapixels'):
        predictor.push(frame(0, image=raw_image(np.zeros((101, 100, 3), np.uint8))))
    predictor.push(frame(1, image=raw_image(np.zeros((100, 100, 3), np.uint8))))
    assert (predictor.counters.refused, predictor.fill) == ({'size': 1}, 1)


def test_a_doubtful_picture_is_counted_and_taken(predictor):
    push_all(predictor, [frame(k, image=np.zeros((64, 64, 3), np.uint8)) for k in range(3)])
    push_all(predictor, [frame(3, image=np.full((64, 64, 3), 90, np.uint8))])
    before = predictor.counters.copy()
    rng = np.random.default_rng(5)
    push_all(predictor, [frame(4, image=rng.integers(0, 256, (64, 64, 3), np.uint8))])
    assert predictor.counters.doubtful == {'dark': 3, 'constant': 1} == before.doubtful
    assert predictor.fill == 5


def test_a_step_that_fails_leaves_no_half_stepped_window(engine, monkeypatch):
    predictor = Predictor(engine)
    push_all(predictor, [frame(k) for k in range(WINDOW)])
    with monkeypatch.context() as patch:
        patch.setattr(engine, 'step', lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predictor.push(frame(WINDOW))
    assert predictor.push(frame(WINDOW + 1)) is None
    assert (predictor.fill, predictor.counters.resets) == (1, {'internal_error': 1})


@pytest.mark.parametrize('spoilt', [
    {'scores': np.float32([np.nan])}, {'uncertainties': np.float32([np.inf])},
    {'motion_features': np.full((4, 4, 12), np.nan, np.float32)}, {'state_finite': False}],
    ids=lambda spoilt: next(iter(spoilt)))
def test_what_is_not_finite_is_refused_and_the_window_starts_anew(engine, monkeypatch, spoilt):
    predictor = Predictor(engine)
    push_all(predictor, [frame(k) for k in range(WINDOW + 2)])
    with monkeypatch.context() as patch:
        step = engine.step

        def spoiling(*args):
            result, state = step(*args)
            return replace(result, **spoilt), state
        patch.setattr(engine, 'step', spoiling)
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

    def spoiling(observation, *args):
        result, state = step(observation, *args)
        return replace(result, state_finite=observation is not None), state
    monkeypatch.setattr(engine, 'step', spoiling)
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


def test_a_level_that_the_checkpoint_lacks_is_refused(predictor):
    with pytest.raises(ConfigError, match="level number 4 of the budget .*: expected '1', '1,2'"):
        predictor.set_level(4)


def test_a_model_that_needs_more_than_an_image_is_refused(engine, monkeypatch):
    specs = engine.model.inputs | {'depth': InputSpec((32, 32))}
    monkeypatch.setattr(type(engine.model), 'inputs', specs)
    with pytest.raises(ConfigError, match=r"'moss_grasp' needs the inputs \['depth'\]: expected"):
        Predictor(engine)


def test_a_max_gap_below_the_sample_period_is_refused(engine):
    with pytest.raises(ConfigError, match=r'max_gap 0.1 s'):
        Predictor(engine, max_gap_s=0.1)
