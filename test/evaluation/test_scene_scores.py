"""Scenes are scored at their lead time; the baseline without images learns from coordinates."""

from dataclasses import replace

from moss_perception.evaluation.metrics import auroc, Scored, value_of
from moss_perception.evaluation.scene_scores import candidates_alone, score_scenes
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import pytest
from spots import scene
from timed import expected_score, timed_network

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


def test_the_candidates_of_a_scene_are_scored_at_its_lead_time():
    predictor = Predictor(TorchEngine(timed_network(), threads=1), lead_time_s=0.375)
    scenes = [replace(scene(0), lead_time_s=0.75), scene(1)]
    scores = score_scenes(predictor, scenes)
    np.testing.assert_allclose(scores, np.repeat(expected_score([0.75, 0.375]), 3), atol=1e-6)
