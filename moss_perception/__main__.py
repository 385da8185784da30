"""The command ``moss`` of a source tree that is not installed: ``python -m moss_perception``."""

import sys

from moss_perception.cli.entry_point import moss

if __name__ == '__main__':
    sys.exit(moss())
