"""Start the grasp system: ``ros2 launch moss_perception grasp.launch.py --show-args``."""

import signal
import time

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import SignalProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from moss_perception.core.resources import executable
from moss_perception.ros.system.grasp import GRASP_ARGUMENTS, grasp_system
from moss_perception.ros.system.processes import (
    Argument,
    JOB,
    Process,
    SERVICE,
    STARTER,
    WATCHER,
)
from moss_perception.ros.system.restarts import DELAY_S, restarted, Restarts

PACKAGE = 'moss_perception'


class SystemFailedError(RuntimeError):
    """Raised in an event handler: ``ros2 launch`` ignores the exit statuses of its processes."""


def generate_launch_description():
    """Declare the arguments; :func:`make_system` makes the nodes from their values."""
    return LaunchDescription([
        *declare(GRASP_ARGUMENTS),
        OpaqueFunction(function=make_system),
    ])


def declare(arguments: list[Argument]) -> list[DeclareLaunchArgument]:
    """Declare arguments of a system as launch arguments."""
    return [DeclareLaunchArgument(
        argument.name, default_value=argument.default, description=argument.description,
        choices=list(argument.choices) or None) for argument in arguments]


def values_of(arguments: list[Argument], context) -> dict[str, str]:
    """Return the values of launch arguments by name."""
    return {argument.name: LaunchConfiguration(argument.name).perform(context)
            for argument in arguments}


def make_system(context):
    """Turn the description of the system into launch actions."""
    return actions_of(grasp_system(values_of(GRASP_ARGUMENTS, context)))


def actions_of(processes: list[Process]) -> list:
    """
    Turn processes into launch actions.

    :returns: handlers, then all but late jobs, then those if there is no starter.
    """
    nodes = [(process, make_node(process)) for process in processes]
    starters = [node for process, node in nodes if process.role == STARTER]
    jobs = [node for process, node in nodes if process.starts_with == JOB]
    at_once = [node for process, node in nodes if process.starts_with != JOB]
    remaining = {role: {process.label for process in processes if process.role == role}
                 for role in (STARTER, JOB)}
    handlers, newest = [], {process.label: node for process, node in nodes}
    for process, node in nodes:
        on_exit = make_exit_handler(process, remaining, jobs, newest)
        if process.respawn:
            on_exit = make_respawn_handler(process, on_exit, newest, [
                (x, make_exit_handler(x, remaining, jobs, newest))
                for x in processes if x.activates(process)])
        handlers.append(RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit)))
    return handlers + at_once + ([] if starters else jobs)


def make_respawn_handler(process: Process, give_up, newest: dict, starters: list[tuple]):
    """
    Return the handler of the end of a service that is started again.

    :param give_up: the handler once it has ended too often.
    :param newest: the action of each process that is running or ran last, by label.
    :param starters: what activates it again, each with the handler of its end.
    :returns: a function for ``OnProcessExit``.
    """
    restarts, began_s = Restarts(), [time.monotonic()]

    def on_exit(event, context):
        if context.is_shutdown or not restarts.again(began_s[0]):
            return give_up(event, context)
        ended = f'status {event.returncode}'
        newest[process.label] = node = make_node(process, restarted(restarts.count, ended))
        began_s[0] = time.monotonic() + DELAY_S
        again = [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=on_exit)), node]
        at_once = [LogInfo(msg=f'{process.label} has ended with {ended}; starting it again')]
        for starter, on_end in starters:
            # One that still waits for the process before would wait for it in vain.
            at_once.append(kill(newest[starter.label]))
            newest[starter.label] = action = make_node(starter)
            again += [RegisterEventHandler(OnProcessExit(target_action=action, on_exit=on_end)),
                      action]
        return [*at_once, TimerAction(period=DELAY_S, actions=again)]
    return on_exit


def kill(action):
    """Return the action that kills the process of another one, which may have ended."""
    return EmitEvent(event=SignalProcess(
        signal_number=signal.SIGKILL, process_matcher=lambda one: one is action))


def make_exit_handler(process: Process, remaining: dict[str, set], jobs: list, newest: dict):
    """
    Return the handler of the end of a process, which depends on its role.

    :param remaining: labels of the starters and jobs that have not ended well yet.
    :param jobs: the jobs' actions, to start after the starters.
    :param newest: the action of each process by label; the end of an older one is ignored.
    :returns: a function for ``OnProcessExit``.
    """
    def on_exit(event, context):
        if context.is_shutdown or event.action is not newest[process.label]:
            return None
        if process.role == WATCHER:
            return LogInfo(msg=f'{process.label} has ended with status {event.returncode}; the '
                           'system goes on')
        if process.role == SERVICE or event.returncode != 0:
            raise SystemFailedError(f'{process.label} ended with status {event.returncode}')
        waiting = remaining[process.role]
        # A starter that ends a second time has activated a node that was started again.
        if process.label not in waiting:
            return None
        waiting.remove(process.label)
        if waiting:
            return None
        if process.role == STARTER:
            return jobs
        return [LogInfo(msg=f'{process.label} has ended well'),
                EmitEvent(event=Shutdown(reason=f'{process.label} has ended'))]
    return on_exit


def make_node(process: Process, more: dict[str, str] | None = None):
    """
    Return a ``Node``, a ``LifecycleNode``, or an ``ExecuteProcess`` for several or none.

    :param more: further variables of its environment.
    """
    environment = {'PYTHONUNBUFFERED': '1', **(more or {})}
    if process.plain or process.namespaces:
        # A node action would set one namespace for all nodes of the process.
        return ExecuteProcess(
            cmd=[str(executable(process.executable)), *process.command_arguments()],
            name=process.name, output='screen', additional_env=environment)
    kind = LifecycleNode if process.lifecycle else Node
    return kind(
        package=PACKAGE, executable=process.executable, name=process.name,
        namespace=process.namespace, output='screen', additional_env=environment,
        parameters=[*process.parameter_files, {
            name: typed(value) for name, value in process.parameters.items()}],
        remappings=list(process.remappings), arguments=list(process.arguments),
        ros_arguments=['--log-level', process.log_level])


def typed(value):
    """Keep a parameter's type: launch would read a path such as ``1.0`` as a number."""
    return ParameterValue(value, value_type=list[str] if isinstance(value, list) else type(value))
