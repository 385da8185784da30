"""Play a scene to its decision, and find the outcome of each candidate grasp from there."""

from dataclasses import dataclass
import math
from typing import Optional

from moss_perception.core.errors import ConfigError, SceneError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.core.scores import ScoreReason
from moss_perception.data.schema import Sample
from moss_perception.simulation.camera import half_turn
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, Cell, TICK_S
from moss_perception.simulation.execution import choose_monitored, Execution, monitor_grasp
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, FRAMES, SceneSpec
from moss_perception.simulation.sensor import frame_times
import numpy as np

# Longest latency that may be asked for, and that is drawn, seconds; most draws for a scene.
LONGEST_LATENCY_S = 1.0
DRAWN_LATENCY_S = 0.3
MAX_DRAWS = 10


@dataclass(frozen=True)
class Latencies:
    """
    Further latencies at which the candidates of a scene are executed, besides its own.

    :ivar values_s: the same for every scene: ascending multiples of ``TICK_S`` from 0 to
        ``LONGEST_LATENCY_S``, seconds.
    :ivar draws: number of latencies to draw for each scene instead, 0 to ``MAX_DRAWS``.
    :raises ConfigError: if a latency or the number of draws is out of range, or both are given.
    """

    values_s: tuple[float, ...] = ()
    draws: int = 0

    def __post_init__(self):
        told = f'latencies {" ".join(f"{value:g}" for value in self.values_s)}'
        if not all(0 <= value <= LONGEST_LATENCY_S for value in self.values_s):
            raise ConfigError(f'{told}: expected 0 to {LONGEST_LATENCY_S:g} s')
        if any(abs(value / TICK_S - round(value / TICK_S)) > 1e-6 for value in self.values_s):
            raise ConfigError(f'{told}: expected multiples of {TICK_S:g} s, the step of the cell')
        if not np.all(np.diff(self.values_s) > TICK_S / 2):
            raise ConfigError(f'{told}: expected ascending values without repetition')
        if not 0 <= self.draws <= MAX_DRAWS:
            raise ConfigError(f'number of latencies to draw must be 0 to {MAX_DRAWS}, '
                              f'got {self.draws}')
        if self.draws and self.values_s:
            raise ConfigError(f'{told} and {self.draws} draws: expected one of them')

    def of_scene(self, seed: int) -> tuple[float, ...]:
        """
        Return the latencies of a scene, seconds, ascending.

        Draws are whole ticks, one from each of equal parts of 0 to ``DRAWN_LATENCY_S``.
        """
        if not self.draws:
            return self.values_s
        rng = np.random.default_rng([seed, 50])
        edges = np.linspace(0, round(DRAWN_LATENCY_S / TICK_S) + 1, self.draws + 1).astype(int)
        ticks = rng.integers(edges[:-1], edges[1:])
        return tuple(round(tick * TICK_S, 6) for tick in ticks.tolist())


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
    later = _place_at(cell, cell.spec.physics.latency_s + cell.spec.cell.gripper.grip_s)
    return cell.spec.mount.to_optical(np.stack([cell.object_position, later])).astype(np.float32)


def _place_at(cell: WorkCell, lead_time_s: float) -> np.ndarray:
    """Return the object's centre a time after the decision, if nothing touches it."""
    motion = cell.spec.motion
    if cell.spec.cell.track_with_belt:
        travel = motion.travel(DECISION_S + lead_time_s) - motion.travel(DECISION_S)
        return cell.object_position + [travel, 0.0, 0.0]
    return cell.foresee(lead_time_s)


def play(spec: SceneSpec, renderer: Renderer, count: int = 0,
         latencies: Optional[Latencies] = None) -> Sample:
    """
    Play a scene to its decision, then execute each candidate from that same state.

    :param count: number of candidates; 0 for the cell's number.
    :param latencies: further latencies at which each candidate is executed; they change nothing
        else of the sample. With ``None`` it has no lead times.
    :returns: 20 frames, except for lost ones, the candidates at the decision and their outcomes.
    :raises SceneError: if the scene cannot be used.
    """
    cell = WorkCell(spec)
    jpegs, stamps = _record(cell, renderer)
    object_mask = renderer.object_mask(cell)
    # Predictions warm-start the solver; restoring this state keeps the outcomes independent.
    saved = cell.save()
    offsets = sample_offsets(spec.seed, count, spec.cell)
    grasps = candidates(cell, offsets)
    listed = spec.mount.grasps_to_optical(grasps)
    track = object_track(cell)
    _require_view(spec, np.concatenate([track[:1], listed[:, :3]]))
    velocity = (cell.foresee(TICK_S) - cell.object_position)[0] / TICK_S
    outcomes = _outcomes(cell, saved, grasps, spec.physics.latency_s)
    monitored = None
    if spec.cell.monitor:
        cell.restore(saved)
        monitored = monitor_grasp(cell, lambda: renderer.render_jpeg(cell), grasps,
                                  choose_monitored(spec.seed, np.array(outcomes)))
    lead_times = {} if latencies is None else _lead_times(cell, saved, grasps, latencies)
    return Sample(
        seed=spec.seed, jpegs=jpegs, candidates=listed.astype(np.float32),
        labels=np.array(outcomes), speed=spec.motion.velocity(DECISION_S),
        motion=spec.motion.name, shape=spec.object.shape, track=track, matrix=spec.lens.matrix,
        domain=spec.domain.name, family=spec.object.shape,
        cell=spec.cell.name, velocity=velocity,
        acceleration=spec.motion.acceleration(DECISION_S),
        split='held_out' if spec.object.shape in spec.cell.held_out else '',
        offsets=offsets.astype(np.float32), stamps_ns=stamps, attempt=monitored,
        object_mask=object_mask, **lead_times)


def _outcomes(cell: WorkCell, saved: tuple, grasps: np.ndarray, latency_s: float) -> list:
    """Execute each grasp from a saved state; return whether it succeeds."""
    outcomes = []
    for grasp in grasps:
        cell.restore(saved)
        outcomes.append(Execution(cell, grasp, latency_s).run().success)
    return outcomes


def _lead_times(cell: WorkCell, saved: tuple, grasps: np.ndarray, latencies: Latencies) -> dict:
    """Execute the grasps at further latencies; return the sample's fields of lead times."""
    spec, labels, places = cell.spec, [], []
    latencies_s = latencies.of_scene(spec.seed)
    grip_s = spec.cell.gripper.grip_s
    own = {'lead_time_s': spec.physics.latency_s + grip_s}
    for latency_s in latencies_s:
        cell.restore(saved)
        places.append(_place_at(cell, latency_s + grip_s))
        labels.append(_outcomes(cell, saved, grasps, latency_s))
    return own if not latencies_s else own | {
        'other_lead_times_s': np.array(latencies_s, np.float32) + np.float32(grip_s),
        'other_labels': np.array(labels, np.float32),
        'other_places': spec.mount.to_optical(np.stack(places)).astype(np.float32)}


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
    _, reasons = project(points, Camera(*spec.lens.size, spec.lens.matrix))
    seen = reasons == ScoreReason.SCORED
    for what, inside in (('the object', seen[0]), ('every candidate', seen[1:].any())):
        if not inside:
            raise SceneError('out_of_view', f'scene {spec.seed}: {what} is outside the image at '
                             'the decision')
