#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program with a store, behind a fault proxy, for tests in C (see teststore.h):

    withstore.py radosgw|s3rver|firn PROGRAM [ARGUMENT...]

The program finds in its environment FIRN_TEST_S3_STORE (the kind's name), _ENDPOINT (the proxy), _DIRECT (the store itself),
_ACCESS_KEY, _SECRET_KEY, _REGION, _SEPARATOR ('_' or '-', what the store bears in bucket names), _SEED and _CONTROL (the
proxy's control port), each after FIRN_TEST_S3. Ends with the program's status; $FIRN_TEST_SEED chooses the proxy's seed."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from s3stores import store  # noqa: E402


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with store(sys.argv[1]) as s, s.faults(int(os.environ.get('FIRN_TEST_SEED', '20260101'))) as proxy:
        values = {'STORE': s.name, 'ENDPOINT': proxy.endpoint, 'DIRECT': s.endpoint, 'ACCESS_KEY': s.access_key,
                  'SECRET_KEY': s.secret_key, 'REGION': s.region, 'SEPARATOR': '_' if s.underscores else '-',
                  'SEED': proxy.seed, 'CONTROL': proxy.open_control()}
        env = {**os.environ, **{'FIRN_TEST_S3_' + k: str(v) for k, v in values.items()}}
        return subprocess.run(sys.argv[2:], env=env, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
