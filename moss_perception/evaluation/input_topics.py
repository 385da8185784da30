"""
The topics and the camera of each recording, as text or in a YAML file.

As text they are ``image:=/camera/color/image_raw,candidates:=/planner/grasps``. A YAML file names
them for several recordings, each by its domain or its path::

    sim:
      image: /camera/image
    real:
      image: /camera/color/image_raw
      executed: /planner/goal
      candidates_transform: 0 0 1 1 0 0 0
      calibration: camera.yaml
      outcomes: real.csv
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import ConfigError
import yaml

KEYS = ('image', 'camera_info', 'candidates', 'lead_times', 'outcome', 'executed')
"""What a topic can hold; ``KEY_topic`` is an argument of evaluation.replay."""

OUTCOMES = 'outcomes'
"""Besides the topics, a recording may name its CSV file of outcomes."""

CALIBRATION = 'calibration'
"""A file with the camera's calibration, in place of a topic."""

SETUP = ('rectified', 'candidates_frame', 'candidates_transform', CALIBRATION)
"""The values of :class:`moss_perception.core.cameras.CameraSetup`, for one recording."""

_KNOWN = (*KEYS, *SETUP, OUTCOMES)
_FILES = (OUTCOMES, CALIBRATION)
_SUFFIXES = ('.yaml', '.yml')

Names = dict[str, str]


def parse_topics(text: str, where: str) -> Names:
    """
    Parse the topics of one recording.

    :param text: such as ``image:=/camera/color/image_raw,candidates:=/planner/grasps``.
    :param where: what the text belongs to, for the errors.
    :returns: topics by a key of :data:`KEYS`, texts by a key of :data:`SETUP`, and ``outcomes``
        if it is named.
    :raises ConfigError: if the text has another form, or a key is unknown or named twice.
    """
    found: Names = {}
    for part in filter(None, (word.strip() for word in text.split(','))):
        key, separator, topic = (x.strip() for x in part.partition(':='))
        if not (separator and topic):
            raise ConfigError(f'{where} has {part!r}: expected KEY:=TOPIC, such as '
                              'image:=/camera/color/image_raw')
        if key in found:
            raise ConfigError(f'{where} names {key!r} twice')
        found[key] = topic
    return _checked(found, where)


def read_topics(path: Path) -> dict[str, Names]:
    """
    Read a YAML file of topics.

    :returns: topics by recording; paths of outcomes and calibrations are relative to the file's
        folder.
    :raises ConfigError: if it can't be read or has another form.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, 'strerror', None) or ' '.join(str(error).split())[:200]
        raise ConfigError(f"topics {path} can't be read: {reason}") from error
    if not isinstance(values, dict) or not values:
        raise ConfigError(f'topics {path} has {type(values).__name__}: expected domains or '
                          'recordings, each with its topics')
    found = {}
    for name, topics in values.items():
        where = f'topics {path}, {str(name)!r},'
        if not isinstance(topics, dict):
            raise ConfigError(f'{where} has {topics!r}: expected KEY: TOPIC')
        found[str(name)] = _checked({
            key: str(path.parent / value) if key in _FILES and isinstance(value, str) and value
            else value for key, value in topics.items()}, where)
    return found


def take_setup(names: Names) -> dict[str, str]:
    """Remove what is said about the camera from the topics, and return it."""
    return {key: names.pop(key) for key in SETUP if key in names}


def _checked(values: Mapping[Any, Any], where: str) -> Names:
    values = {key: _as_text(value) if key in SETUP else value for key, value in values.items()}
    for key, topic in values.items():
        if key not in _KNOWN:
            raise ConfigError(f'{where} has the key {key!r}: expected one of {", ".join(_KNOWN)}')
        if not (isinstance(topic, str) and topic.strip()):
            raise ConfigError(f'{where} has {key}: {topic!r}, expected '
                              + ('a file' if key in _FILES else 'a text' if key in SETUP
                                 else 'a topic'))
    names = {str(key): topic.strip() for key, topic in values.items()}
    try:
        CameraSetup.of(**take_setup(dict(names)))
    except ConfigError as error:
        raise ConfigError(f'{where} has {error}') from error
    return names


def _as_text(value: Any) -> Any:
    """Write what YAML reads as a boolean or a list of numbers as text; leave other values."""
    if isinstance(value, bool):
        return str(value).lower()
    return ' '.join(map(str, value)) if isinstance(value, list) else value


def is_file(text: str) -> bool:
    """Return whether a text is the name of a YAML file of topics, and not the topics."""
    return text.endswith(_SUFFIXES) and ':=' not in text


def named_topics(texts: Iterable[str]) -> dict[str, Names]:
    """
    Read all topics that a command line names.

    :param texts: each the name of a YAML file, or ``NAME=TOPICS`` with the topics of
        :func:`parse_topics`, where ``NAME`` is a domain or the path of a recording.
    :returns: topics by the name of their recording.
    :raises ConfigError: if a text is not understood, or names a topic a second time.
    """
    found: dict[str, Names] = {}
    for text in texts:
        if is_file(text):
            news = read_topics(Path(text))
        else:
            name, _, topics = text.partition('=')
            if not name or name.endswith(':') or not topics:
                raise ConfigError(f'--topics {text!r}: expected a YAML file, or NAME=KEY:=TOPIC,… '
                                  'with the domain or the path of a recording')
            news = {name: parse_topics(topics, f'--topics {name}')}
        for name, topics in news.items():
            known = found.setdefault(name, {})
            if twice := sorted(known.keys() & topics.keys()):
                raise ConfigError(f'--topics names {twice[0]!r} of {name!r} twice')
            known.update(topics)
    return found


def topics_of_recording(named: Mapping[str, Names], domain: str, path: str) -> Names:
    """
    Merge the topics named for a recording's domain and for its path, of which the latter win.

    :param named: of :func:`named_topics`.
    """
    by_path = [topics for name, topics in named.items()
               if name != domain and Path(name).absolute() == Path(path).absolute()]
    found = dict(named.get(domain, {}))
    for topics in by_path:
        found |= topics
    return found


def check_names(named: Mapping[str, Names], recordings: Iterable[tuple[str, str]]) -> None:
    """
    Check that each name belongs to a recording.

    :param recordings: domain, or empty, and path of each.
    :raises ConfigError: if one does not.
    """
    there = list(recordings)
    known = {domain for domain, _ in there} | {str(Path(path).absolute()) for _, path in there}
    for name in named:
        if name not in known and str(Path(name).absolute()) not in known:
            expected = dict.fromkeys(x for pair in there for x in pair if x)
            raise ConfigError(f'--topics names {name!r}: expected one of {", ".join(expected)}')
