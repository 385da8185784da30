"""Make the tiny network importable: tests run without sys.path entries of their own."""

from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).parent))
