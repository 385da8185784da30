"""Recordings as a robot makes them: foreign names, eight candidates, late by 60 ms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bag_factory import Entry, entry, header, kind, outcome, START_NS, write_bag
import cv2
from moss_perception.data.bags.attempts import AttemptFolder
import numpy as np

IMAGES, INFO = '/camera/color/image_raw/compressed', '/camera/color/camera_info'
GRASPS, EXECUTED = '/planner/grasps', '/arm/executed_grasp'
TOPICS = {'image_topic': IMAGES, 'camera_info_topic': INFO, 'candidates_topic': GRASPS,
          'executed_topic': EXECUTED}
FRAME = 'camera_color_optical_frame'
# Between two attempts, and within one: its start, decision and end.
PERIOD_S, TIMES_S = 4.0, (2.0, 2.1, 3.0)
OBJECTS = 'cup', 'box'


@dataclass(frozen=True)
class Robot:
    """
    A robot's recording.

    :param successes: of its attempts.
    :param executed: the executed position; ``None`` for no topic of executed grasps.
    :param listed: whether the executed grasp is among the candidates.
    :param candidates: number of candidates; ``None`` for no topic of them.
    :param focal_changes: whether the calibration changes after the first attempt.
    """

    successes: Sequence[bool] = (True, False, True)
    rate_hz: float = 15.0
    size: tuple[int, int] = (64, 48)
    focal: float = 60.0
    distortion: tuple[float, ...] = (0.01, -0.02, 0.001, 0.0, 0.0)
    executed: tuple[float, float, float] | None = (0.02, -0.01, 0.5)
    frame: str = FRAME
    listed: bool = True
    candidates: int | None = 8
    focal_changes: bool = False
    calibrated: bool = True

    def write(self, path: Path) -> Path:
        """Write the recording, and beside it a table of its outcomes, ``PATH.csv``."""
        rows = ['start,decision,end,success,object']
        for n, success in enumerate(self.successes):
            begin_s = START_NS // 10**9 + n * PERIOD_S
            rows.append(','.join([*(f'{begin_s + x:.3f}' for x in TIMES_S),
                                  str(success).lower(), OBJECTS[n % 2]]))
        path.parent.mkdir(parents=True, exist_ok=True)
        table = path.with_name(f'{path.name}.csv')
        table.write_text('\n'.join(rows) + '\n')
        return write_bag(path, self._entries())

    def record(self, path: Path, **labels: str) -> Path:
        """Write the recording as attempt_recorder does: a file an attempt, with its outcome."""
        entries = self._entries()
        with AttemptFolder(path) as folder:
            for n, success in enumerate(self.successes):
                begin_ns = START_NS + round(n * PERIOD_S * 1e9)
                start, decision, end = (f'{begin_ns / 1e9 + x:.3f}' for x in TIMES_S)
                told = outcome(begin_ns + round(1e9 * TIMES_S[2]), attempt=str(n + 1), start=start,
                               decision=decision, end=end, success=str(success).lower(),
                               object=OBJECTS[n % 2])
                writer = folder.begin()
                for one in sorted([*entries, told], key=lambda x: x.stamp_ns):
                    if 0 <= one.stamp_ns - begin_ns < PERIOD_S * 1e9:
                        writer.serialised(one.topic, one.type, one.stamp_ns, one.raw)
                writer.label(n + 1, labels)
                writer.finish()
        return path

    def _entries(self) -> list[Entry]:
        seconds = PERIOD_S * len(self.successes)
        times = np.arange(0, seconds, 1 / self.rate_hz)
        entries = [x for time_s in times for x in self._image(float(time_s))]
        if self.candidates is not None:
            entries += [self._grasps(float(time_s)) for time_s in np.arange(0, seconds, 1 / 3)]
        if self.executed is not None:
            entries += [self._selected(n) for n in range(len(self.successes))]
        return sorted(entries, key=lambda x: x.stamp_ns)

    def _image(self, time_s: float) -> list[Entry]:
        stamp_ns = START_NS + round(1e9 * time_s)
        data = np.frombuffer(self.jpeg(time_s), np.uint8)
        message = kind('sensor_msgs/msg/CompressedImage')(header(stamp_ns, FRAME), 'jpeg', data)
        found = [entry(IMAGES, 'sensor_msgs/msg/CompressedImage', stamp_ns, message)]
        return [self._info(stamp_ns, time_s), *found] if self.calibrated else found

    def jpeg(self, time_s: float) -> bytes:
        """Compress the image of a time: the success of its attempt shows in its middle."""
        attempt = min(int(time_s / PERIOD_S), len(self.successes) - 1)
        width, height = self.size
        image = np.random.default_rng(round(1000 * time_s)).integers(
            40, 80, (height, width, 3), np.uint8)
        if self.successes[attempt]:
            image[height // 4:-height // 4, width // 4:-width // 4] = 250
        return cv2.imencode('.jpg', image)[1].tobytes()

    def _info(self, stamp_ns: int, time_s: float) -> Entry:
        focal = self.focal * (2 if self.focal_changes and time_s > PERIOD_S else 1)
        region = kind('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False)
        width, height = self.size
        matrix = np.array([focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1])
        message = kind('sensor_msgs/msg/CameraInfo')(
            header(stamp_ns, FRAME), height, width, 'plumb_bob', np.array(self.distortion),
            matrix, np.eye(3).ravel(), np.zeros(12), 0, 0, region)
        return entry(INFO, 'sensor_msgs/msg/CameraInfo', stamp_ns, message)

    def _grasps(self, time_s: float) -> Entry:
        rng = np.random.default_rng(round(1000 * time_s))
        places = rng.uniform(-0.1, 0.1, (self.candidates, 3)) + (0, 0, 0.5)
        if self.executed is not None and self.listed and len(places) > 3:
            places[3] = self.executed
        message = kind('geometry_msgs/msg/PoseArray')(
            header(START_NS + round(1e9 * time_s), self.frame), [_pose(x) for x in places])
        # The planner takes 60 ms.
        return entry(GRASPS, 'geometry_msgs/msg/PoseArray',
                     START_NS + round(1e9 * (time_s + 0.06)), message)

    def _selected(self, attempt: int) -> Entry:
        stamp_ns = START_NS + round(1e9 * (attempt * PERIOD_S + TIMES_S[1]))
        message = kind('geometry_msgs/msg/PoseStamped')(
            header(stamp_ns, self.frame), _pose(self.executed))
        return entry(EXECUTED, 'geometry_msgs/msg/PoseStamped', stamp_ns, message)


def _pose(position: Sequence[float]) -> object:
    return kind('geometry_msgs/msg/Pose')(
        kind('geometry_msgs/msg/Point')(*map(float, position)),
        kind('geometry_msgs/msg/Quaternion')(0.0, 0.0, 0.0, 1.0))
