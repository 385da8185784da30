"""What a recording holds, apart from its images: stamps, calibration and candidates."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from moss_perception.core.cameras import CalibrationCheck, CameraSetup, to_camera
from moss_perception.core.errors import BagError, CandidateError, ConfigError
from moss_perception.core.frames import Camera, Candidates, to_candidates
from moss_perception.core.lead_times import LeadTimes, to_lead_times
from moss_perception.core.stamps import StampCheck
from moss_perception.data.bags.clocks import ClockCheck
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of, STAMP_END, stamp_of
import numpy as np

Place = Callable[[Candidates], Candidates]
"""Brings grasps into the images' frame; the same object if it is not known where they are."""


@dataclass
class Survey:
    """
    What a recording holds, apart from its images.

    :ivar image_topic: topic of the images.
    :ivar stamps_ns: header stamps of the images in the order of recording, int64, shape ``(N,)``.
    :ivar frame_ids: their frames, ``N`` names.
    :ivar cameras: the calibrations, each once; empty if there are none.
    :ivar stamps: compares the stamps of images and candidates.
    :ivar clock: compares the clock of the stamps with the recorder's.
    :ivar calibration_check: follows how the calibration changes.
    :ivar camera_ids: index of each image's calibration, int, shape ``(N,)``: the newest one that
        is not newer than the image, or the first one.
    """

    image_topic: str
    stamps_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    frame_ids: list[str] = field(default_factory=list)
    cameras: list[Camera] = field(default_factory=list)
    camera_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    stamps: StampCheck = field(default_factory=StampCheck)
    clock: ClockCheck = field(default_factory=ClockCheck)
    calibration_check: CalibrationCheck = field(default_factory=CalibrationCheck)
    _recording: Recording | None = None
    _place: Place = lambda one: one
    _grasps: list[tuple[int, str, bytes]] = field(default_factory=list)
    _lead_times: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    def image_at(self, stamp_ns: int) -> int:
        """Return the index of the newest image that is not newer than a stamp; -1 for none."""
        late_ns = stamp_ns - self.stamps_ns
        known = np.flatnonzero(late_ns >= 0)
        return int(known[late_ns[known].argmin()]) if len(known) else -1

    def candidates_at(self, stamp_ns: int) -> Candidates | None:
        """
        Return the newest candidates that are not newer than a stamp.

        :param stamp_ns: nanoseconds.
        :returns: in the images' frame, if it is known where they are, and with their lead times,
            if these were recorded; ``None`` if there are none.
        :raises BagError: if the message is damaged.
        """
        index = bisect_right(self._grasps, stamp_ns, key=lambda one: one[0]) - 1
        if index < 0:
            return None
        assert self._recording is not None  # survey() sets it
        found_ns, kind, raw = self._grasps[index]
        try:
            found = to_candidates(self._recording.deserialize(raw, kind))
            times = self._times_of(found)
            return self._place(found if times is None else replace(
                found, lead_times=times.values))
        except CandidateError as error:
            raise BagError(f'{self._recording.path}: candidates stamped {found_ns / 1e9:.3f} s: '
                           f'{error}') from error

    def _times_of(self, candidates: Candidates) -> LeadTimes | None:
        """Return the lead times of candidates, which have their stamp and frame."""
        kind, raw = self._lead_times.get(candidates.stamp_ns, ('', b''))
        if not kind:
            return None
        assert self._recording is not None  # survey() sets it
        times = to_lead_times(self._recording.deserialize(raw, kind))
        # Those of another set can have its stamp; an evaluation does not use them either.
        of_them = (times.frame_id, len(times.values)) == (
            candidates.frame_id, len(candidates.positions))
        return times if of_them else None

    def where(self, stamps_ns: np.ndarray) -> str:
        """
        Describe in words where stamps lie that no image has, such as those of another clock.

        :param stamps_ns: of decisions, nanoseconds, at least one.
        """
        first, last = int(self.stamps_ns.min()), int(self.stamps_ns.max())
        # Decisions of the same clock lie between the images: so the middles are compared.
        offset_s = (float(np.mean(stamps_ns)) - (first + last) / 2) / 1e9
        hours = round(offset_s / 1800) / 2
        hint = ''
        if hours and abs(offset_s - 3600 * hours) < (last - first) / 2e9 + 60:
            hint = f', about {abs(hours):g} h, as between two time zones'
        return (f'the images are stamped {first / 1e9:.3f} to {last / 1e9:.3f} s, the decisions '
                f'{stamps_ns.min() / 1e9:.3f} to {stamps_ns.max() / 1e9:.3f} s: the outcomes are '
                f'{abs(offset_s):.0f} s {"later" if offset_s > 0 else "earlier"}{hint}; expected '
                "stamps of the images' clock")


def survey(recording: Recording, topics: Mapping[str, str], place: Place = lambda one: one,
           setup: CameraSetup | None = None) -> Survey:
    """
    Read everything of a recording but its images.

    :param recording: stays open as long as the result is used.
    :param topics: names by ``image_topic``, ``camera_info_topic``, ``candidates_topic`` and
        ``lead_times_topic``; missing ones are found as in an evaluation.
    :param place: brings grasps into the images' frame.
    :param setup: whether the images are rectified, and perhaps their calibration.
    :raises BagError: if a topic is missing or not clear, a message is damaged, or a calibration
        can't be used.
    """
    images = recording.image_topic(topics.get('image_topic')).name
    setup = setup or CameraSetup()
    camera_topic = None if setup.calibration else (
        recording.camera_info_topic(images, topics.get('camera_info_topic')))
    grasps_topic = recording.candidates_topic(topics.get('candidates_topic'))
    times_topic = recording.lead_times_topic(topics.get('lead_times_topic'))
    found = Survey(images, _recording=recording, _place=place)
    if (camera := setup.camera(images)) is not None:
        found.cameras.append(camera)
    calibrations: list[tuple[int, int]] = []
    newest, stamps = b'', []
    names = [x for x in (images, camera_topic, grasps_topic, times_topic) if x]
    for topic, kind, recorded_ns, raw in recording.messages(names):
        if topic == images:
            stamp_ns, frame_id = header_of(raw)
            found.stamps.image(stamp_ns)
            found.clock.image(stamp_ns, recorded_ns)
            stamps.append(stamp_ns)
            found.frame_ids.append(frame_id)
        elif topic == camera_topic:
            # Most calibrations of a stream differ only in their stamps.
            if raw[STAMP_END:] != newest:
                newest = raw[STAMP_END:]
                camera = _calibration(recording, raw, kind, (topic, images), setup.rectified)
                found.calibration_check.take(camera)
                if camera not in found.cameras:
                    found.cameras.append(camera)
                calibrations.append((stamp_of(raw), found.cameras.index(camera)))
        elif topic == grasps_topic:
            found.stamps.candidates(stamp_of(raw))
            found._grasps.append((stamp_of(raw), kind, raw))
        else:
            found._lead_times[stamp_of(raw)] = kind, raw
    found.stamps_ns = np.array(stamps, np.int64)
    calibrations.sort()
    begins = np.array([begin for begin, _ in calibrations], np.int64)
    ids = np.array([number for _, number in calibrations] or [0])
    found.camera_ids = ids[np.maximum(np.searchsorted(begins, stamps, side='right') - 1, 0)]
    found._grasps.sort(key=lambda one: one[0])
    return found


def _calibration(recording: Recording, raw: bytes, kind: str, topics: tuple[str, str],
                 rectified: str) -> Camera:
    """Read a calibration from one of the topics, of the images on the other one."""
    try:
        return to_camera(recording.deserialize(raw, kind), topics[1], rectified)
    except ConfigError as error:
        raise BagError(f'{recording.path}: {topics[0]}: {error}') from error


def describe(camera: Camera) -> str:
    """Write a calibration in a few words, for messages."""
    return (f'{camera.width} x {camera.height}, focal length {camera.matrix[0, 0]:.1f}, '
            f'{camera.model or "no distortion"}')
