"""The versions of the libraries that the recipes of the MOSS page ran with."""

import json
from pathlib import Path

from tables import table

RESULTS = Path(__file__).resolve().parents[1] / 'results/hosts.json'


def markdown():
    """Write a table with a row for each recipe."""
    rows = []
    for name, tried in json.loads(RESULTS.read_text(encoding='utf-8')).items():
        tried = dict(tried)
        common = [tried.pop(key) for key in ('torch', 'python', 'date')]
        rows.append([name, ', '.join(f'{one} {version}' for one, version in tried.items()),
                     *common])
    return table(['recipe', 'ran with', 'torch', 'Python', 'on'], rows)
