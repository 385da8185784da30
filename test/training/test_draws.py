"""How often an epoch draws the samples of each set."""

from collections import Counter

from moss_perception.core.errors import ConfigError
from moss_perception.training.dataset import GraspClips
from moss_perception.training.draws import Draws
import numpy as np
import pytest
from spots import scene, TINY


def test_each_sample_is_drawn_as_often_as_its_weight_says():
    draws = Draws([3.0] * 4 + [1.0] * 5 + [0.25] * 20)
    assert len(draws) == 3 * 4 + 5 + 5
    counts = [Counter(draws.of_epoch(epoch).tolist()) for epoch in range(4)]
    assert all(found[n] == 3 for found in counts for n in range(4))
    assert all(found[n] == 1 for found in counts for n in range(4, 9))
    # The others take turns: four epochs show each once.
    assert all(sum(found[n] for found in counts) == 1 for n in range(9, 29))


def test_equal_weights_of_one_change_nothing():
    assert Draws([1.0] * 7, seed=3).of_epoch(2).tolist() == list(range(7))
    samples = [scene(n) for n in range(3)]
    assert GraspClips(samples, TINY).drawn_from == GraspClips(
        samples, TINY, weights=[1.0] * 3).drawn_from


def test_repeated_draws_of_a_sample_are_augmented_differently():
    clips = GraspClips([scene(0), scene(1)], TINY, augment=True, weights=[2.0, 0.5])
    assert len(clips) == 3
    same = [n for n in range(3) if clips.sample_index(n) == 0]
    one, other = (clips[n].images.numpy() for n in same)
    assert not np.array_equal(one, other)
    with pytest.raises(IndexError):
        clips.sample_index(3)


@pytest.mark.parametrize('weight', [0.0, -1.0, float('nan'), float('inf')])
def test_a_weight_is_above_0(weight):
    with pytest.raises(ConfigError, match='is not allowed: expected a number above 0'):
        Draws([1.0, weight])
