"""Evaluate a checkpoint over topics without ``ros2 launch``: ``run_eval [name:=value …]``."""

import sys

from moss_perception.cli.eval_system import evaluation_arguments, evaluation_runs
from moss_perception.cli.run import run_systems


def main(argv: list[str] | None = None) -> int:
    """
    Run the evaluation until its report is written.

    :param argv: ``name:=value`` words, or ``--show-args``; the command line's if None.
    :returns: 0; 1 on a known error; 2 for a wrong argument; 3 if what was required does not hold;
        130 if interrupted.
    """
    return run_systems('run_eval', evaluation_arguments(), evaluation_runs, argv)


if __name__ == '__main__':
    sys.exit(main())
