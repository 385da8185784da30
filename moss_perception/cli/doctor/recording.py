"""Checks of a recording: what is missing from it, its topics, and its streams."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import BagError
from moss_perception.data.bags.clocks import other_cameras
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of
from moss_perception.data.bags.transforms import RecordedTransforms
from moss_perception.evaluation.checks import Checks
from moss_perception.evaluation.findings import Seen
from moss_perception.evaluation.stream_checks import Streams, TOGETHER
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.candidate_frames import CandidateFrames

# So many pictures are decoded, spread over the recording.
_DECODED = 40
_SCORES = '/grasp_scores'
_INFERRED = 'name the topics with --image-topic and the like'


def check_recording(path: Path, config: ModelConfig, topics: Mapping[str, str],
                    setup: CameraSetup | None = None) -> list[Checks]:
    """
    Check a recording.

    :param config: of the checkpoint that would read it.
    :param topics: those that the user names, by the argument of
        :func:`moss_perception.evaluation.replay.replay`.
    :param setup: whether the images are rectified, where the candidates' frame is, and perhaps
        the calibration.
    :returns: the checks of the file, and of its streams.
    :raises BagError: if nothing of it can be read.
    """
    checks = Checks(f'recording {path}')
    with Recording(path, salvage=True) as recording:
        checks.fine(f'{recording.message_count} messages in '
                    f'{(recording.end_ns - recording.start_ns) / 1e9:.1f} s on '
                    f'{len(recording.topics)} topics')
        try:
            streams = _read(recording, config, topics, setup)
        except BagError as error:
            checks.fail(str(error), _INFERRED)
            streams = None
        _check_executed(checks, recording, topics.get('executed_topic'))
        if recording.damage:
            checks.warn(recording.damage,
                        'use a whole copy if there is one, or go on with what is there')
    return [checks] if streams is None else [checks, streams.check('streams')]


def _check_executed(checks: Checks, recording: Recording, name: str | None) -> None:
    """Say from which topic the executed grasps would be read."""
    try:
        topic = recording.executed_topic(name)
    except BagError as error:
        checks.fail(str(error), 'name the topic of executed grasps with --executed-topic')
        return
    if topic:
        checks.fine(f'the executed grasps are read from {topic}, {recording.topics[topic].count} '
                    'poses')
    elif poses := recording.pose_topics():
        checks.fine(f'no topic of executed grasps, but poses on {", ".join(poses)}: name one with '
                    '--executed-topic if it has them')


def _read(recording: Recording, config: ModelConfig, topics: Mapping[str, str],
          setup: CameraSetup | None) -> Streams:
    """Read the messages that an evaluation uses."""
    image = recording.image_topic(topics.get('image_topic'))
    calibration = None if setup is not None and setup.calibration else (
        recording.camera_info_topic(image.name, topics.get('camera_info_topic')))
    candidates = recording.candidates_topic(topics.get('candidates_topic'))
    frames = CandidateFrames(setup, RecordedTransforms(recording.path))
    streams = Streams(config, Seen(image_topic=image.name, placing=frames,
                                   candidates_topic=candidates or ''))
    if frames.setup.calibration is not None:
        streams.camera(frames.setup.calibration)
    handlers: dict[str, Any] = {topic: take for topic, take in (
        (calibration, streams.camera), (candidates, streams.candidates)) if topic}
    handlers |= dict.fromkeys((x for x in recording.topics if x.endswith(_SCORES)), streams.scores)
    # In groups, since two cameras show in images that follow one another.
    every = max(TOGETHER, image.count * TOGETHER // _DECODED)
    wanted = [x for x in (image.name, *handlers) if recording.topics[x].count]
    for topic, kind, recorded_ns, raw in recording.messages(wanted):
        if topic == image.name:
            due = len(streams.stamps_ns) % every < TOGETHER
            streams.image(*header_of(raw), recorded_ns,
                          recording.deserialize(raw, kind) if due else None)
        else:
            handlers[topic](recording.deserialize(raw, kind))
    streams.seen.cameras = other_cameras(recording, image.name)
    streams.outcomes = recording.outcomes(topics.get('outcome_topic'))
    return streams
