"""Compare a checkpoint's scores with outcomes, in simulation and on the robot, and report."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import matches_action, Shutdown
from launch.events.process import ShutdownProcess
from moss_perception.ros.system.evaluation import EVALUATION_ARGUMENTS, evaluation_runs
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER

_spec = spec_from_file_location('grasp_launch', Path(__file__).with_name('grasp.launch.py'))
grasp_launch = module_from_spec(_spec)
_spec.loader.exec_module(grasp_launch)
SystemFailedError = grasp_launch.SystemFailedError


def generate_launch_description():
    """Declare the arguments; :func:`make_runs` makes the nodes from their values."""
    return LaunchDescription([
        *grasp_launch.declare(EVALUATION_ARGUMENTS),
        OpaqueFunction(function=make_runs),
    ])


def make_runs(context):
    """Return the launch actions of the first run; each run starts the next one."""
    values = grasp_launch.values_of(EVALUATION_ARGUMENTS, context)
    runs = [[(process, grasp_launch.make_node(process)) for process in run]
            for run in evaluation_runs(values)]
    return Run(runs).actions()


class Run:
    """
    A run of several systems one after another, as ``moss run eval`` runs them.

    :param runs: processes and their launch actions, of this run and of the following ones.
    """

    def __init__(self, runs: list):
        self._parts, *self._next = runs
        self._remaining = {role: sum(p.role == role for p, _ in self._parts)
                           for role in (SERVICE, STARTER, JOB)}
        self._ending = False

    def actions(self) -> list:
        """Return the handlers of all processes, and the processes that start at once."""
        handlers = [RegisterEventHandler(OnProcessExit(
            target_action=node, on_exit=self._make_handler(process)))
            for process, node in self._parts]
        at_once = [node for process, node in self._parts if process.starts_with != JOB]
        return handlers + at_once + ([] if self._remaining[STARTER] else self._jobs())

    def _jobs(self) -> list:
        return [node for process, node in self._parts if process.starts_with == JOB]

    def _make_handler(self, process: Process):
        def on_exit(event, context):
            if context.is_shutdown:
                return None
            expected = process.role != SERVICE or self._ending
            # The exit status of a service does not matter after this launch file has ended it.
            if not expected or (event.returncode != 0 and process.role != SERVICE):
                raise SystemFailedError(f'{process.name} ended with status {event.returncode}')
            self._remaining[process.role] -= 1
            return None if self._remaining[process.role] else self._go_on(process)
        return on_exit

    def _go_on(self, process: Process) -> list:
        """Start what comes after the last process of a role."""
        if process.role == STARTER:
            return self._jobs()
        if process.role == JOB and self._next:
            self._ending = True
            services = [node for process, node in self._parts if process.role == SERVICE]
            # The next run begins when the services of this one have ended, if it has any.
            return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node)))
                    for node in services] or Run(self._next).actions()
        if process.role == JOB:
            return [LogInfo(msg=f'{process.name} has ended well'),
                    EmitEvent(event=Shutdown(reason=f'{process.name} has ended'))]
        return Run(self._next).actions()
