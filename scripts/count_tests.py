"""Say how many tests a pytest run had; status 1 if it had none or any failed."""

from pathlib import Path
import sys
import xml.etree.ElementTree as ElementTree


def main(path: str) -> int:
    """
    Print the numbers of a JUnit report.

    :param path: the report that pytest wrote.
    :returns: 0 if tests ran and none failed, else 1.
    """
    if not Path(path).is_file():
        print(f'[test] error: {path} is missing: pytest did not run')
        return 1
    suites = ElementTree.parse(path).getroot().iter('testsuite')
    counts = dict.fromkeys(('tests', 'failures', 'errors', 'skipped'), 0)
    for suite in suites:
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    bad = counts['failures'] + counts['errors']
    ran = counts['tests'] - counts['skipped']
    print(f'[test] {ran} tests ran, {bad} failed, {counts["skipped"]} skipped')
    return 0 if ran and not bad else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
