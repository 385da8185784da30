"""``moss attempts``: record attempts by keys, with a running attempt_recorder."""

import argparse
import signal


def add_attempts(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss attempts``."""
    parser.set_defaults(handler=drive)
    parser.description = (parser.description or '') + (
        ' Keys: s starts an attempt and, while one is recorded, ends it as succeeded; f ends it '
        'as failed; d discards it; c says that the fingers have closed; q quits and leaves the '
        'recorder running. If stdin is no terminal, each line is a key.')
    parser.add_argument('--node', default='attempt_recorder', metavar='NAME',
                        help='name of the recorder (default: %(default)s)')
    parser.add_argument('--timeout', type=float, default=30.0, metavar='S',
                        help='longest wait for the recorder in seconds (default: %(default)g)')
    parser.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[], metavar='...',
                        help='arguments for ROS, such as -r __ns:=/arm')


def drive(arguments: argparse.Namespace) -> int:
    """
    Read keys until q.

    :returns: 0; 1 if the recorder is missing; 130 if interrupted.
    """
    # During the import of rclpy, Python's own handler would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from moss_perception.ros.front_end import drive as drive_recorder
    return drive_recorder(arguments.node, arguments.timeout, ['--ros-args', *arguments.ros_args])
