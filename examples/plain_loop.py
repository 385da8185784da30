"""The shortest planner: propose what was detected, wait for the scores, take the best."""

from moss_perception.client import GraspScorer, ScoresTimeoutError
from work_cell import CANDIDATES, spinning, WorkCell


def main() -> None:
    """Execute grasps one after the other."""
    with spinning('plain_loop') as node:
        cell = WorkCell(node)
        scorer = GraspScorer(node, candidates=CANDIDATES, max_age_s=node.max_age_s)
        done = 0
        while done < node.attempts:
            detected = cell.detections(timeout_s=1.0)
            if detected is None:
                continue
            try:
                scores = scorer.score(detected, timeout_s=node.timeout_s)
            except ScoresTimeoutError as error:
                node.get_logger().info(str(error))
                continue
            best = scores.best(node.min_score, node.max_uncertainty)
            if best is None or not scorer.is_fresh(scores):
                node.get_logger().info(f'nothing to grasp: {scores.explain()}, '
                                       f'{scores.age_s:.2f} s old')
                continue
            cell.execute(scores.target(best))
            outcome = cell.outcome(timeout_s=30.0)
            done += outcome is not None
            print(f'attempt {done}: candidate {best.index}, score {best.score:.2f}: {outcome}; '
                  f'scores after {scorer.latency.median_s * 1e3:.0f} ms', flush=True)


if __name__ == '__main__':
    main()
