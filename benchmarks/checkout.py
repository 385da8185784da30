"""
Where the benchmarks find what they measure: this checkout first, peers last.

Importing this module puts both on ``sys.path``: a benchmark is to measure the sources it stands
beside, whatever is installed, and peers are to stand behind everything of the environment.
"""

from pathlib import Path
import sys

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / '.peers'
RUNS = HERE / '.runs'
RESULTS = ROOT / 'docs' / 'results'
IMAGES = ROOT / 'docs' / 'images'

if str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))
if str(PEERS) not in sys.path:
    sys.path.append(str(PEERS))
