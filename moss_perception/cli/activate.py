"""``moss activate``: configure and activate lifecycle nodes."""

import argparse
import signal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument('nodes', nargs='+', metavar='NODE',
                        help='names of lifecycle nodes, in the order to activate them')
    parser.add_argument('--timeout', type=float, default=60.0, metavar='S',
                        help='seconds that a transition may take (%(default)g)')
    parser.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[], metavar='...',
                        help='arguments for ROS, such as -r __ns:=/arm')


def run(arguments: argparse.Namespace) -> int:
    """
    Activate the nodes.

    :returns: 0 if all are active, 1 if not, 130 if interrupted.
    """
    # During the import of rclpy, Python's own handler would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from moss_perception.ros.common.lifecycle import activate
    return activate(arguments.nodes, arguments.timeout, ['--ros-args', *arguments.ros_args])
