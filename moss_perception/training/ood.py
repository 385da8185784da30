"""Fit the distribution of the training scenes, which a checkpoint holds to detect OOD images."""

from collections.abc import Iterable

from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import letterbox
from moss_perception.data.schema import Sample
from moss_perception.models.graph_model import no_grasp
from moss_perception.runtime.engine import Engine
from moss_perception.runtime.ood import (
    cross_fit_distribution,
    FEWEST,
    fit_distribution,
    FOLDS,
    TrainingDistribution,
)
from moss_perception.training.holding_out import scene_numbers
import numpy as np

# More scenes hardly change the statistics of 64 features, and each takes a window of steps.
_MOST_SCENES = 800
_MOST_HELD_OUT = 200


def step_window(engine: Engine, scene: Sample) -> tuple[np.ndarray, np.ndarray]:
    """
    Step the last window of a scene, as the predictor does.

    :param engine: of the checkpoint.
    :param scene: with at least a window of frames.
    :returns: of the last frame, what it looks like, float32, shape ``(F,)``; and the motion
        features, shape ``(h, w, D)``.
    """
    config, state, result = engine.config, engine.initial_state(), None
    for observation in scene.observations(config.window_frames, config.frame_rate_hz):
        fitted, _ = letterbox(observation.arrays['rgb'], config.image_size)
        # What a scene looks like does not depend on the jitter of its stamps.
        interval_s = 0.0 if result is None else 1 / config.frame_rate_hz
        result, state = engine.step(engine.model.observation(fitted, interval_s),
                                    no_grasp(config), state, len(config.levels))
    assert result is not None  # a window has frames
    return result.appearance, result.motion_features


def describe_scenes(engine: Engine, scenes: Iterable[Sample]) -> np.ndarray:
    """
    Compute what the last frames of scenes look like.

    :returns: float64, shape ``(n, F)``, see
        :attr:`moss_perception.models.base.Scores.appearance`.
    """
    return np.array([step_window(engine, scene)[0] for scene in scenes], np.float64)


def spread_out(scenes: list, most: int) -> list:
    """Choose at most so many, evenly from first to last."""
    if not scenes:
        return []
    chosen = np.linspace(0, len(scenes) - 1, min(most, len(scenes))).round().astype(int)
    return [scenes[n] for n in chosen]


def learn_distribution(engine: Engine, fitted: list[Sample], held_out: list[Sample],
                       watched: bool = False) -> TrainingDistribution:
    """
    Fit the distribution to training scenes, and its limits to those held out of them.

    If fewer than 20 are held out, all are fitted, and the limits by cross-validation, which keeps
    the samples of a scene together.

    :param engine: of the trained network.
    :param fitted: scenes that it was trained on.
    :param held_out: scenes that it was not trained on.
    :param watched: whether to include moments of filmed attempts, as the training did.
    :raises ConfigError: if there are too few.
    """
    count = len(fitted) + len(held_out)
    if count < 2 * FEWEST:
        raise ConfigError(f'{count} scenes are too few to fit the training distribution: '
                          f'expected at least {2 * FEWEST}')
    few = min(len(fitted), len(held_out)) < FEWEST
    if few:
        fitted, held_out = fitted + held_out, []
    fitted, held_out = spread_out(fitted, _MOST_SCENES), spread_out(held_out, _MOST_HELD_OUT)
    if few:
        scenes, moments = scene_numbers(fitted), _moments(fitted) if watched else {}
        if (different := len(np.unique(scenes))) < FOLDS:
            raise ConfigError(f'{count} samples show {different} different scenes, which are too '
                              f'few to fit the training distribution: expected at least {FOLDS}')
        return cross_fit_distribution(describe_scenes(engine, [*fitted, *moments.values()]),
                                      np.append(scenes, scenes[list(moments)]))
    if watched:
        fitted, held_out = ([*some, *_moments(some).values()] for some in (fitted, held_out))
    return fit_distribution(describe_scenes(engine, fitted), describe_scenes(engine, held_out))


def _moments(scenes: list[Sample]) -> dict[int, Sample]:
    """Return one moment of each filmed attempt by its index, another from scene to scene."""
    return {n: scene.during(n * 7 % len(scene.attempt.jpegs)) for n, scene in enumerate(scenes)
            if scene.attempt is not None and scene.attempt.jpegs}
