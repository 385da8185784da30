"""A scene played to its decision, and what would come of each candidate grasp from there."""

import math
from statistics import NormalDist
from typing import Optional

from moss_perception.core.errors import SceneError
from moss_perception.data.phases import GRIP_S
from moss_perception.data.schema import Sample
from moss_perception.simulation.camera import half_turn, HEIGHT, project, WIDTH
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.cells import BELT, Cell
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.monitoring import choose, monitor_grasp
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, FRAMES, SceneSpec
from moss_perception.simulation.sensor import encode, schedule
import numpy as np

# Travel until the fingers grip, over all motions of the full cell: mean and spread, metres.
_LEADS = NormalDist(0.05, 0.045)


def sample_offsets(seed: int, count: int = 0, cell: Cell = BELT) -> np.ndarray:
    """
    Draw grasps relative to an object, without a look at its shape, size or speed.

    Beyond the belt, leads fall into as many equally likely shares as there are grasps, one into
    each: wherever an object goes, some lie where it will be, where it would be at an even
    velocity, and where it is.

    :param seed: the scene's.
    :param count: how many; 0 for the cell's number.
    :param cell: what the scene is drawn from.
    :returns: shape ``(count, 4)``: lead along the belt, lateral offset and height above the
        object's centre, metres; closing direction relative to the object's short axis, radians.
    """
    count = count or cell.candidates
    belt = cell.name == BELT.name
    rng = np.random.default_rng([seed, 3 if belt else 33])
    yaw = rng.normal(0, 0.2, count)
    crosswise = rng.uniform(size=count) < (0.15 if belt else 0.1)
    yaw[crosswise] += rng.uniform(-math.pi / 2, math.pi / 2, crosswise.sum())
    return np.column_stack([
        rng.uniform(-0.02, 0.10, count) if belt else _spread_leads(rng, count),
        np.clip(rng.normal(0, 0.010, count), -0.025, 0.025),
        rng.normal(0, 0.004, count),
        yaw])


def _spread_leads(rng: np.random.Generator, count: int) -> np.ndarray:
    shares = (rng.permutation(count) + rng.uniform(0.05, 0.95, count)) / count
    # The outermost 3 % at each end are further than any motion goes.
    return np.array([_LEADS.inv_cdf(0.03 + 0.94 * share) for share in shares])


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


def object_track(cell: WorkCell) -> np.ndarray:
    """
    Tell where the object is, and where when fingers that start now have closed.

    :param cell: at the decision, with the gripper hovering.
    :returns: float32, shape ``(2, 3)``, optical frame, metres.
    """
    spec, position = cell.spec, cell.object_position
    if spec.cell.name == BELT.name:
        travel = spec.motion.travel(DECISION_S + GRIP_S) - spec.motion.travel(DECISION_S)
        later = position + [travel, 0.0, 0.0]
    else:
        later = cell.foresee(spec.physics.latency_s + GRIP_S)
    return spec.mount.to_optical(np.stack([position, later])).astype(np.float32)


def play(spec: SceneSpec, renderer: Renderer, count: int = 0,
         monitor: Optional[bool] = None) -> Sample:
    """
    Play a scene to its decision, then execute each candidate from that same state.

    :param count: how many candidates; 0 for the cell's number.
    :param monitor: whether one of the grasps is watched; ``None`` leaves it to the cell.
    :returns: 20 frames, less those that were lost, the candidates at the decision and their
        outcomes.
    :raises SceneError: if the scene can't be used.
    """
    cell = WorkCell(spec)
    jpegs, stamps = _watch(cell, renderer)
    # Looking ahead and back warms the solver up: what follows must not depend on it.
    saved = cell.save()
    offsets = sample_offsets(spec.seed, count, spec.cell)
    grasps = candidates(cell, offsets)
    listed = spec.mount.grasps_to_optical(grasps)
    matrix = spec.lens.matrix
    track = object_track(cell)
    _require_view(spec, np.concatenate([track[:1], listed[:, :3]]), matrix)
    velocity = (cell.foresee(TICK_S) - cell.object_position)[0] / TICK_S
    outcomes = []
    for grasp in grasps:
        cell.restore(saved)
        outcomes.append(Execution(cell, grasp, spec.physics.latency_s).run().success)
    watched = None
    if spec.cell.monitor if monitor is None else monitor:
        cell.restore(saved)
        watched = monitor_grasp(cell, lambda: _take(cell, renderer), grasps,
                                choose(spec.seed, np.array(outcomes)))
    return Sample(
        seed=spec.seed, jpegs=jpegs, candidates=listed.astype(np.float32),
        labels=np.array(outcomes), speed=spec.motion.velocity(DECISION_S),
        motion=spec.motion.name, shape=spec.object.shape, track=track, matrix=matrix,
        domain=spec.domain.name, family=spec.object.family,
        cell=spec.cell.name, velocity=velocity,
        acceleration=spec.motion.acceleration(DECISION_S),
        split='held_out' if spec.object.family in spec.cell.held_out else '',
        offsets=offsets.astype(np.float32), stamps_ns=stamps, attempt=watched)


def _take(cell: WorkCell, renderer: Renderer) -> bytes:
    return encode(renderer.render(cell), cell.spec.domain.jpeg_quality)


def _watch(cell: WorkCell, renderer: Renderer) -> tuple:
    """Play to the decision; return the frames that arrive, compressed, and their stamps."""
    spec = cell.spec
    plan = schedule(spec.seed, spec.sensor, FRAMES, FRAME_RATE_HZ, TICK_S)
    jpegs, stamps = [], []
    for time_s, arrives in zip(plan.times_s, plan.arrives, strict=True):
        cell.wait(time_s)
        if arrives:
            jpegs.append(_take(cell, renderer))
            stamps.append(round(cell.time_s * 1e9))
    return tuple(jpegs), np.array(stamps, np.int64)


def _require_view(spec: SceneSpec, points: np.ndarray, matrix: np.ndarray):
    """Refuse a scene whose object, or whose every candidate, lies outside the image."""
    pixels = project(points, matrix)
    seen = ((pixels >= -0.5) & (pixels < (WIDTH - 0.5, HEIGHT - 0.5))).all(axis=1)
    for what, inside in (('the object', seen[0]), ('every candidate', seen[1:].any())):
        if not inside:
            raise SceneError('out_of_view', f'scene {spec.seed}: {what} is outside the image at '
                             'the decision')
