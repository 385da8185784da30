"""The node grasp_gate."""
