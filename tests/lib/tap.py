# SPDX-License-Identifier: Apache-2.0
"""Runs the test_* functions of a script in order and prints TAP, so that each counts by itself.

    if __name__ == '__main__':
        tap.main(globals(), setup=make_site)

A function takes what setup yielded (setup is a context manager function, or None for no argument)."""
import contextlib
import os
import sys
import time
import traceback


def main(namespace, setup=None):
    only = sys.argv[1:]
    tests = [(n, f) for n, f in namespace.items() if n.startswith('test_') and callable(f) and (not only or n in only)]
    print(f'1..{len(tests)}', flush=True)
    failed = 0
    with contextlib.ExitStack() as stack:
        fixture = stack.enter_context(setup()) if setup else None
        for i, (name, function) in enumerate(tests, 1):
            start = time.monotonic()
            title = name[5:].replace('_', ' ')
            try:
                function(fixture) if setup else function()
                print(f'ok {i} - {title} # {time.monotonic() - start:.1f} s', flush=True)
            except BaseException as e:
                failed += 1
                print(f'not ok {i} - {title}', flush=True)
                for line in traceback.format_exc().splitlines():
                    print('# ' + line)
                for proc in ('firnd', 'firn-s3'):
                    if hasattr(fixture, 'show_log'):
                        fixture.show_log(proc, 15)
                sys.stdout.flush()
                if isinstance(e, KeyboardInterrupt):
                    break
    sys.exit(1 if failed else 0)


def long_run():
    """True under ./check --long."""
    return bool(os.environ.get('FIRN_LONG'))
