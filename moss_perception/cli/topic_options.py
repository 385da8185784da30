"""Options that name the topics of a recording and describe its camera; a prompt for topics."""

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from moss_perception.core.cameras import CameraSetup, RECTIFICATIONS
from moss_perception.core.errors import ConfigError
from moss_perception.core.text import one_line
from moss_perception.data.remote import is_address
from moss_perception.evaluation.input_topics import (
    check_names,
    KEYS,
    named_topics,
    OUTCOMES,
    SETUP,
    take_setup,
    topics_of_recording,
)

if TYPE_CHECKING:
    from moss_perception.evaluation.batch import EvaluationInput

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
CAMERA_OPTIONS = SETUP


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
                            'YAML file of them; keys: ' + ', '.join((*KEYS, *SETUP)) + ', and '
                            'outcomes for a table. They take precedence over the options of all '
                            'recordings')


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
    group.add_argument('--calibration', metavar='FILE.yaml',
                       help="calibration of the camera, as written by ROS's camera_calibration "
                            '(default: the recorded one)')


def setup_of(arguments: argparse.Namespace) -> CameraSetup | None:
    """
    Return what the user said about the camera; ``None`` for nothing.

    :raises ConfigError: if a value is not allowed.
    :raises BagError: if the calibration can't be read.
    """
    given = _given_setup(arguments)
    return CameraSetup.of(**given) if given else None


def _given_setup(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name in CAMERA_OPTIONS
            if (value := getattr(arguments, name)) is not None}


def recordings_of(arguments: argparse.Namespace,
                  bags: Sequence[tuple[str, str]]) -> 'list[EvaluationInput]':
    """
    Combine recordings with their outcomes, topics and cameras.

    :param arguments: with the options of :func:`add_topic_options`,
        :func:`add_topics_by_recording` and :func:`add_camera_options`, and with ``outcomes``: no
        table, one for all recordings, or one for each.
    :param bags: domain, or empty, and path of each.
    :raises ConfigError: if there are other numbers of tables, a name belongs to no recording, or
        a value is not allowed.
    :raises BagError: if a calibration can't be read.
    """
    from moss_perception.evaluation.batch import EvaluationInput
    tables = arguments.outcomes
    if len(tables) not in (0, 1, len(bags)):
        raise ConfigError(f'--outcomes names {len(tables)} files for {len(bags)} recordings: '
                          'expected one for all, or one for each')
    tables = tables * len(bags) if len(tables) == 1 else tables or [''] * len(bags)
    named, for_all = named_topics(arguments.topics), _given_setup(arguments)
    check_names(named, bags)
    # Its values are checked even if each recording has others.
    setup_of(arguments)
    found = []
    for (domain, bag), table in zip(bags, tables, strict=True):
        own = topics_of_recording(named, domain, bag)
        table = own.pop(OUTCOMES, None) or table
        camera = for_all | (setup := take_setup(own))
        # The recording's own topic takes precedence over the calibration of all.
        if 'camera_info' in own and 'calibration' not in setup:
            camera.pop('calibration', None)
        found.append(EvaluationInput(bag, domain, table or None, topics_of(arguments) | {
            f'{key}_topic': topic for key, topic in own.items()},
            CameraSetup.of(**camera) if camera else None))
    return found


def domain_of(text: str) -> tuple[str, str]:
    """Split ``DOMAIN:BAG``, unless the whole text is an address or an existing path."""
    domain, colon, bag = text.partition(':')
    whole = is_address(text) or '/' in domain or Path(text).exists()
    split = colon and bag and not whole
    return (domain, bag) if split else ('', text)


def topics_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the topics given by the user, by the argument of evaluation.replay."""
    return {name: topic for name in TOPICS if (topic := getattr(arguments, name, None))}


def choose(bag: str, topics: dict[str, str],
           setup: CameraSetup | None = None) -> dict[str, str]:
    """
    Find the topics of a recording; ask the user at the terminal if there are several.

    :param topics: the topics given by the user, by the argument of evaluation.replay.
    :param setup: whose calibration, if it has one, takes the place of a topic.
    :returns: these topics, and those that were found or chosen.
    :raises MossError: if a given topic is missing, or several fit and there is no terminal.
    """
    from moss_perception.data.bags.reader import Recording
    with Recording(bag, salvage=True) as recording:
        images = recording.image_topic(_clear(bag, 'image_topic', topics, lambda: [
            x.name for x in recording.colour_topics()]))
        camera = _clear(bag, 'camera_info_topic', topics, lambda: (
            [] if setup is not None and setup.calibration
            else recording.camera_info_topics(images.name)))
        # Report a wrong name before a long run, not in the middle of it.
        grasps = recording.candidates_topic(
            _clear(bag, 'candidates_topic', topics, recording.candidates_topics))
        if setup is None or setup.calibration is None:
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
