"""The baseline without images learns from coordinates only."""

from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.scene_scores import candidates_alone
import numpy as np
import pytest

pytest.importorskip('sklearn')


def test_it_finds_what_the_coordinates_tell():
    generator = np.random.default_rng(0)
    candidates = generator.normal(size=(600, 4))
    groups = np.repeat(np.arange(100), 6)
    labels = candidates[:, 0] > 0
    scores = candidates_alone(candidates, labels, groups)
    assert value_of(auroc, Scored.of(scores, labels)) > 0.95


def test_it_cannot_remember_a_scene():
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(100), 6)
    labels = (generator.random(100) < 0.5)[groups]
    candidates = generator.normal(size=(100, 4))[groups]
    # Each scene's candidates are alike and share a random outcome: 0.5 within its noise.
    scores = candidates_alone(candidates, labels, groups)
    assert abs(value_of(auroc, Scored.of(scores, labels)) - 0.5) < 0.15
