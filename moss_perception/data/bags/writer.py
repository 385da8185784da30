"""Write recordings of grasp attempts as rosbag2."""

from contextlib import suppress
import functools
import math
from pathlib import Path
import shutil
import tempfile

from moss_perception.core.errors import BagError
from moss_perception.data.outcomes import Outcome, values_of
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import get_typestore, Stores

TOPICS = {
    '/image/compressed': 'sensor_msgs/msg/CompressedImage',
    '/camera_info': 'sensor_msgs/msg/CameraInfo',
    '/grasp_candidates': 'geometry_msgs/msg/PoseArray',
    '/selected_grasp': 'geometry_msgs/msg/PoseStamped',
    '/grasp_outcome': 'diagnostic_msgs/msg/DiagnosticArray',
}
# Not every recording has them.
_LEAD_TIMES = '/grasp_lead_times'
_KINDS = {**TOPICS, _LEAD_TIMES: 'sensor_msgs/msg/PointCloud2'}
_STORAGE = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
# The format of ROS 2 Humble's rosbag2, which later versions can also read.
_VERSION = 8
_FOREVER = QosTime(9223372036, 854775807)
_RELIABLE = Qos(QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE,
                _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False)


def is_known(kind: str) -> bool:
    """Return whether messages of a type, such as ``std_msgs/msg/Header``, can be written."""
    return kind in _store().fielddefs


@functools.cache
def _store():
    return get_typestore(Stores.ROS2_JAZZY)


def definition_of(msgtype: str) -> str:
    """
    Return the definition of a message type and of all that it contains, as ``.msg`` text.

    :param msgtype: a type of ROS 2 Jazzy, such as ``std_msgs/msg/Header``.
    """
    return _store().generate_msgdef(msgtype, ros_version=2)[0]


class RecordingWriter:
    """
    Writes the contract's topics into a rosbag2, with ROS 2 Jazzy's types.

    A context manager. The recording is written under a temporary name next to its place and
    moved to its path when the block succeeds; otherwise it is removed. A message's time in
    the recording is its header stamp.

    :param path: the folder to create.
    :param frame_id: frame of every header.
    :param storage: ``mcap`` or ``sqlite3``.
    :param topics: topics of the recording, from :data:`TOPICS`.
    :param source: hardware ID of the outcomes.
    :param notes: texts by name, stored as ``custom_data`` in ``metadata.yaml``.
    :raises BagError: if the path exists, or the storage is unknown.
    """

    def __init__(self, path, frame_id: str = 'camera_optical_frame', storage: str = 'mcap',
                 topics=tuple(TOPICS), source: str = 'sim_cell', notes=None):
        self.path = Path(path)
        self.frame_id = frame_id
        if storage not in _STORAGE:
            raise BagError(f'unknown storage {storage!r}, expected mcap or sqlite3')
        if self.path.exists():
            raise BagError(f'{self.path} exists already; recordings are not overwritten')
        self._storage = _STORAGE[storage]
        self._topics = tuple(topics)
        self._source = source
        self._notes = dict(notes or {})
        self._store = _store()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.finish()
        else:
            self.discard()

    def open(self):
        """
        Begin the recording.

        :raises BagError: if it can't be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f'.{self.path.name}.',
                                                 dir=self.path.parent))
        except OSError as error:
            raise self._failed(error) from error
        try:
            self._bag = Writer(self._folder / self.path.name, version=_VERSION,
                               storage_plugin=self._storage)
            for name, text in self._notes.items():
                self._bag.set_custom_data(name, text)
            self._bag.open()
            self._connections = {
                topic: self._bag.add_connection(
                    topic, TOPICS[topic], typestore=self._store,
                    offered_qos_profiles=[_RELIABLE])
                for topic in self._topics}
        except BaseException as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise

    def finish(self):
        """
        Move the complete recording to its place, or remove it if that fails.

        :raises BagError: if it can't be written.
        """
        try:
            self._bag.close()
            self._place(self._folder / self.path.name)
        except (OSError, WriterError) as error:
            raise self._failed(error) from error
        finally:
            self.discard()

    def discard(self):
        """Remove what is not finished."""
        # On a full disk, closing the file fails as well.
        with suppress(OSError):
            self._bag.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    def note(self, name: str, text: str):
        """Store a text as ``custom_data`` in ``metadata.yaml``; until it is finished."""
        self._bag.set_custom_data(name, text)

    def _place(self, complete: Path):
        """Move the folder of the complete recording to its place."""
        complete.rename(self.path)

    def _failed(self, error: Exception) -> BagError:
        reason = getattr(error, 'strerror', None) or error
        return BagError(f'could not write {self.path}: {reason}')

    def image(self, stamp_ns: int, jpeg: bytes):
        """Write a compressed image, JPEG bytes, on ``/image/compressed``."""
        self._write('/image/compressed', stamp_ns, format='jpeg',
                    data=np.frombuffer(jpeg, np.uint8))

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray,
                    distortion=(0.0,) * 5, model: str = 'plumb_bob'):
        """
        Write a camera's calibration on ``/camera_info``, of the unrectified image.

        :param matrix: intrinsics, shape ``(3, 3)``, pixels.
        :param distortion: coefficients of ``model``; none without.
        """
        matrix = np.asarray(matrix, np.float64)
        self._write(
            '/camera_info', stamp_ns, height=height, width=width, distortion_model=model,
            d=np.asarray(distortion, np.float64), k=matrix.ravel(), r=np.eye(3).ravel(),
            p=np.column_stack([matrix, np.zeros(3)]).ravel(), binning_x=0, binning_y=0,
            roi=self._new('sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0,
                          width=0, do_rectify=False))

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """
        Write grasp candidates on ``/grasp_candidates``.

        :param grasps: shape ``(K, 4)``, K may be 0: x, y, z, metres, and the closing direction's
            yaw about the optical axis, radians, in the camera's optical frame.
        """
        self._write('/grasp_candidates', stamp_ns, poses=[self._pose(grasp) for grasp in grasps])

    def lead_times(self, stamp_ns: int, values: np.ndarray):
        """
        Write the lead times of the candidates that have this stamp on ``/grasp_lead_times``.

        :param values: shape ``(K,)``, seconds.
        """
        self.add_topic(_LEAD_TIMES, _KINDS[_LEAD_TIMES])
        data = np.asarray(values, '<f4').view(np.uint8)
        field = self._new('sensor_msgs/msg/PointField', name='lead_time', offset=0, datatype=7,
                          count=1)
        self._write(_LEAD_TIMES, stamp_ns, height=1, width=len(values), fields=[field],
                    is_bigendian=False, point_step=4, row_step=len(data), data=data,
                    is_dense=True)

    def selected(self, stamp_ns: int, grasp: np.ndarray):
        """Write the executed grasp, shape ``(4,)``, on ``/selected_grasp``."""
        self._write('/selected_grasp', stamp_ns, pose=self._pose(grasp))

    def outcome(self, message: str, **fields):
        """
        Write the outcome of an attempt on ``/grasp_outcome``, at its end.

        :param message: outcome in words.
        :param fields: fields of :class:`moss_perception.data.outcomes.Outcome`.
        """
        outcome = Outcome(**fields)
        status = self._new(
            'diagnostic_msgs/msg/DiagnosticStatus', level=0 if outcome.success else 1,
            name=f'attempt/{outcome.attempt}', message=message, hardware_id=self._source,
            values=[self._new('diagnostic_msgs/msg/KeyValue', key=key, value=value)
                    for key, value in values_of(outcome).items()])
        self._write('/grasp_outcome', outcome.end_ns, status=[status])

    def serialised(self, topic: str, kind: str, recorded_ns: int, data: bytes):
        """
        Write a serialised message on any topic.

        :param kind: its type, such as ``std_msgs/msg/Header``, one of ROS 2 Jazzy's.
        :param recorded_ns: time of the recording, nanoseconds.
        :param data: CDR bytes.
        :raises BagError: if the type is unknown, or nothing can be written.
        """
        self.add_topic(topic, kind)
        self._put(topic, recorded_ns, data)

    def add_topic(self, topic: str, kind: str):
        """
        Add a topic, which the recording then has even without a message.

        :param kind: its type, one of ROS 2 Jazzy's.
        :raises BagError: if the type is unknown.
        """
        if not is_known(kind):
            raise BagError(f'{topic} is a {kind}: expected a type of ROS 2 Jazzy')
        if topic not in self._connections:
            self._connections[topic] = self._bag.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_RELIABLE])

    def _new(self, kind: str, **fields):
        return self._store.types[kind](**fields)

    def _pose(self, grasp: np.ndarray):
        x, y, z, yaw = (float(value) for value in grasp)
        return self._new(
            'geometry_msgs/msg/Pose', position=self._new('geometry_msgs/msg/Point', x=x, y=y, z=z),
            orientation=self._new('geometry_msgs/msg/Quaternion', x=0.0, y=0.0,
                                  z=math.sin(yaw / 2), w=math.cos(yaw / 2)))

    def _write(self, topic: str, stamp_ns: int, **fields):
        kind = _KINDS[topic]
        header = self._new(
            'std_msgs/msg/Header', frame_id=self.frame_id, stamp=self._new(
                'builtin_interfaces/msg/Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))
        self._put(topic, stamp_ns, self._store.serialize_cdr(
            self._new(kind, header=header, **fields), kind))

    def _put(self, topic: str, recorded_ns: int, data):
        try:
            self._bag.write(self._connections[topic], recorded_ns, data)
        except OSError as error:
            raise self._failed(error) from error
