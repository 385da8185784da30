"""The source of the demo: a recording or a video, its topics and its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moss_perception.core.cameras import CalibrationCheck, to_camera
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.stamps import StampCheck
from moss_perception.data.bags.clocks import ClockCheck, other_cameras
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import LEAD_TIMES_TOPIC, STAMP_END, stamp_of
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.clips.frames import read_frames
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.attempts import Attempt, executed_grasps

CANDIDATES_TOPIC, OUTCOME_TOPIC = '/grasp_candidates', '/grasp_outcome'
_COMPRESSED = '/compressed'
# Any stamp above 0 is valid.
_VIDEO_START_NS = 1_000_000_000


@dataclass(frozen=True)
class Source:
    """
    A recording to be played.

    :ivar path: the rosbag2.
    :ivar shown: name to show.
    :ivar image_topic: topic as recorded.
    :ivar compressed: whether the type is CompressedImage.
    :ivar camera_topic: topic of the camera calibration, or ``None``.
    :ivar topics: topics to play.
    :ivar frames: number of images.
    :ivar start_ns: start of the recording, nanoseconds.
    :ivar camera: the calibration, or ``None`` if there is no usable one.
    :ivar attempts: attempts in order; empty without labels.
    :ivar damage: what is missing from the recording; empty if nothing is known to be.
    :ivar doubts: what is wrong with its stamps, in words, as an evaluation says it.
    """

    path: Path
    shown: str
    image_topic: str
    compressed: bool
    camera_topic: str | None
    topics: list[str]
    frames: int
    start_ns: int
    camera: Camera | None
    attempts: list[Attempt]
    damage: str = ''
    doubts: tuple[str, ...] = ()


def open_source(path: Path, image_topic: str | None = None, shown: str = '') -> Source:
    """
    Open a recording, and find its topics and attempts.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file.
    :param image_topic: with or without ``/compressed``; ``None`` for the only one.
    :param shown: name to show; empty for its path.
    :raises BagError: if it can't be read, or has no such images.
    """
    with Recording(path, salvage=True) as recording:
        topic = recording.image_topic(image_topic)
        camera_topic, camera = _find_camera(recording, topic.name.removesuffix(_COMPRESSED))
        wanted = (topic.name, camera_topic, CANDIDATES_TOPIC, LEAD_TIMES_TOPIC, OUTCOME_TOPIC)
        outcomes = recording.outcomes()
        doubts = _doubts(recording, topic.name, camera_topic, outcomes)
        return Source(
            path, shown or str(path), topic.name, topic.type.endswith('CompressedImage'),
            camera_topic, [x for x in wanted if x in recording.topics], topic.count,
            recording.start_ns, camera, executed_grasps(
                recording, outcomes, image_topic=topic.name, candidates_topic=CANDIDATES_TOPIC
                if CANDIDATES_TOPIC in recording.topics else None), recording.damage, doubts)


def _doubts(recording: Recording, images: str, camera: str | None,
            outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Compare the stamps of images, candidates, outcomes and the recorder, and calibrations."""
    stamps, clock, calibrations = StampCheck(), ClockCheck(), CalibrationCheck()
    for topic, _, recorded_ns, raw in recording.messages(
            [x for x in (images, camera, CANDIDATES_TOPIC) if x and x in recording.topics]):
        if topic == camera:
            calibrations.take(raw[STAMP_END:])
            continue
        try:
            stamp_ns = stamp_of(raw)
        except BagError:
            # The predictor refuses it.
            continue
        if topic == images:
            stamps.image(stamp_ns)
            clock.image(stamp_ns, recorded_ns)
        else:
            stamps.candidates(stamp_ns)
    return (*stamps.lines(), *clock.lines(), *clock.outcomes(outcomes),
            *calibrations.lines(), *other_cameras(recording, images))


def record_video(path: Path, folder: Path) -> None:
    """
    Turn a video into a recording of compressed images, stamped by the video's clock.

    :param path: anything that OpenCV opens.
    :param folder: the rosbag2 to make.
    :raises BagError: if there is no such file, or no image in it.
    """
    with RecordingWriter(folder, frame_id='camera', topics=['/image/compressed']) as writer:
        # A film that is cut off can be looked at all the same.
        for frame in read_frames(path, whole=False):
            writer.image(_VIDEO_START_NS + frame.time_ns, frame.jpeg)


def _find_camera(recording: Recording, image: str) -> tuple[str | None, Camera | None]:
    """Find the calibration: beside the images by ROS's convention, or the only one."""
    name = recording.camera_info_topic(image)
    if name is None:
        return None, None
    _, kind, _, raw = next(recording.messages([name]))
    try:
        return name, to_camera(recording.deserialize(raw, kind), image)
    except ConfigError:
        # The predictor reports the error, and scores the default grasp point.
        return name, None
