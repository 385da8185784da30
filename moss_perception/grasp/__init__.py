"""The grasp-success predictor: frames in, grasp scores and motion features out."""
