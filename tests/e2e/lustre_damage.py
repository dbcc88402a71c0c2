# SPDX-License-Identifier: Apache-2.0
"""A store that has lost, swapped or turned something: no read ever succeeds with other bytes, the reader gets an error,
the file stays as it was, and the next try works once the object is right again.

With the fake Lustre: ENODATA for the reader of a failed restore and the next access that tries again are proven live
elsewhere."""
import contextlib
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402

SIZE = 3 * CHUNK + 5


@contextlib.contextmanager
def site():
    with Site(kind='s3') as s:
        s.start()
        yield s
        assert s.stop() == 0


class Objects:
    """The objects of one copy, to hurt and to mend."""

    def __init__(self, s, name):
        self.s, self.client = s, s.store.boto()
        self.names = s.objects_of(s.key(name))
        self.kept = {n: self.get(n) for n in self.names}

    def get(self, name):
        r = self.client.get_object(Bucket=name[0], Key=name[1])
        return r['Body'].read(), r['Metadata'], r['ContentType']

    def put(self, name, what):
        self.client.put_object(Bucket=name[0], Key=name[1], Body=what[0], Metadata=what[1], ContentType=what[2])

    def mend(self):
        for name, what in self.kept.items():
            self.put(name, what)


def refused(s, name, where):
    """Reading fails for the reader, and the log names bucket and key of what is wrong."""
    try:
        s.lustre.read(name)
    except OSError as e:
        assert e.errno == errno.ENODATA, e
    else:
        raise AssertionError(f'{name} was read in spite of {where}')
    assert s.lustre.state(name) == 0xd, hex(s.lustre.state(name))
    bucket, key = where
    assert s.logged(bucket) and s.logged(key), where


def archived(s, name, size=SIZE):
    data = os.urandom(size // 2) + b'z' * (size - size // 2)
    s.lustre.write_file(name, data)
    s.archive(name)
    s.release(name)
    return data, Objects(s, name)


def each(s, name, size, hurt):
    data, objects = archived(s, name, size)
    for o in objects.names:
        hurt(objects, o)
        refused(s, name, o)
        objects.mend()
    assert s.lustre.read(name) == data


def turn(objects, o):
    body, meta, kind = objects.kept[o]
    b = bytearray(body)
    b[len(b) // 2] ^= 1
    objects.put(o, (bytes(b), meta, kind))


def cut(objects, o):
    body, meta, kind = objects.kept[o]
    objects.put(o, (body[:-1], meta, kind))


def lose(objects, o):
    objects.client.delete_object(Bucket=o[0], Key=o[1])


def test_one_bit_of_any_object_is_found(s):
    each(s, 'bit', SIZE, turn)


def test_a_cut_object_is_found(s):
    each(s, 'cut', SIZE, cut)


def test_a_lost_object_is_found(s):
    each(s, 'lost', SIZE, lose)


def test_a_small_file_is_guarded_as_well(s):
    for hurt in (turn, cut, lose):
        each(s, f'small {hurt.__name__}', 1000, hurt)


def test_chunks_of_another_place_or_file_are_found(s):
    data, objects = archived(s, 'swap')
    _, others = archived(s, 'other')
    chunks = sorted((o for o in objects.names if o[1].rsplit('/', 1)[1].isdigit()), key=lambda o: o[1])
    objects.put(chunks[0], objects.kept[chunks[1]])
    objects.put(chunks[1], objects.kept[chunks[0]])
    refused(s, 'swap', chunks[0])
    objects.mend()
    theirs = sorted((o for o in others.names if o[1].rsplit('/', 1)[1].isdigit()), key=lambda o: o[1])
    objects.put(chunks[0], others.kept[theirs[0]])  # random bytes; the last chunks of both are the same
    refused(s, 'swap', chunks[0])
    objects.mend()
    assert s.lustre.read('swap') == data


def test_the_manifest_of_another_file_is_found(s):
    data, objects = archived(s, 'm1')
    _, others = archived(s, 'm2')

    def manifest(o):
        return next(n for n in o.names if not n[1].rsplit('/', 1)[1].isdigit())
    objects.put(manifest(objects), others.kept[manifest(others)])
    refused(s, 'm1', manifest(objects))
    objects.mend()
    assert s.lustre.read('m1') == data


if __name__ == '__main__':
    tap.main(globals(), setup=site)
