"""``moss topics``: the image topic of a recording that the system subscribes to."""

import argparse
from dataclasses import replace
import json
from pathlib import Path
import subprocess
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.core.resources import executable
from moss_perception.ros.system import grasp_arguments, grasp_system, Process

_COMPRESSED = '/compressed'
_DEFAULTS = {argument.name: argument.default for argument in grasp_arguments()}


def system_of(values: dict[str, str]) -> list[Process]:
    """
    Describe the grasp system; with a recording, subscribe to the images in it.

    :param values: the given values, by argument name; see
        :func:`moss_perception.ros.system.grasp_system`.
    :raises ConfigError: if a name is unknown or a value is not allowed.
    :raises BagError: if the recording can't be read, or holds no such images.
    """
    processes = grasp_system(values)
    if not values.get('bag'):
        return processes
    chosen = {**_DEFAULTS, **values}
    topic, compressed = _look(
        chosen['bag'], chosen['image_topic'], chosen['image_transport'], chosen['namespace'])
    base = topic.removesuffix(_COMPRESSED) if compressed else topic
    return [_subscribed(process, topic, base) for process in grasp_system({
        **values, 'image_topic': base, 'image_transport': 'compressed' if compressed else 'raw'})]


def _subscribed(process: Process, topic: str, base: str) -> Process:
    if process.executable == 'bag_player':
        return replace(process, parameters={
            **process.parameters, 'wait_for_subscribers': [topic]})
    compressed = process.parameters.get('image_transport') == 'compressed'
    if compressed and topic == base:
        # The predictor subscribes to the image topic's name plus /compressed.
        pair = (base + _COMPRESSED, topic)
        return replace(process, remappings=(*process.remappings, pair))
    return process


def find_images(bag: str, name: str, transport: str, namespace: str) -> tuple[str, bool]:
    """
    Find the images in a recording.

    :param bag: path of the recording.
    :param name: name of the topic, without ``/compressed``; the default finds the only one.
    :param transport: ``raw``, ``compressed``, or empty for either.
    :param namespace: namespace of the nodes, for a relative name.
    :returns: the topic as recorded, and whether its images are compressed.
    :raises BagError: if the recording can't be read, or holds no such images.
    """
    # Imported here, since the interpreter of the launch file may lack rosbags.
    from moss_perception.data.bags.reader import Recording
    absolute = name if name.startswith('/') else f'/{namespace.strip("/")}/{name}'.replace(
        '//', '/')
    with Recording(Path(bag).expanduser(), salvage=True) as recording:
        images = {x.name: x.type.endswith('CompressedImage') for x in recording.image_topics()}
        wanted = [x for x in (absolute, absolute + _COMPRESSED) if x in images and (
            not transport or images[x] == (transport == 'compressed'))]
        if wanted:
            return wanted[0], images[wanted[0]]
        found = recording.image_topic(None if name == _DEFAULTS['image_topic'] else absolute).name
    kind = 'compressed' if images[found] else 'raw'
    if transport not in ('', kind):
        raise BagError(f'{bag}: the images on {found} are {kind}: expected {transport} images, '
                       'the value of image_transport')
    return found, images[found]


def _look(*words: str) -> tuple[str, bool]:
    try:
        import moss_perception.data.bags.reader  # noqa: F401
    except ImportError:
        return _ask(*words)
    return find_images(*words)


def _ask(bag: str, name: str, transport: str, namespace: str) -> tuple[str, bool]:
    """Run ``moss topics`` in the interpreter that the package was built with: it has rosbags."""
    done = subprocess.run(
        [executable('moss'), 'topics', bag, '--image-topic', name, '--transport', transport,
         '--namespace', namespace], capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if 'topic' not in answer:
        reason = answer.get('error') or (done.stderr.strip().splitlines() or ['no answer'])[-1]
        raise BagError(reason)
    return answer['topic'], answer['compressed']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (parser.description or '') + (
        ' The launch files call it; a key "error" has the reason if there is none.')
    parser.add_argument('bag', metavar='BAG', help='rosbag2 folder, .mcap or .db3 file')
    parser.add_argument('--image-topic', default=_DEFAULTS['image_topic'], metavar='NAME',
                        help='image topic without /compressed; %(default)s: the only one')
    parser.add_argument('--transport', default='', choices=('', 'raw', 'compressed'),
                        help='transport of the images (default: either)')
    parser.add_argument('--namespace', default='', metavar='NAME',
                        help='namespace of the nodes, for a relative topic')


def run(arguments: argparse.Namespace) -> int:
    """Print the result of :func:`find_images`, or its error, as JSON."""
    try:
        topic, compressed = find_images(arguments.bag, arguments.image_topic,
                                        arguments.transport, arguments.namespace)
    except BagError as error:
        print(json.dumps({'error': str(error)}))
        return 0
    print(json.dumps({'topic': topic, 'compressed': compressed}))
    return 0
