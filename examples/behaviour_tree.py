"""
Leaves of a behaviour tree for py_trees: detect, await scores, choose and execute a grasp.

No leaf blocks: each returns RUNNING until its result is there.
"""

import time

from moss_perception.client import GraspScorer, Proposal, ScoredGrasps
import py_trees
from py_trees.common import Access, Status
from work_cell import CANDIDATES, Planner, spinning, WorkCell

PERIOD_S = 0.02


class Leaf(py_trees.behaviour.Behaviour):
    """
    A leaf that reads and writes keys of the blackboard.

    :param reads: keys that it reads.
    :param writes: keys that it writes.
    """

    def __init__(self, name: str, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()):
        super().__init__(name)
        self.board = self.attach_blackboard_client(name)
        for access, keys in ((Access.READ, reads), (Access.WRITE, writes)):
            for key in keys:
                self.board.register_key(key, access)


class Propose(Leaf):
    """Propose the grasps of the newest image; RUNNING while none was detected."""

    def __init__(self, cell: WorkCell, scorer: GraspScorer):
        super().__init__('Propose', writes=('proposal',))
        self._cell, self._scorer = cell, scorer

    def update(self) -> Status:
        detected = self._cell.detections()
        if detected is None:
            return Status.RUNNING
        self.board.proposal = self._scorer.propose(detected)
        return Status.SUCCESS


class AwaitScores(Leaf):
    """Wait for the scores of the proposal; FAILURE after the timeout."""

    def __init__(self, scorer: GraspScorer, timeout_s: float = 1.0):
        super().__init__('AwaitScores', reads=('proposal',), writes=('scores',))
        self._scorer, self._timeout_s = scorer, timeout_s

    def update(self) -> Status:
        proposal: Proposal = self.board.proposal
        scores = self._scorer.scores_of(proposal)
        if scores is not None:
            self.board.scores = scores
            return Status.SUCCESS
        late = time.monotonic() - proposal.sent_s > self._timeout_s
        self.feedback_message = f'no scores within {self._timeout_s} s' if late else 'waiting'
        return Status.FAILURE if late else Status.RUNNING


class ChooseGrasp(Leaf):
    """Choose the best candidate; FAILURE if none is acceptable or the scores are not fresh."""

    def __init__(self, node: Planner, scorer: GraspScorer):
        super().__init__('ChooseGrasp', reads=('scores',), writes=('target',))
        self._node, self._scorer = node, scorer

    def update(self) -> Status:
        scores: ScoredGrasps = self.board.scores
        best = scores.best(self._node.min_score, self._node.max_uncertainty)
        self.feedback_message = scores.explain()
        if best is None or not self._scorer.is_fresh(scores):
            return Status.FAILURE
        self.board.target = scores.target(best)
        return Status.SUCCESS


class ExecuteGrasp(Leaf):
    """Execute the chosen grasp; RUNNING until its outcome comes."""

    def __init__(self, cell: WorkCell, timeout_s: float = 30.0):
        super().__init__('ExecuteGrasp', reads=('target',))
        self._cell, self._timeout_s, self._since_s = cell, timeout_s, 0.0

    def initialise(self) -> None:
        self._since_s = time.monotonic()
        self._cell.execute(self.board.target)

    def update(self) -> Status:
        outcome = self._cell.outcome()
        if outcome is None:
            late = time.monotonic() - self._since_s > self._timeout_s
            return Status.FAILURE if late else Status.RUNNING
        self.feedback_message = outcome
        return Status.SUCCESS


def grasp_tree(node: Planner) -> py_trees.behaviour.Behaviour:
    """Return the tree that executes one grasp."""
    cell = WorkCell(node)
    scorer = GraspScorer(node, candidates=CANDIDATES, max_age_s=node.max_age_s)
    root = py_trees.composites.Sequence('Grasp', memory=True)
    root.add_children([Propose(cell, scorer), AwaitScores(scorer, node.timeout_s),
                       ChooseGrasp(node, scorer), ExecuteGrasp(cell)])
    return root


def main() -> None:
    """Tick the tree until enough grasps are executed."""
    with spinning('behaviour_tree') as node:
        root, done = grasp_tree(node), 0
        while done < node.attempts:
            root.tick_once()
            if root.status is Status.SUCCESS:
                done += 1
                print(f'attempt {done}: {root.children[-1].feedback_message}', flush=True)
            elif root.status is Status.FAILURE:
                failed = root.tip()
                node.get_logger().info(f'{failed.name}: {failed.feedback_message}')
            time.sleep(PERIOD_S)


if __name__ == '__main__':
    main()
