"""Which topics of a recording are meant: the options that name them, and who is asked."""

import argparse
from collections.abc import Callable
import sys

from moss_perception.core.errors import ConfigError

# By the argument of evaluation.replay: what is on the topic, and what is taken without a name.
_OPTIONS = {
    'image_topic': ('images', 'the only ones in colour'),
    'camera_info_topic': ("the camera's calibration", 'found by its type'),
    'candidates_topic': ('grasp candidates', '/grasp_candidates, or else found by its type'),
    'outcome_topic': ('outcomes', '/grasp_outcome'),
    'executed_topic': ('the grasps that were executed', '/selected_grasp'),
}
TOPICS = tuple(_OPTIONS)


def add_topics(group) -> None:
    """Let each topic be named on the command line."""
    for name, (what, without) in _OPTIONS.items():
        group.add_argument(_option(name), metavar='TOPIC', help=f'of {what}; without: {without}')


def topics_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the topics that were named, by the argument of evaluation.replay."""
    return {name: getattr(arguments, name) for name in TOPICS if getattr(arguments, name)}


def choose(bag: str, topics: dict[str, str]) -> dict[str, str]:
    """
    Look into a recording; where it isn't clear which topic is meant, ask who sits there.

    :param topics: those that were named, by the argument of evaluation.replay.
    :returns: these, and those that were found or chosen.
    :raises MossError: if a topic that was named isn't there, or none is named of several.
    """
    from moss_perception.data.bags.reader import Recording
    with Recording(bag, salvage=True) as recording:
        images = recording.image_topic(_clear(bag, 'image_topic', topics, lambda: [
            x.name for x in recording.colour_topics()]))
        camera = _clear(bag, 'camera_info_topic', topics,
                        lambda: recording.camera_info_topics(images.name))
        # Before a long run, and not in the middle of it, a name is told to be wrong.
        grasps = recording.candidates_topic(
            _clear(bag, 'candidates_topic', topics, recording.candidates_topics))
        recording.camera_info_topic(images.name, camera)
    found = {'image_topic': images.name, 'camera_info_topic': camera, 'candidates_topic': grasps}
    return {**topics, **{name: topic for name, topic in found.items() if topic}}


def _clear(bag: str, name: str, topics: dict[str, str],
           there: Callable[[], list[str]]) -> str | None:
    """Return the topic that was named, or that is chosen of several by who is there."""
    if name in topics or not sys.stdin.isatty():
        return topics.get(name)
    found = there()
    return _ask(bag, name, found) if len(found) > 1 else None


def _ask(bag: str, name: str, found: list[str]) -> str:
    what, _ = _OPTIONS[name]
    print(f'{bag} holds several topics of {what}:', file=sys.stderr)
    for number, topic in enumerate(found, start=1):
        print(f'  {number}  {topic}', file=sys.stderr)
    while True:
        print(f'Which one, 1 to {len(found)}? ', end='', file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise ConfigError(f'{bag}: several topics of {what}: name one with {_option(name)}')
        if answer.strip() in map(str, range(1, len(found) + 1)):
            return found[int(answer) - 1]


def _option(name: str) -> str:
    return f'--{name.replace("_", "-")}'
