"""The executable ``moss``; a SIGINT during its imports ends it without a traceback."""

import signal

# Before all other imports: Python's own handler would print a traceback from inside them. Only
# executables import this module.
signal.signal(signal.SIGINT, signal.SIG_DFL)


def moss() -> int:
    """Run :mod:`moss_perception.cli.main`."""
    # It imports the module of the subcommand, which can take a second.
    from moss_perception.cli.main import parse, run
    arguments = parse()
    # A command ends what it has begun, and says that it was interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run(arguments)
    finally:
        # Its status is decided: a second Ctrl-C, which means the same, must not change it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
