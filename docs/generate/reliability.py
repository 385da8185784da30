"""The figures of the page about reliability, from the files of scripts/reliability.py."""

import json
from pathlib import Path

from tables import code, table

RESULTS = Path(__file__).resolve().parents[1] / 'results'
HELD = ('resident_mib', 'grown_mib', 'more_files', 'more_threads')


def markdown(part):
    """Return a function that writes one part."""
    def write():
        path = RESULTS / f'reliability_{part}.json'
        if not path.exists():
            return f'*Not run yet: `python scripts/reliability.py {part}`.*'
        content = json.loads(path.read_text(encoding='utf-8'))
        if content['small']:
            raise ValueError(f'{path.name} is of a small run: expected a full one')
        return '\n\n'.join([*WRITERS[part](content['figures']), _machine(content)])
    return write


def _machine(content):
    """Describe the machine, the time it took and the command."""
    machine = content['machine']
    return (f'{machine["cpu"]}, {machine["cores"]} cores, {machine["ram_gib"]} GiB; '
            f'ROS 2 {content["ros_distro"].capitalize()}; onnxruntime '
            f'{machine.get("onnxruntime", "-")}; {content["date"]}; load before it began '
            f'{machine["load_before"]}; {content["took_s"] / 60:.1f} minutes; seed '
            f'{content["seed"]}; {code(content["command"])}')


def _show(value):
    if value is None:
        return '-'
    return f'{value:g}' if isinstance(value, float) else str(value)


def _columns(rows, names):
    return table([name.replace('_', ' ') for name in names],
                 [[_show(row.get(name)) for name in names] for row in rows])


def _faults(found):
    """List the faults that were found, or say that there are none."""
    if not found:
        return 'Faults: none.'
    return '\n'.join(['Faults:', '', *(f'- {code(x.replace(chr(96), " "))}' for x in found)])


def _counts(figures, what):
    """Write what became of the trials, with the slowest of each kind."""
    slowest = figures['slowest_s']
    return table([what, 'number', 'slowest (s)'], [
        [kind.replace('_', r'\_'), str(count), _show(slowest.get(kind))]
        for kind, count in figures['counts'].items()])


def messages(figures):
    """Write generated messages in process."""
    return [_counts(figures, 'input'), _columns(
        figures['more'], (*HELD, 'guarded_exceptions', 'unreadable', 'refused_images')),
        _faults(figures['faults'])]


def dds(figures):
    """Write generated messages over DDS."""
    return [_columns([figures], ('messages', 'windows', 'wrong_windows', 'alive', 'status',
                                 'tracebacks', *HELD)), _faults(figures['faults'])]


def files(figures):
    """Write mutated files."""
    return [part for name, found in figures.items() for part in (
        f'**{name.capitalize()}**', _counts(found, 'what became of them'),
        _faults(found['faults']))]


def frames(figures):
    """Write frames through the predictor."""
    return [_columns([figures], ('frames', 'scored', 'p50_ms', 'p95_ms', 'p99_ms', *HELD))]


def node(figures):
    """Write a stream through the node."""
    row = {**figures, **figures['scores'], 'dropped': (figures['node'] or {}).get('dropped')}
    return [_columns([row], ('seconds', 'published', 'received', 'dropped', 'p50_ms', 'p95_ms',
                             'p99_ms', *HELD))]


def load(figures):
    """Write the latency of each stream, beside that of a bare hop."""
    rows = []
    for stream in figures['streams']:
        hop, scores = stream.get('hop') or {}, stream.get('scores') or {}
        counters = stream.get('node') or {}
        rows.append([
            stream['name'], _three(hop), _share(hop), _three(scores),
            _show(scores.get('received')), _show(counters.get('step_p50_ms')),
            _show(counters.get('dropped')), stream.get('error', '').split('\n')[0]])
    return [table(['stream', 'hop p50 / p95 / p99 (ms)', 'hop received', 'score p50 / p95 / p99 '
                   '(ms)', 'scored', 'step p50 (ms)', 'dropped', 'error'], rows)]


def _three(found):
    return ' / '.join(_show(found.get(f'p{p}_ms')) for p in (50, 95, 99))


def _share(found):
    return f'{found["received"]} of {found["published"]}' if found else '-'


def faults(figures):
    """Write many configurations, and the tests."""
    parts = [_columns([figures['cycles']], ('count', 'seconds_each', *HELD))]
    if tests := figures.get('tests'):
        parts.append(f'Tests that inject faults: {tests["summary"]} '
                     f'(`pytest {" ".join(tests["files"])}`).')
    return parts


def coverage(figures):
    """Write coverage-guided fuzzing: each target, and what was found."""
    rows, parts = [], []
    for name, found in figures['targets'].items():
        counts, slowest = found['counts'], found['slowest_s']
        rows.append([name, str(sum(counts.values())), _show(counts.get('read', 0)),
                     _show(counts.get('refused in one line', 0)), str(found['edges']),
                     str(found['corpus']), _show(max(slowest.values(), default=None)),
                     str(len(found['faults']))])
        if found['faults']:
            parts += [f'**{name.capitalize()}**', _faults(found['faults'])]
    return [table(['target', 'inputs', 'read', 'refused in one line', 'branches covered',
                   'inputs kept', 'slowest (s)', 'faults'], rows),
            f'{_show(figures["seconds_each"])} s for each target.', *parts]


def conformance(figures):
    """Write the conformance recordings, and what differs."""
    rows = [[name, *(str(found.get(key, 0)) for key in (
        'files', 'by_index', 'front_to_back', 'differ'))]
        for name, found in figures['kinds'].items()]
    differences = [f'- {code(x)}' for x in figures['differences']]
    if more := figures['more_differences']:
        differences.append(f'- and {more} more')
    return [
        table(['recordings', 'number', 'read by their index', 'from front to back', 'differ'],
              rows),
        f'{figures["rebuilt"]} of {figures["recordings"]} were made from the JSON and had the '
        'SHA-256 of their pointers.',
        _reasons('why not by the index', figures['not_by_index']),
        _reasons('what the commands say, which read ROS 2 alone', figures['commands']),
        '\n'.join(['Differences:', '', *differences]) if differences else 'Differences: none.']


def _reasons(what, counts):
    return table([what, 'recordings'], [[code(x), str(count)] for x, count in counts.items()])


WRITERS = {'messages': messages, 'dds': dds, 'files': files, 'frames': frames, 'node': node,
           'load': load, 'faults': faults, 'coverage': coverage, 'conformance': conformance}
