"""Colours of the page and of its plots."""

HELD, FAILED, WARN = '#1c7c54', '#b8352c', '#8a5a00'
INK, MUTED, LINE, PAPER = '#1b2530', '#5a6776', '#d8dee6', '#ffffff'
# The first is the reference's. They differ in lightness too, and so in grey.
DOMAINS = ('#1d4f91', '#d9822b', '#6b3fa0', '#0f8b8d', '#a03a5c', '#6d7b1e', '#4a4a4a')


def colour_of(number: int) -> str:
    """Choose a domain's colour by its place; the reference stands first."""
    return DOMAINS[number % len(DOMAINS)]


# By name, as the style sheet has them.
PAGE = {'ink': INK, 'muted': MUTED, 'line': LINE, 'paper': PAPER, 'held': HELD, 'failed': FAILED,
        'accent': DOMAINS[0], 'warn': WARN}
