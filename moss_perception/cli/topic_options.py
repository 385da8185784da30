"""Options that name the topics of a recording and describe its camera; a prompt for topics."""

import argparse
from collections.abc import Callable, Collection
import sys

from moss_perception.core.cameras import CameraSetup, RECTIFICATIONS
from moss_perception.core.errors import ConfigError
from moss_perception.core.text import one_line
from moss_perception.evaluation.input_topics import KEYS

# By the argument of evaluation.replay: the contents of the topic, and the default.
_OPTIONS = {
    'image_topic': ('images', 'the only one with colour images'),
    'camera_info_topic': ('the camera calibration', 'the only one of its type'),
    'candidates_topic': ('grasp candidates',
                         '/grasp_candidates, or else the only one of its type'),
    'lead_times_topic': ('lead times of the candidates', '/grasp_lead_times'),
    'outcome_topic': ('outcomes', '/grasp_outcome'),
    'executed_topic': ('executed grasps', '/selected_grasp, or else the only poses with "grasp", '
                       '"execut", "select" or "chosen" in their name'),
}
TOPICS = tuple(_OPTIONS)
NO_TOPIC = 'none of them'
CAMERA_OPTIONS = ('rectified', 'candidates_frame', 'candidates_transform')


def add_topic_options(group, names: Collection[str] = TOPICS) -> None:
    """
    Add an option for each topic.

    :param names: the topics that the command reads, of :data:`TOPICS`.
    """
    for name, (what, without) in _OPTIONS.items():
        if name not in names:
            continue
        group.add_argument(_option(name), metavar='TOPIC', help=f'topic of {what} (default: '
                                                                f'{without})')


def add_topics_by_recording(group) -> None:
    """Add the option that names the topics of each recording apart."""
    group.add_argument('--topics', action='append', default=[], metavar='NAME=KEY:=TOPIC,…',
                       help='topics of one recording or domain, such as '
                            'real=image:=/camera/color/image_raw,executed:=/planner/goal, or a '
                            'YAML file of them; keys: ' + ', '.join(KEYS) + ', and outcomes for '
                            'a CSV file. They take precedence over the options of all recordings')


def add_camera_options(group) -> None:
    """Add the options that say what the messages do not say about the camera."""
    group.add_argument('--rectified', choices=RECTIFICATIONS,
                       help='whether the images are rectified: true uses P of the calibration, '
                            'false K and D, auto decides by the name of the topic, such as '
                            'image_rect (default: auto)')
    group.add_argument('--candidates-transform', nargs=7, type=float,
                       metavar=('X', 'Y', 'Z', 'QX', 'QY', 'QZ', 'QW'),
                       help="pose of the candidates' frame in the camera's optical frame, if the "
                            'recording has no tf: --candidates-transform 0.1 0 0.6 1 0 0 0')
    group.add_argument('--candidates-frame', metavar='FRAME',
                       help='the only frame to which --candidates-transform applies, such as '
                            'base_link (default: the frame that the candidates name)')


def setup_of(arguments: argparse.Namespace) -> CameraSetup | None:
    """
    Return what the user said about the camera; ``None`` for nothing.

    :raises ConfigError: if a value is not allowed.
    """
    given = {name: value for name in CAMERA_OPTIONS
             if (value := getattr(arguments, name)) is not None}
    return CameraSetup.of(**given) if given else None


def topics_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the topics given by the user, by the argument of evaluation.replay."""
    return {name: topic for name in TOPICS if (topic := getattr(arguments, name, None))}


def choose(bag: str, topics: dict[str, str]) -> dict[str, str]:
    """
    Find the topics of a recording; ask the user at the terminal if there are several.

    :param topics: the topics given by the user, by the argument of evaluation.replay.
    :returns: these topics, and those that were found or chosen.
    :raises MossError: if a given topic is missing, or several fit and there is no terminal.
    """
    from moss_perception.data.bags.reader import Recording
    with Recording(bag, salvage=True) as recording:
        images = recording.image_topic(_clear(bag, 'image_topic', topics, lambda: [
            x.name for x in recording.colour_topics()]))
        camera = _clear(bag, 'camera_info_topic', topics,
                        lambda: recording.camera_info_topics(images.name))
        # Report a wrong name before a long run, not in the middle of it.
        grasps = recording.candidates_topic(
            _clear(bag, 'candidates_topic', topics, recording.candidates_topics))
        recording.camera_info_topic(images.name, camera)
        executed = recording.executed_topic(
            _clear(bag, 'executed_topic', topics, lambda: _executed(recording)))
        recording.lead_times_topic(topics.get('lead_times_topic'))
    found = {'image_topic': images.name, 'camera_info_topic': camera, 'candidates_topic': grasps,
             'executed_topic': executed}
    return {**topics, **{name: topic for name, topic in found.items() if topic}}


def _executed(recording) -> list[str]:
    """List the topics that may have the executed grasps, and none as the last choice."""
    found = recording.executed_topics()
    # Poses of another name may be those of the tool, so the user says whether one is right.
    return found or [*recording.pose_topics(), NO_TOPIC]


def _clear(bag: str, name: str, topics: dict[str, str],
           there: Callable[[], list[str]]) -> str | None:
    """Return the given topic, or the one that the user chooses among several."""
    if name in topics or not sys.stdin.isatty():
        return topics.get(name)
    found = there()
    chosen = _ask(bag, name, found) if len(found) > 1 else None
    return '' if chosen == NO_TOPIC else chosen


def _ask(bag: str, name: str, found: list[str]) -> str:
    what, _ = _OPTIONS[name]
    print(f'{bag} has several topics of {what}:', file=sys.stderr)
    for number, topic in enumerate(found, start=1):
        print(f'  {number}  {one_line(topic)}', file=sys.stderr)
    while True:
        print(f'Which one, 1 to {len(found)}? ', end='', file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise ConfigError(f'{bag}: several topics of {what}: name one with {_option(name)}')
        if answer.strip() in map(str, range(1, len(found) + 1)):
            return found[int(answer) - 1]


def _option(name: str) -> str:
    return f'--{name.replace("_", "-")}'
