"""A plugin of pytest: say each failure when it happens, not after the last test."""

import pytest

_LONGEST = 300


class Failures:
    """
    Writes a line for each failed test to pytest's terminal.

    :param config: of pytest; the workers of pytest-xdist have no terminal, and write nothing.
    """

    def __init__(self, config: pytest.Config):
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Name the test, the part that failed and the first line of why."""
        terminal = self._config.pluginmanager.get_plugin('terminalreporter')
        if terminal is None or not report.failed:
            return
        crash = getattr(report.longrepr, 'reprcrash', None)
        why = (crash.message if crash else str(report.longrepr)).strip().partition('\n')[0]
        terminal.write_line('')
        terminal.write_line(f'{report.nodeid} ({report.when}, {report.duration:.0f} s): '
                            f'{why[:_LONGEST]}')


def pytest_configure(config: pytest.Config) -> None:
    """Take part."""
    config.pluginmanager.register(Failures(config))
