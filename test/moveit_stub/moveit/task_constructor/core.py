"""
A stub: stages in a row, of which only a generator that monitors another one computes.

Names and arguments are those of the Python bindings on the branch ros2 of
moveit/moveit_task_constructor, as far as ``examples/moveit_pick.py`` uses them. It plans nothing:
every pose can be reached, and ``Task.execute`` gives the grasp to the simulated cell.
"""

from enum import Enum
import time
from types import SimpleNamespace

from geometry_msgs.msg import PoseStamped
import rclcpp
import rclpy


class Properties(dict):
    """Properties by name."""

    def configureInitFrom(self, source, names=()):  # noqa: N802
        """Say where values come from."""
        assert isinstance(source, Stage.PropertyInitializerSource)
        self.sources = (source, list(names))


class Stage:
    """A stage; attributes that are no property of it are refused, as by the bindings."""

    PropertyInitializerSource = Enum('PropertyInitializerSource', ('PARENT', 'INTERFACE'))
    known = ('timeout', 'marker_ns')

    def __init__(self, name=''):
        self.__dict__.update(name=name, properties=Properties(), owned=False)

    def __setattr__(self, name, value):
        if name in self.known:
            self.properties[name] = value
        elif type(self).__module__.startswith('moveit'):
            raise AttributeError(f'{type(self).__name__} has no property {name}')
        else:
            # A class of Python that derives from one of the bindings has a dictionary.
            self.__dict__[name] = value

    def __getattr__(self, name):
        if name in self.known:
            return self.properties[name]
        raise AttributeError(f'{type(self).__name__} has no property {name}')

    def reset(self):
        """Begin anew."""


class InterfaceState:
    """A start or a goal."""

    def __init__(self, scene):
        self.scene, self.properties = scene, Properties()


class Generator(Stage):
    """Computes states from nothing."""

    def reset(self):
        """Forget the states."""
        self.__dict__['spawned'] = []

    def spawn(self, state, cost):
        """Pass on a state."""
        assert isinstance(state, InterfaceState) and isinstance(cost, float)
        self.spawned.append((cost, state))


class MonitoringGenerator(Generator):
    """Computes states from the solutions of another stage."""

    def setMonitoredStage(self, stage):  # noqa: N802
        """Choose it."""
        assert isinstance(stage, Stage) and stage.owned, 'expected a stage of the task'
        self.__dict__['monitored'] = stage


class JointInterpolationPlanner:
    """Moves from one configuration to another."""


class CartesianPath:
    """Moves along a line."""


class PipelinePlanner:
    """Plans by a pipeline."""

    def __init__(self, node, pipeline='ompl', planner=''):
        assert isinstance(node, rclcpp.Node) and pipeline and planner


class Task:
    """Plans its stages."""

    def __init__(self, ns='', introspection=True):
        self.name, self.solutions, self._stages, self._model = '', [], [], False

    def loadRobotModel(self, node, robot_description='robot_description'):  # noqa: N802
        """Read the robot model."""
        assert isinstance(node, rclcpp.Node)
        self._model = True

    def add(self, *stages):
        """Append stages, which belong to the task from now on."""
        for stage in stages:
            assert isinstance(stage, Stage) and not stage.owned
            stage.__dict__['owned'] = True
            self._stages.append(stage)

    def __getitem__(self, name):
        """Return a stage."""
        return next(stage for stage in self._stages if stage.name == name)

    def plan(self, max_solutions=0):
        """Let the wrapped generators compute; every pose can be reached."""
        assert self._model, 'the robot model has not been loaded'
        wrapper = next(stage for stage in self._stages if hasattr(stage, 'wrapped'))
        source = Stage.PropertyInitializerSource.INTERFACE
        assert wrapper.properties.sources == (source, ['target_pose'])
        generator = wrapper.wrapped
        generator.reset()
        generator.onNewSolution(SimpleNamespace(end=SimpleNamespace(scene='the scene')))
        while generator.canCompute():
            generator.compute()
        self.solutions = [
            SimpleNamespace(cost=cost, target=state.properties['target_pose'],
                            stages=[stage.name for stage in self._stages])
            for cost, state in sorted(generator.spawned, key=lambda one: one[0])]
        return bool(self.solutions)

    def execute(self, solution):
        """Let the simulated cell execute the grasp."""
        assert solution in self.solutions and isinstance(solution.target, PoseStamped)
        print('stages: ' + ', '.join(solution.stages), flush=True)
        node = rclpy.create_node('move_group')
        publisher = node.create_publisher(PoseStamped, 'selected_grasp', 10)
        end_s = time.monotonic() + 30.0
        while not publisher.get_subscription_count() and time.monotonic() < end_s:
            time.sleep(0.01)
        publisher.publish(solution.target)
        publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=5.0))
        node.destroy_node()
