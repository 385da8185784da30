"""The node grasp_predictor."""
