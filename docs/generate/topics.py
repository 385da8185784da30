"""The topics and services of the nodes, read from their sources, with a remark each."""

import ast
from pathlib import Path

from moss_perception import ros
from parameters import NODES
from tables import code, table

IN, OUT, SERVICE = 'in', 'out', 'service'
# What the sources name by a variable: the transport decides about the type.
_IMAGES = {'image': 'sensor_msgs/Image', 'image/compressed': 'sensor_msgs/CompressedImage'}

REMARKS = {
    'grasp_predictor': {
        'image': (IN, 'raw images: 8 and 16 bit colour, mono, Bayer, YUV and NV12'),
        'image/compressed': (IN, 'JPEG or PNG, with `image_transport: compressed`'),
        'camera_info': (IN, 'projects the candidates; without it only the default grasp point is '
                            'scored'),
        'grasp_candidates': (IN, "grasps in the camera's optical frame, or in one that tf or "
                                 '`candidates_transform` relates to it; x closes, z approaches'),
        'grasp_lead_times': (IN, 'optional: when the fingers close on each candidate, see [Lead '
                                 'time](../planner.md#lead-time)'),
        '~/grasp_scores': (OUT, 'one point for each candidate, then the default grasp point: see '
                                '[Write a planner](../planner.md)'),
        '~/grasp_score': (OUT, 'score of the default grasp point, for plots; it has no stamp'),
        '~/motion_features': (OUT, 'the motion map, encoding `32FC<D>`, while someone subscribes'),
        '~/debug_image': (OUT, 'overlay, rendered while someone subscribes: grippers with scores, '
                               'the best and the selected one, motion; a banner says if it is '
                               'out of distribution'),
        '~/grasp_markers': (OUT, 'the scored candidates as grippers for RViz and Foxglove, built '
                                 'while someone subscribes; stamp and frame are those of the '
                                 'scores'),
        'selected_grasp': (IN, 'only while someone subscribes to the debug image, which marks it; '
                               'no score depends on it'),
        '~/processed': (OUT, "each image's stamp; `frame_id` is its status: `scored`, `stored`, "
                             '`skipped` or `refused`'),
        '~/heartbeat': (OUT, 'five times a second, with a deadline of 1 s; `frame_id` is the '
                             'state of the lifecycle, or `stuck`: see [Notice that it has '
                             'stopped](../planner.md#notice-that-it-has-stopped)'),
        '/diagnostics': (OUT, 'once a second: rates, latencies, counts by reason, OOD score'),
        '~/reset': (SERVICE, 'forgets the window'),
        '~/enable': (SERVICE, 'pauses or resumes scoring'),
        '~/score': (SERVICE, 'answers with the scores of the newest candidates: see [Ask by a '
                             'service](../planner.md#ask-by-a-service)'),
    },
    'grasp_gate': {
        'grasp_scores': (IN, '`~/grasp_scores` of the predictor'),
        'selected_grasp': (OUT, 'the selected candidate, with the stamp of its scores'),
        '~/state': (OUT, '`waiting`, `below threshold`, `candidate`, `selected` or `stale`'),
        '~/processed': (OUT, 'the stamp of each message of scores, after the decision; `frame_id` '
                             'is the state'),
    },
    'sim_cell': {
        'image': (OUT, 'rgb8, with `compressed: false`'),
        'image/compressed': (OUT, "JPEG with the domain's quality"),
        'camera_info': (OUT, "with each image; a scene's lens may differ from the last one's"),
        'grasp_candidates': (OUT, 'with each image until a grasp is executed; then one empty '
                                  'array'),
        'grasp_lead_times': (OUT, 'with the candidates, with `lead_times: true`'),
        'selected_grasp': (IN, 'the grasp to execute, in the optical frame'),
        'grasp_outcome': (OUT, 'one status for each attempt: see [Record '
                               'attempts](../how_to/record_attempts.md#outcomes)'),
        '/clock': (OUT, 'simulated time, with `publish_clock`'),
        '/diagnostics': (OUT, 'once a second: attempt, phase, refused grasps by reason, seconds '
                              'behind real time'),
    },
    'bag_player': {
        '/clock': (OUT, 'the time of recording, with `publish_clock`; it also publishes every '
                        'topic that it plays'),
    },
    'attempt_recorder': {
        'image': (IN, 'raw images, with `image_transport: raw`'),
        'image/compressed': (IN, 'compressed images, with `image_transport: compressed`'),
        'camera_info': (IN, 'calibration; each attempt has the newest one'),
        'grasp_candidates': (IN, 'the candidates'),
        'grasp_lead_times': (IN, 'their lead times, if anybody publishes them'),
        'selected_grasp': (IN, 'the executed grasp; its stamp is the decision'),
        'grasp_outcome': (IN, "the robot's own outcomes, with `outcomes: topic`"),
        'grasp_predictor/grasp_scores': (IN, "the predictor's scores"),
        'grasp_predictor/processed': (IN, 'the status of each image'),
        '/diagnostics': (IN, 'what the predictor reports about itself'),
        '~/command': (IN, '`start`, `succeed`, `fail`, `discard`, `closed`, `status`, or `next`: '
                          'start and, while an attempt is recorded, succeed'),
        '~/state': (OUT, '`idle` or `recording`'),
        '~/events': (OUT, 'what was done or refused, and warnings, a line each'),
        '~/start': (SERVICE, 'begins an attempt'),
        '~/succeed': (SERVICE, 'ends it as succeeded'),
        '~/fail': (SERVICE, 'ends it as failed'),
        '~/discard': (SERVICE, 'forgets it'),
        '~/closed': (SERVICE, 'says that the fingers have closed, which measures the lead time'),
    },
    'run_recorder': {
        'image': (IN, 'raw images, if the predictor subscribes to them'),
        'image/compressed': (IN, 'compressed images, if the predictor subscribes to them'),
        'camera_info': (IN, 'calibration'),
        'grasp_candidates': (IN, 'the candidates that were scored'),
        'grasp_lead_times': (IN, 'the lead times of the candidates, if anybody publishes them'),
        'selected_grasp': (IN, 'the executed grasp'),
        'grasp_outcome': (IN, 'outcomes; the recorder counts them'),
        'grasp_predictor/grasp_scores': (IN, "the predictor's scores"),
        'grasp_predictor/grasp_score': (IN, 'score of the default grasp point'),
        'grasp_predictor/processed': (IN, 'the status of each image'),
        '/diagnostics': (IN, 'what the predictor reports about itself'),
    },
}
"""Direction and remark of each topic, by node."""


def found():
    """
    Read type and name of the topics from the sources.

    :returns: types by topic, by node: wherever a message's class and a string follow each other.
    """
    root = Path(ros.__file__).parent
    return {node: _topics(sorted([*root.glob(f'{name}.py'), *root.glob(f'{name}/*.py')]))
            for node, name in ((node, module.split('.')[0]) for node, module in NODES.items())}


def _topics(paths):
    topics = {}
    for path in paths:
        tree = ast.parse(path.read_text(encoding='utf-8'))
        classes = {alias.asname or alias.name: f'{node.module.split(".")[0]}/{alias.name}'
                   for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                   and node.module and node.module.endswith(('.msg', '.srv'))
                   for alias in node.names}
        for node in ast.walk(tree):
            values = node.args if isinstance(node, ast.Call) else (
                node.elts if isinstance(node, ast.Tuple) else ())
            for kind, name in zip(values, values[1:], strict=False):
                text = _text(name)
                if isinstance(kind, ast.Name) and kind.id in classes and text:
                    topics[text] = classes[kind.id]
    return topics


def _text(node):
    """Return a string; of an f-string, the topics of the predictor are known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[-1], ast.Constant):
        end = node.values[-1].value
        return f'grasp_predictor{end}' if end != '/compressed' else ''
    return ''


def markdown():
    """Write a section a node."""
    parts = []
    for node, topics in found().items():
        known = _IMAGES | topics
        rows = [[code(name), direction, known[name], remark]
                for name, (direction, remark) in REMARKS[node].items() if name in known]
        parts += [f'## {node}', table(['topic', 'direction', 'type', 'remark'], rows)]
    return '\n\n'.join(parts)
