"""``moss import BAG…``: turn recordings of grasp attempts into training data."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
import logging
import math
from pathlib import Path
import time

from moss_perception.cli.outcome_tables import examine_tables, shared_tables
from moss_perception.cli.topic_options import choose, domain_of, recordings_of
from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.resources import model_path
from moss_perception.data.bags.reader import Recording, recording_name
from moss_perception.data.bags.topics import EXECUTED_TOPIC
from moss_perception.data.bags.transforms import RecordedTransforms
from moss_perception.data.imports.bags import BagInput
from moss_perception.data.imports.folder import Contents, import_bags, require_new
from moss_perception.data.imports.samples import ImportSettings
from moss_perception.data.imports.survey import Place
from moss_perception.data.labels.outcomes import outcomes_of
from moss_perception.evaluation.attempts import Attempt, executed_grasps
from moss_perception.models.manifest import read_header
from moss_perception.runtime.candidate_frames import CandidateFrames
from tqdm import tqdm

_NAMED = 5


def import_recordings(arguments: argparse.Namespace) -> int:
    """
    Import recordings, and log what became of them.

    :raises MossError: if something can't be read, used or written.
    """
    if arguments.workers < 1:
        raise ConfigError(f'--workers {arguments.workers}: expected 1 or more')
    require_new(arguments.out)
    model, _ = read_header(model_path(''))
    settings = ImportSettings(
        rate_hz=model.frame_rate_hz if arguments.rate is None else arguments.rate,
        frames=model.window_frames, lead_time_s=arguments.lead_time,
        history_s=math.inf if arguments.seconds is None else arguments.seconds,
        groups=groups_of(arguments.group),
        gripper_opening_m=arguments.gripper_opening)
    if arguments.seconds is None:
        # The rate is checked now.
        settings = replace(settings, history_s=2 * settings.frames / settings.rate_hz)
    began, inputs = time.perf_counter(), inputs_of(arguments)
    tables = examine_tables([(x.path, x.outcomes, x.topics) for x in inputs],
                            logging.getLogger('import'))
    try:
        with tqdm(unit='attempt', leave=False, disable=None) as bar:
            contents = import_bags(inputs, arguments.out, find_attempts, settings,
                                   arguments.workers, bar.update, arguments.executor)
    except BagError as error:
        raise BagError('; '.join([str(error), *tables.hints])) from error
    _log_executed_topics(inputs)
    log_contents(contents, arguments.out, time.perf_counter() - began,
                 [*tables.foreign, *tables.findings])
    return 0


def _log_executed_topics(inputs: Sequence[BagInput]) -> None:
    """Log from which topics the executed grasps were read, since a name may mislead."""
    found: dict[str, list[str]] = {}
    for one in inputs:
        if topic := one.topics.get('executed_topic'):
            found.setdefault(topic, []).append(one.name)
    found.pop(EXECUTED_TOPIC, None)
    for topic, names in found.items():
        logging.getLogger('import').info(
            'the executed grasps of %s are read from %s', ', '.join(names[:_NAMED])
            + f' and {len(names) - _NAMED} more' * (len(names) > _NAMED), topic)


def inputs_of(arguments: argparse.Namespace) -> list[BagInput]:
    """
    Combine the recordings with their outcomes and topics.

    :raises MossError: if their numbers differ, or a topic is missing or not clear.
    """
    recordings = recordings_of(arguments, [domain_of(text) for text in arguments.bags])
    bags = [one.path for one in recordings]
    names = [recording_name(bag) for bag in bags]
    twice = {name for name, count in Counter(names).items() if count > 1}
    names = [f'{Path(bag).resolve().parent.name}/{name}' if name in twice else name
             for name, bag in zip(names, bags, strict=True)]
    if len(set(names)) < len(names):
        raise ConfigError(f'recordings have the same name: {", ".join(names)}: expected a '
                          'different one for each, such as monday/bag and tuesday/bag')
    shared = shared_tables([one.outcomes for one in recordings])
    return [BagInput(one.path, name, one.domain, one.outcomes, one.outcomes in shared,
                     choose(one.path, dict(one.topics), one.setup), one.setup or CameraSetup())
            for one, name in zip(recordings, names, strict=True)]


def find_attempts(recording: Recording, one: BagInput) -> tuple[Sequence[Attempt], Place]:
    """Read the attempts of a recording as an evaluation does."""
    topics = one.topics
    images = recording.image_topic(topics.get('image_topic')).name
    outcomes = outcomes_of(
        recording, one.outcomes, image_topic=images,
        outcome_topic=topics.get('outcome_topic'), executed_topic=topics.get('executed_topic'),
        candidates_topic=topics.get('candidates_topic'))
    place = partial(CandidateFrames(one.setup, RecordedTransforms(one.path)).place,
                    camera_frame=recording.frame_of(images))
    return executed_grasps(
        recording, outcomes, image_topic=images, topic=topics.get('executed_topic'),
        candidates_topic=topics.get('candidates_topic'), place=place), place


def groups_of(texts: Sequence[str]) -> dict[str, str]:
    """
    Read group labels.

    :param texts: each ``NAME=VALUE``.
    :raises ConfigError: if one is not.
    """
    groups = {}
    for text in texts:
        name, _, value = text.partition('=')
        if not (name and value):
            raise ConfigError(f'--group {text}: expected NAME=VALUE, such as operator=anna')
        groups[name] = value
    return groups


def log_contents(contents: Contents, out: Path, took_s: float,
                 of_tables: Sequence[str] = ()) -> None:
    """
    Log the warnings and the numbers of a folder.

    :param of_tables: what is wrong with the tables of outcomes, a line each.
    """
    log = logging.getLogger('import')
    for line in (*of_tables, *contents.warnings()):
        log.warning('%s', line)
    log.info('%d samples of %d attempts in %s, %d of them successful, in %.1f s; values of '
             'groups: %s', contents.samples, contents.attempts, out, contents.successes, took_s,
             ', '.join(f'{len(counts)} {name}' for name, counts in contents.groups.items()))
