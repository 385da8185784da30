"""The node bag_evaluator."""
