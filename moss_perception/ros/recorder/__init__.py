"""The node attempt_recorder: record grasp attempts on a robot."""
