# SPDX-License-Identifier: Apache-2.0
"""The store client's test program (tests/unit/store/store_tool.c) from Python.

    r = Tool(endpoint, access_key, secret_key, ca=None).run('get', bucket, key, path, size, retries=0)
    r.rc, r.fields['etag'], r.items, r.error, r.errno, r.seconds"""
import os
import subprocess
import time

PROGRAM = os.path.join(os.environ.get('FIRN_BUILD', ''), 'tests', 'unit', 'store', 'store_tool')
ABSENT, EXISTS, ARCHIVED = 3, 4, 5


class Result:
    def __init__(self, rc, out, seconds):
        self.rc, self.out, self.seconds = rc, out, seconds
        self.fields, self.items, self.meta, self.buckets, self.error, self.errno = {}, [], {}, [], '', 0
        for line in out.split('\n'):
            name, _, value = line.partition(': ')
            if name == 'item':
                size, modified, etag, key = value.split(' ', 3)
                self.items.append((key, int(size), int(modified), etag))
            elif name == 'meta':
                key, _, v = value.partition('=')
                self.meta[key] = v
            elif name == 'bucket':
                self.buckets.append(value)
            elif name == 'error':
                number, _, self.error = value.partition(' ')
                self.errno = -int(number)
            else:
                self.fields[name] = value

    @property
    def tries(self):
        return int(self.fields['tries'])

    def __repr__(self):
        return f'exit {self.rc} after {self.seconds:.1f} s: {self.out[:1500]}'


class Tool:
    def __init__(self, endpoint, access_key='key', secret_key='secret', ca=None, **options):
        self.options = {'endpoint': endpoint, 'access_key': access_key, 'secret_key': secret_key, **options}
        if ca:
            self.options['ca'] = ca

    def argv(self, words, options):
        chosen = {**self.options, **options}
        return [PROGRAM, *(f'{k}={v}' for k, v in chosen.items()), *(str(w) for w in words)]

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith('AWS_')}
        env.update({'ASAN_OPTIONS': 'exitcode=99', 'UBSAN_OPTIONS': 'halt_on_error=1:exitcode=99'})
        return env

    def start(self, *words, env=None, **options):
        return subprocess.Popen(self.argv(words, options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=env or self.environment())

    def finish(self, process, since, timeout=60):
        out, err = process.communicate(timeout=timeout)
        assert process.returncode in (0, 1, ABSENT, EXISTS, ARCHIVED), f'exit {process.returncode}: {out}\n{err}'
        return Result(process.returncode, out + err, time.monotonic() - since)

    def run(self, *words, env=None, **options):
        since = time.monotonic()
        return self.finish(self.start(*words, env=env, **options), since)

    def ok(self, *words, **options):
        r = self.run(*words, **options)
        assert r.rc == 0, r
        return r
