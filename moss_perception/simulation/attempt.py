"""Play a scene to its decision, and find the outcome of each candidate grasp from there."""

import math

from moss_perception.core.errors import SceneError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.core.scores import ScoreReason
from moss_perception.data.schema import GRIP_S, Sample
from moss_perception.simulation.camera import half_turn, HEIGHT, WIDTH
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, Cell, TICK_S
from moss_perception.simulation.execution import choose_monitored, Execution, monitor_grasp
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, FRAMES, SceneSpec
from moss_perception.simulation.sensor import frame_times
import numpy as np


def sample_offsets(seed: int, count: int = 0, cell: Cell = BELT) -> np.ndarray:
    """
    Draw grasps relative to an object, independent of its shape, size and speed.

    :param seed: seed of the scene.
    :param count: number of grasps; 0 for the cell's number.
    :param cell: cell of the scene.
    :returns: shape ``(count, 4)``: lead along the belt, lateral offset and height above the
        object's centre, metres; closing direction relative to the object's short axis, radians.
    """
    count = count or cell.candidates
    rng = np.random.default_rng([seed, cell.offset_stream])
    yaw = rng.normal(0, 0.2, count)
    crosswise = rng.uniform(size=count) < cell.crosswise
    yaw[crosswise] += rng.uniform(-math.pi / 2, math.pi / 2, crosswise.sum())
    return np.column_stack([
        cell.leads(rng, count),
        np.clip(rng.normal(0, 0.010, count), -0.025, 0.025),
        rng.normal(0, 0.004, count),
        yaw])


def candidates(cell: WorkCell, offsets: np.ndarray) -> np.ndarray:
    """
    Place candidates relative to the object's current pose.

    :returns: shape ``(K, 4)``: x, y, z, metres, and yaw of the closing direction, radians, in
        the world frame.
    """
    grasps = np.array(offsets, dtype=np.float64)
    grasps[:, :3] += cell.object_position
    grasps[:, 3] = half_turn(grasps[:, 3] + cell.object_yaw + math.pi / 2)
    return grasps


def object_track(cell: WorkCell) -> np.ndarray:
    """
    Return the object's position now, and when a gripper that starts now has closed its fingers.

    :param cell: the cell at the decision, with the gripper hovering.
    :returns: float32, shape ``(2, 3)``, optical frame, metres.
    """
    spec, position = cell.spec, cell.object_position
    if spec.cell.track_with_belt:
        travel = spec.motion.travel(DECISION_S + GRIP_S) - spec.motion.travel(DECISION_S)
        later = position + [travel, 0.0, 0.0]
    else:
        later = cell.foresee(spec.physics.latency_s + GRIP_S)
    return spec.mount.to_optical(np.stack([position, later])).astype(np.float32)


def play(spec: SceneSpec, renderer: Renderer, count: int = 0) -> Sample:
    """
    Play a scene to its decision, then execute each candidate from that same state.

    :param count: number of candidates; 0 for the cell's number.
    :returns: 20 frames, except for lost ones, the candidates at the decision and their outcomes.
    :raises SceneError: if the scene cannot be used.
    """
    cell = WorkCell(spec)
    jpegs, stamps = _record(cell, renderer)
    # Predictions warm-start the solver; restoring this state keeps the outcomes independent.
    saved = cell.save()
    offsets = sample_offsets(spec.seed, count, spec.cell)
    grasps = candidates(cell, offsets)
    listed = spec.mount.grasps_to_optical(grasps)
    track = object_track(cell)
    _require_view(spec, np.concatenate([track[:1], listed[:, :3]]))
    velocity = (cell.foresee(TICK_S) - cell.object_position)[0] / TICK_S
    outcomes = []
    for grasp in grasps:
        cell.restore(saved)
        outcomes.append(Execution(cell, grasp, spec.physics.latency_s).run().success)
    monitored = None
    if spec.cell.monitor:
        cell.restore(saved)
        monitored = monitor_grasp(cell, lambda: renderer.render_jpeg(cell), grasps,
                                  choose_monitored(spec.seed, np.array(outcomes)))
    return Sample(
        seed=spec.seed, jpegs=jpegs, candidates=listed.astype(np.float32),
        labels=np.array(outcomes), speed=spec.motion.velocity(DECISION_S),
        motion=spec.motion.name, shape=spec.object.shape, track=track, matrix=spec.lens.matrix,
        domain=spec.domain.name, family=spec.object.shape,
        cell=spec.cell.name, velocity=velocity,
        acceleration=spec.motion.acceleration(DECISION_S),
        split='held_out' if spec.object.shape in spec.cell.held_out else '',
        offsets=offsets.astype(np.float32), stamps_ns=stamps, attempt=monitored)


def _record(cell: WorkCell, renderer: Renderer) -> tuple:
    """Play to the decision; return the compressed frames that arrive, and their stamps."""
    spec = cell.spec
    jpegs, stamps = [], []
    for time_s in frame_times(spec.seed, spec.sensor, FRAMES, FRAME_RATE_HZ):
        cell.wait(time_s)
        jpegs.append(renderer.render_jpeg(cell))
        stamps.append(round(cell.time_s * 1e9))
    return tuple(jpegs), np.array(stamps, np.int64)


def _require_view(spec: SceneSpec, points: np.ndarray):
    """Refuse a scene if the object, or every candidate, lies outside the image."""
    _, reasons = project(points, Camera(WIDTH, HEIGHT, spec.lens.matrix))
    seen = reasons == ScoreReason.SCORED
    for what, inside in (('the object', seen[0]), ('every candidate', seen[1:].any())):
        if not inside:
            raise SceneError('out_of_view', f'scene {spec.seed}: {what} is outside the image at '
                             'the decision')
