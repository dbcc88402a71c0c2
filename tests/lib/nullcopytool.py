# SPDX-License-Identifier: Apache-2.0
"""A copytool without a store, for tests of what asks the coordinator: it ends what comes. Runs in the environment of
LustreFake.env(); its argument is a JSON object: mount, and

    fail     {FID: errno}: these end so
    delay    seconds before an action is begun
    hold     true: nothing is ended until it is cancelled

Prints "ready" when it is registered; ends at the end of its standard input."""
import errno
import json
import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lustrect  # noqa: E402


def work(tool, item, options):
    rc, action = tool.begin(item)
    if rc != 0:
        return None
    error = options.get('fail', {}).get(lustrect.fid_text(item.fid), 0)
    if error == 0 and item.action == lustrect.RESTORE:
        fd = action.fd()
        os.ftruncate(fd, 5)
        os.close(fd)
    if options.get('hold'):
        return action
    action.end(error)
    return None


def serve(tool, options):
    held = {}
    while True:
        ready = select.select([tool.fd(), sys.stdin], [], [])[0]
        if sys.stdin in ready:
            break
        for item in tool.recv(0):
            if item.action == lustrect.CANCEL:
                action = held.pop(item.cookie, None)
                if action:
                    action.end(errno.ECANCELED)
                continue
            time.sleep(options.get('delay', 0))
            action = work(tool, item, options)
            if action:
                held[item.cookie] = action
    for action in held.values():
        action.end(errno.EINTR)


def main():
    options = json.loads(sys.argv[1])
    tool = lustrect.Copytool(lustrect.Api(), options['mount'])
    assert tool.rc == 0, tool.rc
    print('ready', flush=True)
    serve(tool, options)
    tool.unregister()


if __name__ == '__main__':
    main()
