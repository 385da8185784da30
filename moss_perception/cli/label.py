"""``moss label``: find the attempts of a recording, and check or write their outcomes."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
import logging
from pathlib import Path
import shlex
from typing import TYPE_CHECKING

from moss_perception.cli.common import UsageError, write_bytes, write_text
from moss_perception.cli.label_recording import describe, look_at, LookedAt
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    CAMERA_OPTIONS,
    choose,
    setup_of,
    topics_of,
)
from moss_perception.core.errors import BagError, ConfigError, MossError

if TYPE_CHECKING:
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.labels.attempts import Search
    from moss_perception.data.labels.clock import Reading
    from moss_perception.data.labels.label import Labels
    from moss_perception.data.outcomes import Outcome
    from moss_perception.evaluation.attempts import Attempt
    from moss_perception.evaluation.contact_sheet import Images, Tile

_TOPICS = ('image_topic', 'camera_info_topic', 'candidates_topic', 'outcome_topic',
           'executed_topic')
_UNITS = ('s', 'ms', 'us', 'ns')
_OWN_OPTIONS = {
    'zone': '--zone', 'offset': '--offset', 'times': '--times', 'unit': '--unit',
    'source': '--attempts-by', 'gripper_topic': '--gripper-topic', 'closed': '--gripper-closed',
    'before_s': '--before', 'after_s': '--after', 'gap_s': '--gap',
    'lead_time_s': '--lead-time'}
"""Options that say how times are read and attempts found, by their argument."""
_LONGEST_S = 3600.0
log = logging.getLogger('label')


def add_label(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss label``."""
    parser.set_defaults(handler=label)
    parser.description = (parser.description or '') + (
        ' Prints the first and last stamp of the images and the attempts. With --outcomes it also '
        'checks a table, and shows the clock offset with which more rows would match.')
    parser.add_argument('bag', metavar='BAG', help='rosbag2 folder, .mcap or .db3 file')
    table = parser.add_mutually_exclusive_group()
    table.add_argument('--template', action='store_true',
                       help='write a table with a row for each attempt, in which only success is '
                            'left to fill in')
    table.add_argument('--outcomes', metavar='FILE',
                       help='table to check: CSV with commas, semicolons or tabs, or XLSX')
    parser.add_argument('--out', type=Path, metavar='FILE.csv',
                        help='table to write: the template (default: the name of the recording), '
                             'or the outcomes with all times as header stamps (default: none)')
    parser.add_argument('--sheet', metavar='FILE.png',
                        help='contact sheet to write: each attempt at its decision, with the '
                             "executed grasp, and at its end (default: beside --out; '' for none)")
    parser.add_argument('--force', action='store_true', help='overwrite existing files')
    _add_reading(parser.add_argument_group('times of the table'))
    _add_search(parser.add_argument_group('attempts'))
    add_topic_options(parser.add_argument_group('topics'), _TOPICS)
    add_camera_options(parser.add_argument_group('camera and frames'))


def _add_reading(group) -> None:
    group.add_argument('--zone', default='UTC', metavar='NAME',
                       help='zone of dates without one, such as Europe/Berlin or +02:00 '
                            '(default: UTC)')
    group.add_argument('--offset', type=float, default=0.0, metavar='S',
                       help='seconds to add to all times of the table (default: 0)')
    group.add_argument('--times', choices=('auto', 'stamps', 'start'), default='auto',
                       help='numbers are header stamps, or seconds from the start of the '
                            'recording (default: by their size)')
    group.add_argument('--unit', choices=_UNITS,
                       help='unit of numbers (default: as the heading says, such as start_ms, or '
                            'by their size)')


def _add_search(group) -> None:
    group.add_argument('--attempts-by', choices=('outcomes', 'executed', 'gripper', 'candidates'),
                       default='', dest='source',
                       help='what attempts are found by: recorded outcomes, executed grasps, '
                            'closings of the gripper, or pauses of the candidates (default: the '
                            'first of these that the recording has)')
    group.add_argument('--gripper-topic', metavar='TOPIC',
                       help='topic of the gripper: JointState, Bool, Float32, Float64 or '
                            'GripperCommand (default: the first with such a name)')
    group.add_argument('--gripper-closed', choices=('high', 'low'), default='', dest='closed',
                       help='value of a closed gripper (default: by name and type of the topic)')
    for name, default, help_text in (
            ('before', 4.0, 'longest time from the start of an attempt to its decision'),
            ('after', 3.0, 'longest time from the decision to the end of the attempt'),
            ('gap', 1.0, 'executed grasps, or candidates, with less time between them belong to '
                         'one attempt')):
        group.add_argument(f'--{name}', type=float, default=default, metavar='S',
                           dest=f'{name}_s', help=f'{help_text}, seconds (default: %(default)g)')
    group.add_argument('--lead-time', type=float, default=0.0, metavar='S', dest='lead_time_s',
                       help='time from the decision until the gripper closes, seconds, of '
                            'attempts that are found by the gripper: their decisions are so much '
                            'earlier (default: 0, the decision is the closing, and a warning says '
                            'so)')


def label(arguments: argparse.Namespace) -> int:
    """
    Print the attempts of a recording, check the table, and write table and contact sheet.

    :raises UsageError: if the arguments contradict one another.
    :raises MossError: if something can't be read, used or written.
    """
    said: list[str] = []
    try:
        _label(arguments, said)
    finally:
        # Last, so that the files are there even if what reads the output has ended.
        for line in said:
            print(line)
    return 0


def _label(arguments: argparse.Namespace, said: list[str]) -> None:
    """Do the work of :func:`label`, and add to the lines to print."""
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.bags.topics import EXECUTED_TOPIC
    from moss_perception.data.bags.transforms import RecordedTransforms
    from moss_perception.data.labels.attempts import executed_topic
    from moss_perception.data.labels.writing import table_of
    from moss_perception.evaluation.attempts import executed_grasps
    from moss_perception.evaluation.contact_sheet import tiles_of
    from moss_perception.runtime.candidate_frames import CandidateFrames
    out, sheet = _targets(arguments)
    reading = _reading(arguments)
    frames = CandidateFrames(setup_of(arguments), RecordedTransforms(arguments.bag))
    topics = choose(arguments.bag, topics_of(arguments), frames.setup)
    search = _search(arguments, topics)
    with Recording(arguments.bag, salvage=True) as recording:
        bag = look_at(recording, topics, search, frames.setup)
        said += describe(bag, arguments.bag)
        if arguments.outcomes:
            labels = _read(arguments, recording, bag, search, reading)
            outcomes, by_search = _checked(arguments, labels, bag, said)
            outcomes = _timed(outcomes, recording, bag, search)
            text = table_of(outcomes)
        else:
            (outcomes, text), by_search = _template(bag, recording, search), True
        executed = topics.get('executed_topic') or executed_topic(recording)
        attempts = executed_grasps(
            recording, outcomes, image_topic=bag.images.topic, topic=executed,
            candidates_topic=topics.get('candidates_topic'), place=lambda one: frames.place(
                one, bag.images.frame_at(one.stamp_ns))) if sheet else []
        if executed not in (None, EXECUTED_TOPIC):
            topics['executed_topic'] = executed
    tiles = tiles_of(attempts, bag.images, bool(arguments.outcomes))
    _write(out, text, sheet, tiles, bag.images, arguments.force)
    if arguments.outcomes or out:
        said += _advice(arguments, out, topics, by_search)


def _targets(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Return the paths of the table and of the contact sheet, each ``None`` for none."""
    out = arguments.out
    if out is None and arguments.template:
        from moss_perception.data.bags.reader import recording_name
        out = Path(f'{recording_name(arguments.bag)}.csv')
    if out is not None and not (arguments.template or arguments.outcomes):
        raise UsageError('--out: expected --template or --outcomes')
    if out is not None and out.suffix.lower() != '.csv':
        raise UsageError(f'--out is {out}: expected a name that ends with .csv')
    if arguments.sheet is not None:
        sheet = Path(arguments.sheet) if arguments.sheet else None
    else:
        sheet = out and out.with_suffix('.png')
    if sheet is not None and sheet.suffix.lower() != '.png':
        raise UsageError(f'--sheet is {sheet}: expected a name that ends with .png')
    return out, sheet


def _reading(arguments: argparse.Namespace) -> 'Reading':
    from moss_perception.data.labels.cells import read_zone, UNITS_NS
    from moss_perception.data.labels.clock import Reading
    if not abs(arguments.offset) < 1e10:
        raise ConfigError(f'--offset {arguments.offset:g} is not allowed: expected seconds')
    return Reading(read_zone(arguments.zone), round(arguments.offset * 1e9), arguments.times,
                   UNITS_NS[arguments.unit] if arguments.unit else None)


def _search(arguments: argparse.Namespace, topics: dict[str, str]) -> 'Search':
    from moss_perception.data.labels.attempts import Search
    for name in ('before', 'after', 'gap'):
        value = getattr(arguments, f'{name}_s')
        if not 0 < value <= _LONGEST_S:
            raise ConfigError(f'--{name} {value:g} is not allowed: expected seconds above 0, at '
                              f'most {_LONGEST_S:g}')
    if not 0 <= arguments.lead_time_s <= _LONGEST_S:
        raise ConfigError(f'--lead-time {arguments.lead_time_s:g} is not allowed: expected '
                          f'seconds from 0, at most {_LONGEST_S:g}')
    known = {x.name for x in fields(Search)}
    return Search(**{**{x: value for x, value in vars(arguments).items() if x in known},
                     **{x: topic for x, topic in topics.items() if x in known}})


def _read(arguments: argparse.Namespace, recording: 'Recording', bag: LookedAt,
          search: 'Search', reading: 'Reading') -> 'Labels':
    """
    Read a table, and log how, and first of all if it is clearly of another clock.

    :raises BagError: if it can't be read, or no row is within the recording.
    """
    from moss_perception.data.labels import checks
    from moss_perception.data.labels.matching import read_labels
    labels = read_labels(arguments.outcomes, recording, bag.images.topic, search, reading)
    if why := checks.another_clock(labels, arguments.bag):
        log.warning('%s', why)
    for note in (*labels.notes, *checks.readings(labels)):
        log.info('%s: %s', arguments.outcomes, note)
    if why := checks.foreign(labels, arguments.bag):
        raise BagError(why)
    return labels


def _checked(arguments: argparse.Namespace, labels: 'Labels', bag: LookedAt,
             said: list[str]) -> 'tuple[list[Outcome], bool]':
    """
    Log what is wrong with a table, and say how many attempts it has.

    :returns: the outcomes in the recording; and whether attempts that were found tell times of
        them.
    """
    from moss_perception.data.labels import checks
    kept = checks.within(labels)
    taken = sum(x.taken is not None for x in kept)
    for line in checks.findings(labels, kept, bag.images.stamps_ns):
        log.warning('%s', line)
    outcomes = [x.outcome for x in kept]
    said.append(f'{arguments.outcomes}: {len(outcomes)} of {len(labels.rows)} rows are attempts '
                f'of {arguments.bag}: {sum(x.success for x in outcomes)} successes, '
                f'{sum(x.executed and not x.success for x in outcomes)} failures, '
                f'{sum(not x.executed for x in outcomes)} not executed')
    return outcomes, taken > 0 or any(x.found is not None for x in kept)


def _template(bag: LookedAt, recording: 'Recording',
              search: 'Search') -> 'tuple[list[Outcome], str]':
    from moss_perception.data.labels.attempts import outcomes_at
    from moss_perception.data.labels.writing import template_of
    if bag.found is None:
        raise BagError(bag.lacking)
    for line in bag.found.doubts:
        log.warning('%s: %s', recording.path, line)
    outcomes = _timed(outcomes_at(bag.found), recording, bag, search)
    return outcomes, template_of(outcomes)


def _timed(outcomes: 'list[Outcome]', recording: 'Recording', bag: LookedAt,
           search: 'Search') -> 'list[Outcome]':
    """Add the lead times that the gripper tells, and log what was measured."""
    from moss_perception.data.labels.lead_times import with_lead_times
    found, measured = with_lead_times(outcomes, recording, bag.clock, search)
    if measured:
        log.info('%s: %s', recording.path, measured)
    return found


def _write(out: Path | None, text: str, sheet: Path | None, tiles: 'list[Tile]', images: 'Images',
           force: bool) -> None:
    """Write the files, all or none if one exists already."""
    from moss_perception.evaluation.contact_sheet import draw_page, pages_of
    pages = pages_of(sheet, len(tiles)) if sheet else []
    if there := [str(x) for x in (out, *pages) if x is not None and x.exists() and not force]:
        raise MossError(f'{", ".join(there)}: exists already, and is not overwritten without '
                        '--force')
    for line in _not_drawn(tiles, images):
        log.warning('%s: %s', images.path, line)
    drawn = [draw_page(tiles, number, images) for number in range(len(pages))]
    for page, data in zip(pages, drawn, strict=True):
        write_bytes(page, data)
    if out is not None:
        write_text(out, text)
    for path in (*pages, *([out] if out else ())):
        log.info('wrote %s', path)


def _not_drawn(tiles: 'list[Tile]', images: 'Images') -> list[str]:
    """Say which executed grasps are not drawn, a line for each reason, and what helps."""
    from moss_perception.evaluation.contact_sheet import problem_of
    found: dict[str, list[Attempt]] = {}
    for tile in tiles:
        # Without a recorded grasp there is nothing that may be wrong with it.
        if tile.attempt.position is not None and (why := problem_of(tile.attempt, images)):
            found.setdefault(why, []).append(tile.attempt)
    lines = []
    for why, attempts in found.items():
        last = attempts[-1]
        frame_id = images.frame_at(last.outcome.decision_ns)
        more = f'{len(attempts)} executed grasps are not drawn, the last one that of '
        lines.append(
            f'{more * (len(attempts) > 1)}attempt {last.outcome.attempt}: {why}'
            + f'; expected a transform to {frame_id!r}, the frame of the images, on /tf or '
            '/tf_static, or by --candidates-transform' * (last.frame_id != frame_id))
    return lines


def _advice(arguments: argparse.Namespace, out: Path | None, topics: dict[str, str],
            by_search: bool) -> list[str]:
    """
    Return the command that comes next, in words.

    :param by_search: whether times of the outcomes are of attempts that were found.
    """
    named = [word for name, topic in topics.items() if getattr(arguments, name)
             or name == 'executed_topic' for word in (f'--{name.replace("_", "-")}', topic)]
    named += _options(arguments, {name: f'--{name.replace("_", "-")}' for name in CAMERA_OPTIONS})
    bag, table = arguments.bag, out or arguments.outcomes
    # No other command has these options, so a table with all times as stamps is needed.
    own = _options(arguments, _OWN_OPTIONS)
    command = ['moss', 'label', bag, '--outcomes', str(table), *named]
    if arguments.template:
        return [f'fill in success in {table} (yes or no), then: {shlex.join(command)}']
    if out is None and (own or by_search):
        written = f'{Path(table).stem}_stamps.csv'
        return [f'next: {shlex.join([*command, *own, "--out", written])}',
                'it writes the table with all times as stamps, as the other commands need it']
    return [f'next: {shlex.join(["moss", "evaluate", *command[2:]])}']


def _options(arguments: argparse.Namespace, options: Mapping[str, str]) -> list[str]:
    """Return the options that the user gave as words, of those by their argument."""
    words = []
    for name, option in options.items():
        value = getattr(arguments, name)
        if value != arguments.parser.get_default(name):
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    return words
