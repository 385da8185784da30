"""``moss export``: export a checkpoint for ONNX Runtime."""

import argparse
import logging

from moss_perception.core.resources import model_path

log = logging.getLogger('export')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description = (parser.description or '') + (
        ' Writes one graph for each prefix of orders beside the checkpoint, compares each with '
        'torch, and adds their digests to SHA256SUMS.')
    parser.add_argument('model', nargs='?', default='',
                        help='checkpoint (.safetensors; default: the shipped one)')
    parser.add_argument('--sha256', default='', help='SHA-256 of the checkpoint (default: the one '
                                                     'in SHA256SUMS)')


def run(arguments: argparse.Namespace) -> int:
    """Export all graphs of a checkpoint; after an error, no file has changed."""
    from moss_perception.models.export import export_graphs
    graphs = export_graphs(model_path(arguments.model), arguments.sha256,
                           lambda name: log.info('exporting %s', name))
    for graph in graphs:
        log.info('wrote %s, %.1f MB', graph, graph.stat().st_size / 1e6)
    return 0
