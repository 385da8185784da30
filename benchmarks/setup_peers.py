"""Install the peers into a folder of their own, beside the environment: ``benchmarks/.peers``."""

import hashlib
import shutil
import subprocess
import sys

from checkout import PEERS, ROOT

REQUIREMENTS = ROOT / 'scripts' / 'requirements' / 'benchmark.txt'
_OFFLINE = ('Failed to establish', 'name resolution', 'ConnectTimeout', 'Read timed out',
            'ProxyError', 'Network is unreachable')


def main() -> int:
    """Install the listed packages that are missing."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = PEERS / 'setup.stamp'
    if stamp.is_file() and stamp.read_text() == digest:
        print(f'peers: complete in {PEERS}')
        return 0
    shutil.rmtree(PEERS, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input',
         '--retries', '2', '--no-deps', '--target', str(PEERS), '-r', str(REQUIREMENTS)],
        capture_output=True, text=True)
    if done.returncode:
        output = done.stdout + done.stderr
        if any(sign in output for sign in _OFFLINE):
            print('peers: no network: the package index could not be reached', file=sys.stderr)
        else:
            errors = [x for x in output.splitlines() if x.startswith('ERROR')] or ['unknown']
            print(f'peers: pip could not install them ({errors[-1]})', file=sys.stderr)
        return 1
    stamp.write_text(digest)
    print(f'peers: installed into {PEERS}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
