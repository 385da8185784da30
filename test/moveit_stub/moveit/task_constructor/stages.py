"""A stub of the stages that the example uses, with their properties."""

from geometry_msgs.msg import Vector3Stamped

from moveit.task_constructor.core import MonitoringGenerator, Stage


class CurrentState(Stage):
    """The robot as it is."""


class Connect(Stage):
    """Plans between two states."""

    def __init__(self, name, planners):
        Stage.__init__(self, name)
        assert all(isinstance(group, str) for group, _ in planners)


class MoveTo(Stage):
    """Moves to a named state."""

    known = (*Stage.known, 'group', 'ik_frame', 'path_constraints')

    def __init__(self, name, planner):
        Stage.__init__(self, name)

    def setGoal(self, goal):  # noqa: N802
        """Choose it."""
        assert isinstance(goal, str) and self.properties['group']


class MoveRelative(Stage):
    """Moves along a direction."""

    known = (*MoveTo.known, 'min_distance', 'max_distance')

    def __init__(self, name, planner):
        Stage.__init__(self, name)

    def setDirection(self, direction):  # noqa: N802
        """Choose it."""
        assert isinstance(direction, Vector3Stamped) and direction.header.frame_id


class ComputeIK(Stage):
    """Computes the arm's configuration for the poses of a generator."""

    known = (*Stage.known, 'eef', 'group', 'ik_frame', 'max_ik_solutions', 'ignore_collisions')

    def __init__(self, name, stage):
        Stage.__init__(self, name)
        assert isinstance(stage, MonitoringGenerator) and stage.monitored
        self.__dict__['wrapped'] = stage


class ModifyPlanningScene(Stage):
    """Changes what may touch and what is held."""

    def allowCollisions(self, object, enable_collision=True):  # noqa: A002, N802
        """Let an object touch anything."""
        assert object and isinstance(enable_collision, bool)

    def attachObject(self, name, link):  # noqa: N802
        """Attach an object to a link."""
        assert name and link
