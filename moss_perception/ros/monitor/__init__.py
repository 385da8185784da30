"""What a running grasp system does, for operators: one state, shown in a terminal or a page."""
