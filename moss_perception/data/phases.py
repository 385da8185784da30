"""The phases of a grasp, and how long each takes, seconds."""

PHASES = ('approach', 'descend', 'close', 'lift', 'shake')
APPROACH_S = 0.3
DESCEND_S = 0.25
CLOSE_S = 0.25
LIFT_S = 0.4
SHAKE_S = 0.5
# When the fingers of a grasp decided now meet an object between them.
GRIP_S = APPROACH_S + DESCEND_S + CLOSE_S / 2
DURATION_S = APPROACH_S + DESCEND_S + CLOSE_S + LIFT_S + SHAKE_S
