"""PointCloud2 to NumPy: sensor_msgs_py is not on PyPI."""

from typing import Any

from moss_perception.core.errors import CandidateError
import numpy as np

SCORE_FIELDS = ('x', 'y', 'z', 'score', 'uncertainty')
# sensor_msgs/PointField's FLOAT32 and FLOAT64
_FORMATS = {7: 'f4', 8: 'f8'}


def read_scores(message: Any) -> np.ndarray:
    """
    Read a cloud of grasp scores.

    :param message: sensor_msgs/PointCloud2 with float fields x, y, z, score, uncertainty, at any
        offsets, of either byte order, other fields among them.
    :returns: structured array, shape ``(K,)``, of float32 fields ``x``, ``y``, ``z`` (metres),
        ``score`` in [0, 1] and ``uncertainty`` in [0, 0.5]; NaN as in the message.
    :raises CandidateError: if fields are missing or not floats, or the sizes do not fit.
    """
    order = '>' if message.is_bigendian else '<'
    dtype = np.dtype({'names': SCORE_FIELDS, 'itemsize': message.point_step,
                      **_layout(message, order)})
    width, height, row = message.width, message.height, message.row_step
    packed = width * message.point_step
    if (row < packed and height > 1) or len(message.data) < max(0, height - 1) * row + packed:
        raise CandidateError(
            f'score cloud of {height} x {width} points of {message.point_step} bytes does not fit '
            f'its row_step {row} and {len(message.data)} bytes of data')
    data = memoryview(message.data).cast('B')
    scores = np.empty((height, width), [(name, np.float32) for name in SCORE_FIELDS])
    for index in range(height if width else 0):
        points = np.frombuffer(data, dtype, width, index * row)
        for name in SCORE_FIELDS:
            scores[index][name] = points[name]
    return scores.reshape(-1)


def positions_of(scores: np.ndarray) -> np.ndarray:
    """
    Return where scored grasps are.

    :param scores: what :func:`read_scores` returned, shape ``(K,)``.
    :returns: float32, shape ``(K, 3)``, metres.
    """
    return np.stack([scores['x'], scores['y'], scores['z']], axis=1)


def _layout(message: Any, order: str) -> dict[str, list]:
    fields = {field.name: field for field in message.fields}
    listed = ', '.join(f'{f.name} (datatype {f.datatype}, count {f.count})'
                       for f in message.fields) or 'none'
    wanted = [fields.get(name) for name in SCORE_FIELDS]
    if any(f is None or f.datatype not in _FORMATS or f.count not in (0, 1) for f in wanted):
        raise CandidateError(
            f'score cloud has fields {listed}: expected floats {", ".join(SCORE_FIELDS)}')
    formats = [order + _FORMATS[f.datatype] for f in wanted]
    ends = [f.offset + np.dtype(_FORMATS[f.datatype]).itemsize for f in wanted]
    if max(ends) > message.point_step:
        raise CandidateError(
            f'score cloud has fields up to byte {max(ends)}, beyond its point_step '
            f'{message.point_step}')
    return {'formats': formats, 'offsets': [f.offset for f in wanted]}
