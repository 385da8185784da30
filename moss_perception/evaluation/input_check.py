"""Check the inputs of a recording without scoring it: headers, candidates and calibrations."""

from collections.abc import Container, Iterable

from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.core.frames import Frame, to_camera, to_candidates
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of, STAMP_END, stamp_of
from moss_perception.evaluation.findings import Seen


class InputCheck:
    """
    One pass over the messages, in the order of recording.

    :param recording: an open recording.
    :param images: topic of the images; empty for none.
    :param candidates: topic of the candidates; empty for none.
    :param camera: topic of the calibration; empty for none.
    :param received: header stamps of the images that the predictor received; ``None`` for all.
    :ivar seen: the same findings as of an offline evaluation of these images.
    :ivar stamps: stamps of all images, in order, nanoseconds.
    :ivar candidate_stamps: stamps of the candidate messages, nanoseconds.
    """

    def __init__(self, recording: Recording, images: str, candidates: str, camera: str,
                 received: Container[int] | None):
        self.seen = Seen(candidates_topic=candidates)
        self.stamps: list[int] = []
        self.candidate_stamps: list[int] = []
        self._recording, self._received = recording, received
        self._handlers = {images: self._image, candidates: self._candidates, camera: self._camera}
        self._calibration = b''
        self._refused = ''

    def run(self, topics: Iterable[str] | None) -> 'InputCheck':
        """
        Read the recording.

        :param topics: topics to read; ``None`` for all, which finds all damage.
        """
        for topic, kind, recorded_ns, raw in self._recording.messages(topics):
            if topic in self._handlers:
                self._handlers[topic](kind, recorded_ns, raw)
        return self

    def _image(self, _: str, recorded_ns: int, raw: bytes) -> None:
        stamp_ns, frame_id = header_of(raw)
        self.stamps.append(stamp_ns)
        if self._received is None or stamp_ns in self._received:
            self.seen.image(Frame(stamp_ns, frame_id, None), recorded_ns)

    def _candidates(self, kind: str, _: int, raw: bytes) -> None:
        message = self._recording.deserialize(raw, kind)
        self.seen.candidates += 1
        self.seen.candidates_frame = message.header.frame_id
        self.candidate_stamps.append(stamp_of(raw))
        try:
            problem = to_candidates(message).problem()
        except CandidateError as error:
            problem = str(error)
        if problem:
            self.seen.candidates_refused(problem)

    def _camera(self, kind: str, _: int, raw: bytes) -> None:
        # Each image has a calibration message, and usually only the stamps differ.
        if raw[STAMP_END:] != self._calibration:
            self._calibration, self._refused = raw[STAMP_END:], ''
            try:
                to_camera(self._recording.deserialize(raw, kind))
            except ConfigError as error:
                self._refused = str(error)
        if self._refused:
            self.seen.camera_refused(self._refused)
