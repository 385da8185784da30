"""The grasps of a clip: candidates at their lead times, and empty places."""

from collections.abc import Callable

from moss_perception.core.errors import DataError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import encode_grasps, project
from moss_perception.data.schema import Sample
from moss_perception.models.config import ModelConfig
from moss_perception.training.samples import Executions
import numpy as np

# An empty place is at least this far from every candidate, metres.
_EMPTY_DISTANCE_M = 0.12


def encode_candidates(candidates: np.ndarray, camera: Camera, transform: np.ndarray,
                      config: ModelConfig, inside: bool = True,
                      lead_times: np.ndarray | None = None) -> np.ndarray:
    """
    Encode a sample's candidates as the predictor does with those of a planner.

    :param candidates: float64, shape ``(K, 4)``: x, y, z and yaw in the optical frame.
    :param camera: that took the images.
    :param transform: from :func:`letterbox`.
    :param config: the checkpoint's configuration.
    :param inside: whether what lies outside the image becomes NaN; if not, lens distortion is
        left out.
    :param lead_times: seconds, shape ``(K,)``; only a network with time inputs takes them.
    :returns: float32, shape ``(K, 5)``; with lead times and time inputs ``(K, 6)``.
    """
    if inside:
        pixels, _ = project(candidates[:, :3], camera)
    else:
        pixels = (candidates[:, :3] @ camera.matrix.T)[:, :2] / candidates[:, 2:3]
    return encode_grasps(pixels, candidates[:, 2], candidates[:, 3],
                         (camera.matrix[0, 0], camera.matrix[1, 1]), transform,
                         config.image_size, config.gripper_half_width_m,
                         lead_times if config.time_inputs else None)


def encode_all(sample: Sample, ended: Executions, empty: np.ndarray, which: np.ndarray,
               encode: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[np.ndarray, ...]:
    """
    Encode the grasps of a clip: the candidates at each lead time, then those at empty places.

    :param which: the lead time of each, an index.
    :param encode: turns candidates and their lead times into what the network takes.
    :returns: encoded grasps, labels, which of these count, and ``which``; without those that lie
        outside the image and have no label.
    :raises DataError: if one that has a label lies outside.
    """
    times, own = ended.lead_times, sample.candidates.astype(float)
    grasps = encode(np.concatenate([np.tile(own, (len(times), 1)), empty]), times[which])
    mask = np.append(np.tile(sample.labelled, len(times)), np.ones(len(empty), bool))
    labels = np.append(np.where(sample.labelled, ended.labels, 0), np.zeros(len(empty)))
    seen = np.isfinite(grasps).all(axis=1)
    outside = np.flatnonzero(~seen & mask)
    if len(outside):
        raise DataError(f'{sample.title}: candidate {outside[0]} has a label and lies outside '
                        'the image: expected labelled candidates inside')
    return grasps[seen], labels[seen], mask[seen], which[seen]


def empty_places(candidates: np.ndarray, camera: Camera, count: int,
                  generator: np.random.Generator) -> np.ndarray:
    """Draw grasps far from all candidates: up to ``count``, shape ``(N, 4)``."""
    depth = candidates[:, 2].mean()
    pixels = generator.uniform((0, 0), (camera.width - 1, camera.height - 1), (4 * count, 2))
    rays = np.linalg.solve(camera.matrix, np.column_stack([pixels, np.ones(len(pixels))]).T).T
    places = rays * depth
    gaps = np.linalg.norm(places[:, None, :2] - candidates[:, :2], axis=2)
    places = places[gaps.min(axis=1) > _EMPTY_DISTANCE_M][:count]
    return np.column_stack([places, generator.uniform(-np.pi, np.pi, len(places))])


def places_of(grasps: np.ndarray, track: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Express the object's place now, and then, relative to each grasp: float32, ``(K, 4)``."""
    if not len(track):
        return np.full((len(grasps), 4), np.nan, np.float32)
    reach = np.linalg.norm(grasps[:, 3:5], axis=1)
    seen = np.stack([np.broadcast_to(track[0, :2], (len(grasps), 2)), track[1 + which, :2]], 1)
    places = (seen - grasps[:, None, :2]) / reach[:, None, None]
    return places.reshape(len(grasps), 4)
