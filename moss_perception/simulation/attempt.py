"""A scene played to its decision, and what would come of each candidate grasp from there."""

import math

import cv2
from moss_perception.errors import SimulationError
from moss_perception.simulation.camera import half_turn
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.dataset import Scene
from moss_perception.simulation.execution import Execution, GRIP_S
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, FRAMES, SceneSpec
import numpy as np

CANDIDATES = 6


def sample_offsets(seed: int, count: int = CANDIDATES) -> np.ndarray:
    """
    Draw grasps relative to an object, without a look at its shape, size or speed.

    :param seed: the scene's.
    :returns: shape ``(count, 4)``: lead along the belt, lateral offset and height above the
        object's centre, metres; closing direction relative to the object's short axis, radians.
    """
    rng = np.random.default_rng([seed, 3])
    yaw = rng.normal(0, 0.2, count)
    crosswise = rng.uniform(size=count) < 0.15
    yaw[crosswise] += rng.uniform(-math.pi / 2, math.pi / 2, crosswise.sum())
    return np.column_stack([
        rng.uniform(-0.02, 0.10, count),
        np.clip(rng.normal(0, 0.010, count), -0.025, 0.025),
        rng.normal(0, 0.004, count),
        yaw])


def candidates(cell: WorkCell, offsets: np.ndarray) -> np.ndarray:
    """
    Place candidates at the object's present pose.

    :returns: shape ``(K, 4)``: x, y, z, metres, and the closing direction's yaw, radians, in
        the world frame.
    """
    grasps = np.array(offsets, dtype=np.float64)
    grasps[:, :3] += cell.object_position
    grasps[:, 3] = half_turn(grasps[:, 3] + cell.object_yaw + math.pi / 2)
    return grasps


def object_track(spec: SceneSpec, position: np.ndarray) -> np.ndarray:
    """
    Tell where the object is at the decision, and where when the fingers grip.

    :param position: at the decision, shape ``(3,)``, world frame, metres.
    :returns: float32, shape ``(2, 3)``, optical frame, metres.
    """
    travel = spec.motion.travel(DECISION_S + GRIP_S) - spec.motion.travel(DECISION_S)
    return spec.mount.to_optical(
        np.stack([position, position + [travel, 0.0, 0.0]])).astype(np.float32)


def encode(image: np.ndarray, quality: int) -> bytes:
    """Compress an RGB image as JPEG."""
    done, data = cv2.imencode('.jpg', image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise SimulationError(f'OpenCV could not encode an image of shape {image.shape} as JPEG')
    return data.tobytes()


def play(spec: SceneSpec, renderer: Renderer, count: int = CANDIDATES) -> Scene:
    """
    Play a scene to its decision, then execute each candidate from that same state.

    :param count: how many candidates.
    :returns: the last 20 frames, the candidates at the decision and their outcomes.
    """
    cell = WorkCell(spec)
    frames = []
    for index in range(FRAMES):
        cell.wait(index / FRAME_RATE_HZ)
        frames.append(encode(renderer.render(cell), spec.domain.jpeg_quality))
    grasps = candidates(cell, sample_offsets(spec.seed, count))
    track = object_track(spec, cell.object_position)
    saved = cell.save()
    outcomes = []
    for grasp in grasps:
        cell.restore(saved)
        outcomes.append(Execution(cell, grasp).run().success)
    return Scene(
        seed=spec.seed, jpegs=tuple(frames),
        candidates=spec.mount.grasps_to_optical(grasps).astype(np.float32),
        outcomes=np.array(outcomes), speed=spec.motion.velocity(DECISION_S),
        motion=spec.motion.name, shape=spec.object.shape, track=track, domain=spec.domain.name)
