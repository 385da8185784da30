"""
A pick with MoveIt Task Constructor: a generator stage proposes grasps by their scores.

It needs MoveIt 2 and the Python bindings of MoveIt Task Constructor, which PyPI does not have. The
tests of this package run it with a stub of these interfaces, ``test/moveit_stub``. It has NOT been
run with MoveIt itself: try it with a simulated robot first.

The robot model has to contain the camera's optical frame, in which the grasps are. The defaults
are for the Panda of MoveIt's demo; parameters name another robot's groups and links. A plan takes
seconds: grasp objects at rest, or give a ``lead_time``.
"""

from dataclasses import dataclass
import sys

from geometry_msgs.msg import PoseArray, PoseStamped, Quaternion, Vector3, Vector3Stamped
from moss_perception.client import GraspScorer, ScoredGrasps, ScoresTimeoutError
from std_msgs.msg import Header
from work_cell import CANDIDATES, Planner, spinning, WorkCell

try:
    from moveit.task_constructor import core, stages
    import rclcpp
except ImportError as missing:
    sys.exit(f'moveit_pick: {missing}: expected MoveIt 2 and the Python bindings of MoveIt Task '
             'Constructor, built from source in a ROS workspace')

HALF = 2 ** -0.5


@dataclass(frozen=True)
class Robot:
    """
    Names of the robot model.

    :ivar arm: planning group of the arm.
    :ivar hand: planning group of the gripper, with the named states ``open`` and ``close``.
    :ivar hand_frame: link of the gripper.
    :ivar reach_m: from that link to the midpoint between the closed pads, along its z axis.
    :ivar item: the object in the planning scene that is grasped; empty if it is not modelled.
    :ivar lead_time_s: from the image until the fingers close, seconds; negative for the default.
    """

    arm: str
    hand: str
    hand_frame: str
    reach_m: float
    item: str
    lead_time_s: float

    @classmethod
    def of(cls, node: Planner) -> 'Robot':
        """Read the parameters of a node."""
        defaults = {'arm': 'panda_arm', 'hand': 'hand', 'hand_frame': 'panda_hand',
                    'reach': 0.1034, 'item': '', 'lead_time': -1.0}
        return cls(*(node.declare_parameter(name, value).value
                     for name, value in defaults.items()))

    def between_pads(self) -> PoseStamped:
        """Return the frame of a grasp: x closes, z approaches; the Panda's fingers close in y."""
        pads = PoseStamped(header=Header(frame_id=self.hand_frame))
        pads.pose.position.z = self.reach_m
        pads.pose.orientation = Quaternion(x=0.0, y=0.0, z=HALF, w=HALF)
        return pads


class ScoredGraspPoses(core.MonitoringGenerator):
    """
    A generator stage: spawns a state for each acceptable grasp, at the cost 1 - score.

    :param node: the planner's node, for the limits and the log.
    :param scorer: proposes to the predictor.
    :param cell: has the detections.
    :param robot: has the lead time.
    """

    def __init__(self, node: Planner, scorer: GraspScorer, cell: WorkCell, robot: Robot):
        core.MonitoringGenerator.__init__(self, 'scored grasps')
        self._node, self._scorer, self._cell, self._robot = node, scorer, cell, robot
        self.reset()

    def reset(self) -> None:
        """Forget the scenes of the plan before."""
        core.MonitoringGenerator.reset(self)
        self._scenes = []

    def onNewSolution(self, solution) -> None:  # noqa: N802, the name of the interface
        """Take the scene in which to grasp."""
        self._scenes.append(solution.end.scene)

    def canCompute(self) -> bool:  # noqa: N802, the name of the interface
        """Tell whether a scene waits."""
        return bool(self._scenes)

    def compute(self) -> None:
        """Spawn the acceptable grasps of the newest detections."""
        scene = self._scenes.pop(0)
        scores = self._scores()
        for grasp in () if scores is None else scores.grasps:
            if grasp.is_acceptable(self._node.min_score, self._node.max_uncertainty):
                state = core.InterfaceState(scene)
                state.properties['target_pose'] = scores.target(grasp)
                self.spawn(state, 1.0 - grasp.score)

    def _scores(self) -> ScoredGrasps | None:
        """Return fresh scores of the newest detections; ``None`` if there are none."""
        detected = self._cell.detections(self._node.timeout_s)
        if detected is None:
            self._node.get_logger().info('nothing was detected')
            return None
        try:
            scores = self._scorer.score(detected, self._lead_times(detected), self._node.timeout_s)
        except ScoresTimeoutError as error:
            self._node.get_logger().info(str(error))
            return None
        if not self._scorer.is_fresh(scores):
            self._node.get_logger().info(f'the scores are {scores.age_s:.2f} s old')
            return None
        return scores

    def _lead_times(self, detected: PoseArray) -> list[float] | None:
        lead_s = self._robot.lead_time_s
        return None if lead_s < 0 else [lead_s] * len(detected.poses)


def pick_task(planning_node, robot: Robot, grasps: ScoredGraspPoses):
    """Return the task: open, reach, approach, grasp and lift."""
    task = core.Task()
    task.name = 'pick'
    task.loadRobotModel(planning_node)
    joints, lines = core.JointInterpolationPlanner(), core.CartesianPath()
    sampling = core.PipelinePlanner(planning_node, 'ompl', 'RRTConnectkConfigDefault')
    task.add(stages.CurrentState('current'))
    task.add(_hand('open hand', robot, joints, 'open'))
    task.add(stages.Connect('reach', [(robot.arm, sampling)]))
    # By its name: the stages belong to the task as soon as they are added.
    grasps.setMonitoredStage(task['open hand'])
    task.add(_straight('approach', robot, lines, Vector3(x=0.0, y=0.0, z=1.0)))
    pose = stages.ComputeIK('grasp pose', grasps)
    pose.group, pose.ik_frame, pose.max_ik_solutions = robot.arm, robot.between_pads(), 4
    pose.properties.configureInitFrom(
        core.Stage.PropertyInitializerSource.INTERFACE, ['target_pose'])
    task.add(pose)
    if robot.item:
        touch = stages.ModifyPlanningScene('allow contact')
        touch.allowCollisions(robot.item, True)
        task.add(touch)
    task.add(_hand('close hand', robot, joints, 'close'))
    if robot.item:
        hold = stages.ModifyPlanningScene('hold')
        hold.attachObject(robot.item, robot.hand_frame)
        task.add(hold)
    task.add(_straight('lift', robot, lines, Vector3(x=0.0, y=0.0, z=-1.0)))
    return task


def _hand(name: str, robot: Robot, planner, goal: str):
    stage = stages.MoveTo(name, planner)
    stage.group = robot.hand
    stage.setGoal(goal)
    return stage


def _straight(name: str, robot: Robot, planner, direction: Vector3):
    stage = stages.MoveRelative(name, planner)
    stage.group, stage.ik_frame = robot.arm, PoseStamped(header=Header(frame_id=robot.hand_frame))
    stage.min_distance, stage.max_distance = 0.03, 0.1
    stage.setDirection(Vector3Stamped(header=stage.ik_frame.header, vector=direction))
    return stage


def main() -> None:
    """Plan and execute picks until enough attempts are done."""
    rclcpp.init()
    planning_node = rclcpp.Node('moveit_pick_planning')
    with spinning('moveit_pick') as node:
        cell, robot, done = WorkCell(node), Robot.of(node), 0
        scorer = GraspScorer(node, candidates=CANDIDATES, max_age_s=node.max_age_s)
        while done < node.attempts:
            task = pick_task(planning_node, robot, ScoredGraspPoses(node, scorer, cell, robot))
            if not task.plan() or not len(task.solutions):
                node.get_logger().info('no plan for an acceptable grasp')
                continue
            # Solutions are in the order of their cost, and 1 - score is part of it.
            best = task.solutions[0]
            task.execute(best)
            outcome = cell.outcome(timeout_s=30.0)
            done += outcome is not None
            print(f'attempt {done}: cost {best.cost:.2f}: {outcome}', flush=True)


if __name__ == '__main__':
    main()
