"""Write recordings of a predictor's outputs, by the rows of its scores and without ROS."""

from moss_perception.core.clouds import cloud_fields
from moss_perception.core.scores import (
    DEFAULT_GRASP,
    SCORE_DTYPE,
    ScoreReason,
)
import numpy as np
from rosbags.typesys import get_typestore, Stores

STORE = get_typestore(Stores.ROS2_JAZZY)
FRAME_ID = 'camera_optical_frame'
PREDICTOR = '/grasp_predictor'


def quaternions(yaws):
    halves = np.asarray(yaws, float) / 2
    zero = np.zeros_like(halves)
    return np.stack([zero, zero, np.sin(halves), np.cos(halves)], axis=1)


def rows_of(grasps, scores, candidates_ns, default=0.5, reasons=None):
    """Return the rows of one frame: grasps of shape ``(K, 4)``, then the default grasp point."""
    grasps = np.append(np.reshape(grasps, (-1, 4)), [[0, 0, 0.6, 0]], axis=0)
    rows = np.zeros(len(grasps), SCORE_DTYPE)
    places = np.column_stack([grasps[:, :3], quaternions(grasps[:, 3])])
    for index, name in enumerate(SCORE_DTYPE.names[:7]):
        rows[name] = places[:, index]
    rows['score'] = np.append(scores, default)
    rows['uncertainty'] = rows['score'] / 10
    rows['candidate'] = np.append(np.arange(len(grasps) - 1), DEFAULT_GRASP)
    rows['reason'][:-1] = ScoreReason.SCORED if reasons is None else reasons
    rows['candidates_sec'][:-1], rows['candidates_nanosec'][:-1] = divmod(candidates_ns, 10**9)
    return rows


def _header(stamp_ns, frame_id):
    kinds = STORE.types
    return kinds['std_msgs/msg/Header'](
        stamp=kinds['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9)), frame_id=frame_id)


def scores_message(stamp_ns, rows):
    kinds = STORE.types
    fields = [kinds['sensor_msgs/msg/PointField'](name, offset, datatype, 1)
              for name, offset, datatype in cloud_fields(SCORE_DTYPE)]
    data = np.frombuffer(rows.tobytes(), np.uint8)
    return kinds['sensor_msgs/msg/PointCloud2'](
        header=_header(stamp_ns, FRAME_ID), height=1, width=len(rows), fields=fields,
        is_bigendian=False, point_step=SCORE_DTYPE.itemsize,
        row_step=SCORE_DTYPE.itemsize * len(rows), data=data, is_dense=False)


class OutputsWriter:
    """Adds a predictor's outputs to a recording that is being written."""

    def __init__(self, writer, predictor=PREDICTOR):
        self._writer, self._predictor = writer, predictor

    def scores(self, stamp_ns, rows, late_ns=1000):
        self._put('/grasp_scores', 'sensor_msgs/msg/PointCloud2', stamp_ns + late_ns,
                  scores_message(stamp_ns, rows))

    def processed(self, stamp_ns, status, late_ns=2000):
        self._put('/processed', 'std_msgs/msg/Header', stamp_ns + late_ns,
                  _header(stamp_ns, status))

    def diagnostics(self, stamp_ns, **values):
        kinds = STORE.types
        pairs = [kinds['diagnostic_msgs/msg/KeyValue'](k, v) for k, v in values.items()]
        status = kinds['diagnostic_msgs/msg/DiagnosticStatus'](
            0, self._predictor.lstrip('/'), 'scoring', '', pairs)
        message = kinds['diagnostic_msgs/msg/DiagnosticArray'](_header(stamp_ns, ''), [status])
        data = STORE.serialize_cdr(message, 'diagnostic_msgs/msg/DiagnosticArray')
        self._writer.serialised('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray', stamp_ns,
                                data)

    def _put(self, name, kind, recorded_ns, message):
        self._writer.serialised(self._predictor + name, kind, recorded_ns,
                                STORE.serialize_cdr(message, kind))
