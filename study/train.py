"""Train a variant of the study: ``python -m study.train``, with the options of ``moss train``."""

import sys

from moss_perception.cli.main import main

import study.models  # noqa: F401, registers the variants

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
