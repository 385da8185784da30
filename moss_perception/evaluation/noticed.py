"""What is to be noticed of a recording that was played, without scoring it once more."""

from collections.abc import Container, Iterable

from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.core.frames import Frame
from moss_perception.core.messages import to_camera, to_candidates
from moss_perception.data.bags.headers import header_of, STAMP_END
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.findings import Seen


class Look:
    """
    One look through the messages, in the order of recording.

    :param recording: open.
    :param images: topic of the images; ``candidates`` and ``camera`` likewise, empty for none.
    :param arrived: header stamps of the images that the predictor received.
    :ivar seen: what an offline evaluation of these images notices.
    :ivar count: of the images, whether they arrived or not.
    """

    def __init__(self, recording: Recording, images: str, candidates: str, camera: str,
                 arrived: Container[int]):
        self.seen, self.count = Seen(candidates_topic=candidates), 0
        self._recording, self._arrived = recording, arrived
        self._take = {images: self._image, candidates: self._candidates, camera: self._camera}
        self._calibration = b''
        self._refused = ''

    def through(self, topics: Iterable[str] | None) -> 'Look':
        """
        Read the recording.

        :param topics: to be read, wanted or not; ``None`` for all, so that all damage shows.
        """
        for topic, kind, recorded_ns, raw in self._recording.messages(topics):
            if topic in self._take:
                self._take[topic](kind, recorded_ns, raw)
        return self

    def _image(self, _: str, recorded_ns: int, raw: bytes) -> None:
        self.count += 1
        stamp_ns, frame_id = header_of(raw)
        if stamp_ns in self._arrived:
            self.seen.image(Frame(stamp_ns, frame_id, None), recorded_ns)

    def _candidates(self, kind: str, _: int, raw: bytes) -> None:
        message = self._recording.deserialize(raw, kind)
        self.seen.candidates += 1
        self.seen.candidates_frame = message.header.frame_id
        try:
            problem = to_candidates(message).problem()
        except CandidateError as error:
            problem = str(error)
        if problem:
            self.seen.candidates_refused(problem)

    def _camera(self, kind: str, _: int, raw: bytes) -> None:
        # Calibrations come with each image, and but for their stamps they are the same.
        if raw[STAMP_END:] != self._calibration:
            self._calibration, self._refused = raw[STAMP_END:], ''
            try:
                to_camera(self._recording.deserialize(raw, kind))
            except ConfigError as error:
                self._refused = str(error)
        if self._refused:
            self.seen.camera_refused(self._refused)
