"""Export a checkpoint for ONNX Runtime: ``ros2 run moss_perception export [MODEL]``."""

import argparse
import logging
import sys

from moss_perception.cli.common import run_command, set_up_logging
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path

log = logging.getLogger('export')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='export', description=__doc__,
        epilog='Writes one graph for each prefix of orders beside the checkpoint, compares each '
               'with torch, and enters their digests into SHA256SUMS.')
    parser.add_argument('model', nargs='?', default='',
                        help='checkpoint (.safetensors); none for the shipped one')
    parser.add_argument('--sha256', default='', help='its digest; none to read SHA256SUMS')
    return parser


def export(arguments: argparse.Namespace) -> int:
    """Export all graphs of a checkpoint, or change nothing."""
    try:
        from moss_perception.models.export import export_graphs
    except ImportError as error:
        if error.name != 'torch':
            raise
        raise ConfigError('exporting needs torch, which is not installed: expected the '
                          'environment of scripts/setup.sh test') from error
    graphs = export_graphs(model_path(arguments.model), arguments.sha256,
                           lambda name: log.info('exporting %s', name))
    for graph in graphs:
        log.info('wrote %s, %.1f MB', graph, graph.stat().st_size / 1e6)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(export, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
