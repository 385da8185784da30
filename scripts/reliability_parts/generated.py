"""Messages of every input: valid ones, and ones that are altered at random."""

from collections.abc import Callable
import math
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from moss_perception.core.scores import GraspScores, Prediction
from moss_perception.ros.common import conversions
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from std_msgs.msg import Header, String

START_NS = 10**15
FRAME = 'camera'
SIDE = 64
_TEXTS = ('', 'rgb8', 'bgr8', 'mono8', 'mono16', '16UC1', '32FC1', 'bayer_rggb8', 'nv12', 'yuv422',
          'jpeg', 'png', 'rgb8; jpeg compressed bgr8', 'plumb_bob', 'equidistant', 'fisheye',
          'rational_polynomial', 'base_link', '\x1b[2J\x1b]0;x\x07', '\n\r\t', '$x_{y}$', '../..',
          '\u202e\u0000', 'a' * 100_000)
_REALS = (0.0, -0.0, 1.0, -1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan, 0.5, 1e9)
# Items of a sequence: with more, making and serialising a message takes longer than receiving it.
_MOST = 50_000
_BITS = {'int8': 8, 'int16': 16, 'int32': 32, 'int64': 64}


def picture(seed: int) -> np.ndarray:
    """Return a picture with structure, uint8, shape ``(SIDE, SIDE, 3)``."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def image(index: int, stamp_ns: int) -> Image:
    """Return a valid raw image."""
    return conversions.rgb_to_image(picture(index % 50), stamp_ns, FRAME)


def compressed(index: int, stamp_ns: int) -> CompressedImage:
    """Return a valid JPEG or PNG."""
    kind = ('jpeg', 'png')[index % 2]
    data = cv2.imencode(f'.{kind}', picture(index % 50))[1].tobytes()
    return CompressedImage(header=conversions.header(stamp_ns, FRAME), format=kind, data=data)


def camera_info(index: int, stamp_ns: int) -> CameraInfo:
    """Return a calibration of the pictures."""
    focal = 60.0 + index % 5
    middle = (SIDE - 1) / 2
    return CameraInfo(
        header=conversions.header(stamp_ns, FRAME), width=SIDE, height=SIDE, d=[0.0] * 5,
        k=[focal, 0.0, middle, 0.0, focal, middle, 0.0, 0.0, 1.0], distortion_model='plumb_bob')


def candidates(index: int, stamp_ns: int) -> PoseArray:
    """Return a few poses in front of the camera."""
    message = PoseArray(header=conversions.header(stamp_ns, FRAME))
    for number in range(1 + index % 4):
        pose = Pose()
        pose.position.x, pose.position.y, pose.position.z = 0.03 * number - 0.04, 0.02, 0.6
        pose.orientation.w = 1.0
        message.poses.append(pose)
    return message


def lead_times(index: int, stamp_ns: int) -> PointCloud2:
    """Return lead times of :func:`candidates` with the same index."""
    return conversions.lead_times_to_cloud(
        stamp_ns, FRAME, np.linspace(0.1, 1.0, 1 + index % 4))


def selected(index: int, stamp_ns: int) -> PoseStamped:
    """Return an executed grasp."""
    return PoseStamped(header=conversions.header(stamp_ns, FRAME),
                       pose=candidates(index, stamp_ns).poses[0])


def scores(index: int, stamp_ns: int) -> PointCloud2:
    """Return scores of :func:`candidates` with the same index; some have none."""
    count, rng = 1 + index % 4, np.random.default_rng(index)
    places = [[x.position.x, x.position.y, x.position.z]
              for x in candidates(index, stamp_ns).poses]
    turns = np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))
    reasons = rng.integers(0, 7, count) * rng.integers(0, 2, count)
    values = np.where(reasons, np.nan, rng.random(count))
    return conversions.scores_to_cloud(Prediction(
        stamp_ns=stamp_ns, frame_id=FRAME, score=0.5, uncertainty=0.1,
        default_point=np.array([0.0, 0.0, 0.6]), default_orientation=turns[0],
        candidates_stamp_ns=stamp_ns, points=np.array(places), orientations=turns,
        pixels=np.full((count, 2), SIDE / 2), scores=values, uncertainties=values,
        reasons=reasons, motion_features=np.zeros((1, 1, 1), np.float32), size=(SIDE, SIDE),
        source=None, ood_score=0.2))


def diagnostics(index: int, stamp_ns: int) -> DiagnosticArray:
    """Return what a predictor says about itself, and an outcome."""
    values = {'state': 'active', 'frames': index, 'rate_hz': 30.0, 'window_fill': '3/16',
              'resets/gap': index % 3, 'cost_ms/1': 1.0, 'score_threshold': 0.5}
    attempt = {'attempt': index, 'start': 1.0, 'decision': 2.0, 'end': 3.0, 'success': 'true'}
    return DiagnosticArray(header=conversions.header(stamp_ns, ''), status=[DiagnosticStatus(
        name=name, level=bytes([index % 4]), message='running',
        values=[KeyValue(key=key, value=str(value)) for key, value in pairs.items()])
        for name, pairs in (('grasp_predictor', values), (f'attempt/{index}', attempt))])


def features(index: int, stamp_ns: int) -> Image:
    """Return a motion map."""
    values = np.random.default_rng(index).random((4, 5, 2), np.float32)
    return Image(header=conversions.header(stamp_ns, FRAME), height=4, width=5, encoding='32FC2',
                 step=40, data=values.tobytes())


def command(index: int, stamp_ns: int) -> String:
    """Return a command of attempt_recorder that leaves no file."""
    return String(data=('start', 'status', 'closed', 'discard')[index % 4])


def joints(index: int, stamp_ns: int) -> JointState:
    """Return the position of a gripper's fingers."""
    return JointState(header=conversions.header(stamp_ns, ''), name=['finger'],
                      position=[0.01 * (index % 5)])


def report(index: int, stamp_ns: int) -> Header:
    """Return the report of an image."""
    return conversions.header(stamp_ns, ('scored', 'stored', 'skipped')[index % 3])


VALID: dict[Any, Callable[[int, int], Any]] = {
    Image: image, CompressedImage: compressed, CameraInfo: camera_info, PoseArray: candidates,
    PointCloud2: lead_times, PoseStamped: selected, DiagnosticArray: diagnostics,
    String: command, JointState: joints, Header: report}
"""What makes a valid message of a type: takes an index and a stamp."""
_BY_TOPIC = {'grasp_scores': scores, 'features_shown': features}


def generated(kind: Any, rng: np.random.Generator, index: int, topic: str = '') -> Any:
    """
    Make a message for an input; most are altered in one to four places.

    :param kind: message class; one without an entry in :data:`VALID` begins with its defaults.
    :param topic: it decides what a message of this type holds, such as scores or lead times.
    """
    stamp_ns = START_NS + index * 33_000_000
    make = _BY_TOPIC.get(topic.rpartition('/')[2]) or VALID.get(kind, lambda *_: kind())
    message = make(index, stamp_ns)
    for _ in range(int(rng.integers(0, 5))):
        alter(message, rng)
    return message


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """Change the CDR bytes of a message at random; one in two stays as it is."""
    # The middleware does not pass on less than the four bytes that begin each message.
    return raw if rng.integers(2) else raw[:4] + _bytes(raw[4:], rng)


def alter(message: Any, rng: np.random.Generator) -> None:
    """Change one field of a message, at any depth."""
    kinds = message.get_fields_and_field_types()
    if not kinds:
        return
    name = str(rng.choice(list(kinds)))
    setattr(message, name, _altered(getattr(message, name), kinds[name], rng))


def _altered(value: Any, kind: str, rng: np.random.Generator) -> Any:
    if hasattr(value, 'get_fields_and_field_types'):
        alter(value, rng)
        return value
    if kind.startswith('sequence<'):
        return _sequence(value, kind[len('sequence<'):-1], rng)
    if kind.endswith(']'):
        changed = list(value)
        changed[int(rng.integers(len(changed)))] = _scalar(kind.split('[')[0], rng)
        return changed
    return _scalar(kind, rng)


def _sequence(value: Any, kind: str, rng: np.random.Generator) -> Any:
    if kind in ('uint8', 'octet', 'byte'):
        return _bytes(bytes(value), rng)
    items = list(value)
    choice = rng.integers(4)
    if choice == 0 or not items:
        return items[:int(rng.integers(len(items) + 1))]
    if choice == 1:
        return (items * int(rng.choice([2, 5, 50])))[:_MOST]
    place = int(rng.integers(len(items)))
    items[place] = _altered(items[place], kind, rng)
    return items


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    choice = int(rng.integers(5))
    if choice == 0:
        return data[:int(rng.integers(len(data) + 1))]
    if choice == 1:
        return rng.bytes(int(rng.integers(2000)))
    if choice == 2:
        return data + rng.bytes(int(rng.integers(100)))
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 20)) if changed else 0):
        changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
    return bytes(changed)


def _scalar(kind: str, rng: np.random.Generator) -> Any:
    if kind in ('string', 'wstring') or kind.startswith('string<'):
        return str(rng.choice(_TEXTS))
    if kind in ('float', 'double'):
        value = float(rng.choice(_REALS))
        return float(np.clip(value, -3e38, 3e38)) if kind == 'float' else value
    if kind == 'boolean':
        return bool(rng.integers(2))
    if kind in ('octet', 'byte', 'char'):
        return int(rng.integers(128)) if kind == 'char' else bytes([int(rng.integers(256))])
    bits = _BITS[kind.removeprefix('u')]
    low, high = (0, 2**bits - 1) if kind.startswith('u') else (-2**(bits - 1), 2**(bits - 1) - 1)
    edges = [low, high, 0, 1, min(high, 10**9), min(high, 65536), high // 2]
    return int(edges[int(rng.integers(len(edges)))])


def read_scores(cloud: Any) -> np.ndarray:
    """Return the scores of a cloud, candidates first, NaN where there is none."""
    from moss_perception.core.scores import read_scores as read
    scores = GraspScores.of(read(cloud))
    return np.array([*scores.candidates['score'], scores.default['score']], float)
