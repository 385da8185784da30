"""Commands: argparse and exit codes."""
