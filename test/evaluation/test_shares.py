"""A recording that several evaluate in shares gives what one would have found."""

from dataclasses import fields, replace
from pathlib import Path

from moss_perception.core.resources import model_path
from moss_perception.evaluation.findings import stale
from moss_perception.evaluation.replay import replay
from moss_perception.evaluation.shares import join, Share, share_out
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

SAMPLE = Path(__file__).resolve().parents[2] / 'samples' / 'sim_20'
TOPIC = '/image/compressed'


@pytest.fixture(scope='module')
def predictor():
    return Predictor.load(str(model_path('')), threads=1)


def test_shares_cover_all_images_once_and_begin_two_windows_before(predictor):
    shares = share_out(SAMPLE, TOPIC, predictor.config, 3)
    assert len(shares) == 3 and shares[0] == Share(0, 0, shares[1].first)
    for one, other in zip(shares, shares[1:], strict=False):
        assert one.end == other.first
        # The sample is recorded at the model's own rate: each image is one.
        assert other.first - other.warm_up == 2 * predictor.config.window_frames
    assert shares[-1].owns(10**9) and not shares[0].steps(shares[1].first)


def test_what_is_short_is_not_shared(predictor):
    assert len(share_out(SAMPLE, TOPIC, predictor.config, 1)) == 1
    # 653 images are ten times two windows before and two that count.
    assert len(share_out(SAMPLE, TOPIC, predictor.config, 500)) == 10


@pytest.mark.parametrize('count', [2, 3])
def test_shares_joined_equal_the_whole(predictor, count):
    whole = replay(SAMPLE, predictor)
    joined = join([replay(SAMPLE, predictor, share=share)
                   for share in share_out(SAMPLE, TOPIC, predictor.config, count)])
    for field in fields(whole):
        found, expected = getattr(joined, field.name), getattr(whole, field.name)
        if field.name == 'attempts':
            continue
        if field.name in ('decode_ms', 'inference_ms'):
            assert found.shape == expected.shape
        elif field.name != 'elapsed_s':
            np.testing.assert_equal(found, expected, field.name)
    for found, expected in zip(joined.attempts, whole.attempts, strict=True):
        for field in fields(expected):
            # Bit for bit: a score depends on the last window and on nothing before.
            np.testing.assert_array_equal(
                getattr(found, field.name), getattr(expected, field.name), field.name)


def test_a_score_is_old_only_if_no_share_has_a_newer_one(made_up):
    bag = made_up.make_bag('sim', 2)
    one, other = ({'scored_ns': None, 'times_s': np.array([age]), 'scores': np.array([0.3])}
                  for age in (-2.0, -0.7))
    old, new = tuple(replace(x, **one) for x in bag.attempts), bag.attempts[0]
    parts = [replace(bag, attempts=old, notes=('a note', *stale(old))),
             replace(bag, attempts=(new, replace(bag.attempts[1], **other)))]
    note, line = join(parts).notes
    assert note == 'a note' and line.startswith('1 attempts') and '1 (0.700 s)' in line
