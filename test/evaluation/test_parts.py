"""A recording that is evaluated in parts gives the record of the whole."""

from dataclasses import fields, replace
from pathlib import Path

from moss_perception.core.resources import model_path
from moss_perception.evaluation.findings import of_attempts
from moss_perception.evaluation.parts import merge, Part, split
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

SAMPLE = Path(__file__).resolve().parents[2] / 'samples' / 'sim_20'
TOPIC = '/image/compressed'


@pytest.fixture(scope='module')
def predictor():
    return Predictor.load(str(model_path('')), threads=1)


def test_parts_cover_all_images_once_and_begin_two_windows_before(predictor):
    parts = split(SAMPLE, TOPIC, predictor.config, 3)
    assert len(parts) == 3 and parts[0] == Part(0, 0, parts[1].first)
    for one, other in zip(parts, parts[1:], strict=False):
        assert one.end == other.first
        # The sample is recorded at the model's own rate: each image is one.
        assert other.first - other.warm_up == 2 * predictor.config.window_frames
    assert parts[-1].owns(10**9) and not parts[0].steps(parts[1].first)


def test_what_is_short_is_not_split(predictor):
    assert len(split(SAMPLE, TOPIC, predictor.config, 1)) == 1
    # 635 images are nine times two windows before and two that count.
    assert len(split(SAMPLE, TOPIC, predictor.config, 500)) == 9


@pytest.mark.parametrize('count', [2, 3])
def test_parts_merged_equal_the_whole(predictor, count):
    whole = replay(SAMPLE, predictor)
    merged = merge([replay(SAMPLE, predictor, part=part)
                   for part in split(SAMPLE, TOPIC, predictor.config, count)])
    for field in fields(whole):
        found, expected = getattr(merged, field.name), getattr(whole, field.name)
        if field.name == 'attempts':
            continue
        if field.name in ('decode_ms', 'inference_ms'):
            assert found.shape == expected.shape
        elif field.name != 'elapsed_s':
            np.testing.assert_equal(found, expected, field.name)
    for found, expected in zip(merged.attempts, whole.attempts, strict=True):
        for field in fields(expected):
            # Bit for bit: a score depends on the last window and on nothing before.
            np.testing.assert_array_equal(
                getattr(found, field.name), getattr(expected, field.name), field.name)


def test_a_score_is_old_only_if_no_part_has_a_newer_one(made_up):
    bag = made_up.make_bag('sim', 2)
    one, other = ({'scored_ns': None, 'times_s': np.array([age]), 'scores': np.array([0.3])}
                  for age in (-2.0, -0.7))
    old, new = tuple(replace(x, **one) for x in bag.attempts), bag.attempts[0]
    parts = [replace(bag, attempts=old, notes=('a note', *of_attempts(old))),
             replace(bag, attempts=(new, replace(bag.attempts[1], **other)))]
    note, line = merge(parts).notes
    assert note == 'a note' and line.startswith('1 attempts') and '1 (0.700 s)' in line
