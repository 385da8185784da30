"""The results of the closed loop at several latencies."""

import json
from pathlib import Path

from moss_perception.evaluation.latencies import HEAD, rows
from tables import code, table

RESULTS = Path(__file__).resolve().parents[1] / 'results'
FILES = 'closed_loop_latencies*.json'


def markdown():
    """Write a table for each file of results: one checkpoint each."""
    parts = []
    for path in sorted(RESULTS.glob(FILES)):
        found = json.loads(path.read_text(encoding='utf-8'))
        scenes = [f'{values["attempts"]} scenes from seed {values["seed"]} of {name}'
                  for name, values in found['domains'].items()]
        machine = found['machine']
        parts += [
            f'**{found["model"]}** ({found["model_type"]}, sha256 {code(found["sha256"][:12])}), '
            f'{" and ".join(scenes)}; {machine["cores"]} cores of {machine["cpu"]}, '
            f'{found["duration_s"] / 60:.0f} minutes; {code(f"docs/results/{path.name}")}:',
            table(HEAD, rows(found))]
    return '\n\n'.join(parts)
