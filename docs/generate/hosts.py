"""
Write the versions that the recipes of the MOSS page ran with into the page.

Run it where the package is set up, after scripts/hosts.sh: python docs/generate/hosts.py
"""

import json
from pathlib import Path
import sys

from tables import table

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / 'docs/results/hosts.json', ROOT / 'docs/moss.md'


def markdown():
    """Write a table with a row for each recipe."""
    rows = []
    for name, tried in json.loads(RESULTS.read_text(encoding='utf-8')).items():
        tried = dict(tried)
        common = [tried.pop(key) for key in ('torch', 'python', 'date')]
        rows.append([name, ', '.join(f'{one} {version}' for one, version in tried.items()),
                     *common])
    return table(['recipe', 'ran with', 'torch', 'Python', 'on'], rows)


def filled(page):
    """Fill the table of a page."""
    sys.path.insert(0, str(ROOT))
    from study.pages import fill
    return fill(page, lambda name, what: markdown() if (name, what) == ('hosts', 'table')
                else None)


if __name__ == '__main__':
    PAGE.write_text(filled(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
