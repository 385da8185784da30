"""``moss look``: draw what MOSS sees at a point of a recording or a video."""

import argparse
from contextlib import nullcontext
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from moss_perception.cli.common import add_sha256, print_json, write_bytes
from moss_perception.cli.topic_options import add_topic_options


def add_look(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss look``."""
    parser.set_defaults(handler=look)
    parser.description = (parser.description or '') + (
        ' The picture has the similarity maps of orders 1 to 3 at one point, the displacement '
        'that each order reads there, and what each order answers to on synthetic probes. '
        'Nothing learnt takes part: pixels are compared, as in the shipped model. Example, with '
        'the block of your own checkpoint: moss look my_bag/ --model runs/train/grasp.safetensors')
    parser.add_argument('source', type=Path, metavar='SOURCE',
                        help='recording (rosbag2 folder, .mcap, .db3), or video')
    parser.add_argument('--out', type=Path, default=Path('look.png'), metavar='FILE.png',
                        help='file of the picture (default: %(default)s)')
    parser.add_argument('--at', type=float, metavar='S',
                        help='moment to look at, seconds since the first image (default: the one '
                             'in the first 20 s at which most moves)')
    parser.add_argument('--point', type=float, nargs=2, metavar=('COLUMN', 'ROW'),
                        help="point to look at, pixels of the recording's images (default: one "
                             'that moves fast)')
    parser.add_argument('--rate', type=float, metavar='HZ',
                        help="samples per second, at most (default: 10, or the model's)")
    parser.add_argument('--model', type=Path, metavar='FILE',
                        help='checkpoint whose block is looked into; it has to read displacements '
                             '(default: a block that compares pixels)')
    add_sha256(parser)
    parser.add_argument('--json', metavar='FILE', help='write the numbers to this file')
    add_topic_options(parser, ('image_topic',))


def look(arguments: argparse.Namespace) -> int:
    """
    Draw the picture and print its numbers as JSON.

    :raises MossError: if the recording can't be read, is too short, or an option does not fit.
    """
    from moss_perception.cli.demo.source import record_video
    from moss_perception.data.clips.frames import SUFFIXES
    from moss_perception.evaluation.look.frames import read_samples
    from moss_perception.evaluation.look.orders import look as look_at
    from moss_perception.evaluation.look.orders import pixel_reader, reader_of
    from moss_perception.evaluation.look.picture import draw
    from moss_perception.evaluation.look.probes import probe
    source, model = arguments.source, arguments.model
    reader = reader_of(model, arguments.sha256) if model else pixel_reader()
    rate_hz = reader.rate_hz if arguments.rate is None else arguments.rate
    is_video = source.suffix.lower() in SUFFIXES
    with TemporaryDirectory(prefix='moss_look_') if is_video else nullcontext() as folder:
        if folder:
            record_video(source, path := Path(folder) / 'video')
        else:
            path = source
        samples = read_samples(path, reader.block.receptive_field, arguments.image_topic,
                               arguments.at, rate_hz)
    seen, answers = look_at(samples, arguments.point, reader), probe(reader=reader)
    title = f'What MOSS{f" of {model.name}" if model else ""} sees in {source.name}'
    write_bytes(arguments.out, draw(samples, seen, answers, title))
    explained = answers.explained()
    row, column = ((n + 0.5) * seen.cell_px for n in seen.cell)
    print_json({
        'source': str(source), 'at_s': round(float(samples.times_s[-1]), 3),
        'point': [round(column, 1), round(row, 1)],
        'orders': {str(n): {
            'displacement_px': {str(lag): [round(float(x * seen.cell_px), 2) for x in one]
                                if found else None for lag, one, found in zip(
                                    seen.lags, read, seen.found[n - 1], strict=True)},
            'explained': {name: round(values[n - 1], 3) for name, values in explained.items()}}
            for n, read in enumerate(seen.displacements, start=1)}}, arguments.json)
    logging.getLogger('look').info('drew %s', arguments.out)
    return 0
