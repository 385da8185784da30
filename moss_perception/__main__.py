"""The command ``moss`` of a source tree that is not installed: ``python -m moss_perception``."""

import sys

from moss_perception.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
