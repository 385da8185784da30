"""Where the time of the exported step goes: by part of the network, and by kind of node."""

from collections import Counter
from pathlib import Path
import tempfile

from bare_predictor import arguments_of, queues_of, samples, WholeStep
import onnx
from profiles import node_events
from streams import export, Graph, session

_SCOPES = 'pkg.torch.onnx.name_scopes'
_REST = 'head, scores and state'


def name_parts(model: onnx.ModelProto) -> dict[str, str]:
    """
    Begin each node's name with its part: ONNX Runtime keeps it, also of nodes it fuses.

    :returns: the part of each value, after which it names the convolutions that it lays out anew.
    """
    made: dict[str, str] = {}
    for node in model.graph.node:
        scopes = ' '.join(p.value for p in node.metadata_props if p.key == _SCOPES)
        sources = [made[name] for name in node.input if name in made]
        # What is written between the modules belongs with what it reads.
        part = _part(scopes) or (sources[0] if sources else 'backbone')
        node.name = f'{part}|{node.name}'
        made.update((name, part) for name in node.output)
    return made


def _part(scopes: str) -> str:
    if 'network.backbone' in scopes:
        return 'backbone'
    for order in range(4):
        if f'moss.extraction.{order}' in scopes or f'moss.learning.{order}' in scopes:
            return f'MOSS, order {order + 1}'
    for name in ('look', 'shares', 'over_time', 'lateral', 'smooth', 'head'):
        if f'network.{name}' in scopes:
            return _REST
    return ''


def profile(step: WholeStep, threads: int, runs: int) -> tuple[list[dict], list[dict]]:
    """
    Profile the whole step in ONNX Runtime.

    :param runs: how many steps are averaged, after a tenth of them.
    :returns: rows by part, and rows by kind of node.
    """
    arguments = arguments_of(step)
    model = export(step, arguments)
    made = name_parts(model)
    images, points = samples(step.inner.network.config)
    with tempfile.TemporaryDirectory() as folder:
        opened = session(model, threads, profile=str(Path(folder) / 'step'))
        run = Graph(opened, [list(images.split(1)), [points]], arguments[2:], queues_of(step))
        whole, nodes = node_events(opened, run, runs)
    return _rows(whole, nodes, runs, made)


def _rows(whole: int, nodes: list[dict], runs: int,
          made: dict[str, str]) -> tuple[list[dict], list[dict]]:
    parts, kinds, counts = Counter(), Counter(), Counter()
    for event in nodes:
        name = event['name'].removesuffix('_kernel_time').removeprefix('fused ')
        part = name.partition('|')[0] if '|' in name else made.get(name.removesuffix('_nchwc'),
                                                                   _REST)
        parts[part] += event['dur']
        kinds[event['args']['op_name']] += event['dur']
        counts[event['args']['op_name']] += 1
    parts['between the nodes'] = whole - sum(parts.values())

    def row(key: str, name: str, spent: int) -> dict:
        return {key: name, 'us a step': spent / runs, 'share %': 100 * spent / whole}
    by_part = [row('part', *item) for item in sorted(parts.items())]
    by_kind = [row('node', *item) | {'nodes': counts[item[0]] // runs}
               for item in kinds.most_common(12)]
    return by_part, by_kind
