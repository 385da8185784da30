"""What the network sees in scenes: the distribution that a checkpoint keeps of its training."""

from collections.abc import Iterable, Sequence

from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import letterbox
from moss_perception.data.schema import Sample
from moss_perception.models.graph_model import NO_GRASP
from moss_perception.runtime.engine import Engine
from moss_perception.runtime.ood import (
    describe,
    FEWEST,
    fit_distribution,
    TrainingDistribution,
)
import numpy as np

# More tell hardly anything new of 64 features, and each takes a window of steps.
MOST_SCENES = 800
HELD_OUT_SCENES = 200


def see(engine: Engine, scene: Sample) -> tuple[Sequence[np.ndarray], np.ndarray]:
    """
    Step the last window of a scene, as the predictor does.

    :param engine: of the checkpoint.
    :param scene: with at least a window of frames.
    :returns: of the decision's frame, the head's map at each of the budget's levels, float32,
        shape ``(h, w, R)``; and the motion features, shape ``(h, w, D)``.
    """
    config, state, result = engine.config, engine.initial_state(), None
    for observation in scene.observations(config.window_frames, config.frame_rate_hz):
        fitted, _ = letterbox(observation.arrays['rgb'], config.image_size)
        result, state = engine.step({'rgb': fitted}, NO_GRASP, state, len(config.levels))
    assert result is not None  # a window has frames
    return result.maps, result.motion_features


def gather(engine: Engine, scenes: Iterable[Sample]) -> np.ndarray:
    """
    Describe what the network sees in scenes.

    :returns: float64, shape ``(n, F)``, see :func:`moss_perception.runtime.ood.describe`.
    """
    return np.array([describe(see(engine, scene)[0][0]) for scene in scenes])


def spread_out(scenes: list, most: int) -> list:
    """Choose at most so many, evenly from first to last."""
    chosen = np.linspace(0, len(scenes) - 1, min(most, len(scenes))).round().astype(int)
    return [scenes[n] for n in chosen]


def halves(scenes: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """
    Part scenes as training does: every tenth is held out.

    :returns: scenes to fit on, and those held out.
    """
    return [s for n, s in enumerate(scenes) if n % 10], scenes[::10]


def learn_distribution(engine: Engine, scenes: list[Sample],
                       watched: bool = False) -> TrainingDistribution:
    """
    Fit the distribution of a training on its own scenes; its limits on those it held out.

    :param engine: of the trained network.
    :param scenes: of the training, all of them and in its order.
    :param watched: whether it was trained on grasps under way too: then so is this.
    :raises ConfigError: if there are too few.
    """
    fitted, held_out = halves(scenes)
    fitted, held_out = spread_out(fitted, MOST_SCENES), spread_out(held_out, HELD_OUT_SCENES)
    if min(len(fitted), len(held_out)) < FEWEST:
        raise ConfigError(f'{len(scenes)} scenes are too few to fit the training distribution: '
                          f'expected at least {10 * FEWEST}')
    if watched:
        fitted, held_out = (with_watched(one) for one in (fitted, held_out))
    return fit_distribution(gather(engine, fitted), gather(engine, held_out))


def with_watched(scenes: list[Sample]) -> list[Sample]:
    """Add, of each scene in which a grasp was watched, a moment of that grasp."""
    moments = []
    for n, scene in enumerate(scenes):
        if scene.attempt is not None and scene.attempt.jpegs:
            # Any moment: they go through the grasp from scene to scene.
            moments.append(scene.during(n * 7 % len(scene.attempt.jpegs)))
    return [*scenes, *moments]
