# SPDX-License-Identifier: Apache-2.0
"""Archives that lustre-s3-copytool wrote: restored, told from broken ones, and replaced by firn's own format. The objects
are made here, by a writer of its own in Python (LZ4 blocks, djb2, the seven pieces of metadata), from the published
format: no byte comes from firn."""
import contextlib
import errno
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import Site  # noqa: E402

BUCKETS = 3
CHUNK = 65536


@contextlib.contextmanager
def site():
    with Site(kind='s3', buckets=BUCKETS) as s:
        s.start()
        yield s
        assert s.stop() == 0


def lz4_block(data):
    """One LZ4 block; runs of one byte become matches, all else literals (LZ4 Block Format)."""
    def length(n, most):
        out = bytearray()
        n -= most
        while n >= 255:
            out.append(255)
            n -= 255
        out.append(n)
        return bytes(out)

    def sequence(literals, match):
        token = min(len(literals), 15) << 4 | (min(match - 4, 15) if match else 0)
        out = bytes([token]) + (length(len(literals), 15) if len(literals) >= 15 else b'') + literals
        if match:
            out += b'\x01\x00' + (length(match - 4, 15) if match - 4 >= 15 else b'')
        return out
    out, at, begin = b'', 0, 0
    end = len(data) - 12  # the last match begins 12 bytes before the end, and 5 literals end the block
    while at < end:
        run = 1
        while at + run < len(data) - 5 and data[at + run] == data[at]:
            run += 1
        if run > 8:
            out += sequence(data[begin:at + 1], run - 1)
            at += run
            begin = at
        else:
            at += run
    return out + sequence(data[begin:], 0)


def djb2(key):
    h = 5381
    for c in key.encode():
        h = (h * 33 + c) & (2 ** 64 - 1)
    return h


def bucket_of(s, key):
    return s.bucket_names()[djb2(key) % BUCKETS]


def old_key(fid):
    seq, oid, ver = (int(x, 16) for x in fid.split(':'))
    return '%016x_%08x_%08x' % (seq, oid, ver)


def old_archive(s, name, data, chunk=CHUNK):
    """As the old copytool left it: objects, and the file released under archive id 1. Returns the objects."""
    s.lustre.write_file(name, data)
    fid = s.lustre.fid(name)
    meta = dict(totallength=str(len(data)), chunksize=str(chunk), stripesize='1048576', stripecount='1', uid='0', gid='0',
                path=f'{s.lustre.mount}/.lustre/fid/{fid}')
    objects, client = [], s.store.boto()
    for n in range(max(1, -(-len(data) // chunk))):
        key = f'{old_key(fid)}.{n}'
        body = lz4_block(data[n * chunk:(n + 1) * chunk]) if data else b'\0'
        client.put_object(Bucket=bucket_of(s, key), Key=key, Body=body, Metadata=meta, ContentType='application/x-lz4')
        objects.append((bucket_of(s, key), key))
    s.archive(name)
    s.forget(name)
    s.release(name)
    return objects


def there(s, objects):
    have = s.objects()
    return [o for o in objects if o in have]


def test_the_writer_of_this_test_makes_the_published_vectors(s):
    assert djb2('0000000200000401_00000001_00000000.0') == 0x23f5cf6eb46922a9
    assert djb2('00000002000013a1_0001fe2c_00000000.12') == 0x8388c98a5be99e0d


def test_archives_of_every_shape_are_restored(s):
    for i, data in enumerate((b'', b'x', b'hello world, ' * 5, os.urandom(CHUNK), b'a' * CHUNK + os.urandom(77),
                              os.urandom(CHUNK // 2) * 7)):
        name = f'old{i}'
        objects = old_archive(s, name, data)
        assert s.lustre.read(name) == data, name
        assert there(s, objects) == objects


def test_the_next_archive_is_of_the_new_format_and_the_old_objects_go(s):
    data = os.urandom(3 * CHUNK)
    objects = old_archive(s, 'again', data)
    assert s.lustre.read('again') == data
    s.lustre.write('again', b'new')
    s.archive('again')
    assert s.key('again')
    s.wait_for('the old objects to go', lambda: not there(s, objects))
    s.release('again')
    assert s.lustre.read('again') == b'new' + data[3:]


def test_an_old_archive_that_was_never_restored_here_goes_after_the_next_archive_too(s):
    data = os.urandom(CHUNK + 5)
    objects = old_archive(s, 'dirty', data)
    s.lustre.read('dirty')
    s.stop()
    s.lose_index()
    s.start()
    s.lustre.write('dirty', b'new')
    s.archive('dirty')
    s.wait_for('the old objects to go', lambda: not there(s, objects))


def test_a_remove_takes_all_old_objects(s):
    objects = old_archive(s, 'remove', os.urandom(2 * CHUNK + 1))
    s.lustre.read('remove')
    assert s.over(s.lustre.remove('remove'))[0]['status'] == 'SUCCEED'
    s.wait_for('the old objects to go', lambda: not there(s, objects))


def test_a_broken_old_archive_is_an_error(s):
    client = s.store.boto()
    for i, hurt in enumerate(('missing', 'mixed', 'no metadata')):
        name = f'broken{i}'
        data = os.urandom(3 * CHUNK)
        objects = old_archive(s, name, data)
        bucket, key = objects[1] if hurt != 'no metadata' else objects[0]
        r = client.get_object(Bucket=bucket, Key=key)
        body, meta = r['Body'].read(), r['Metadata']
        if hurt == 'missing':
            client.delete_object(Bucket=bucket, Key=key)
        elif hurt == 'mixed':
            client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={**meta, 'totallength': str(2 * CHUNK)})
        else:
            client.put_object(Bucket=bucket, Key=key, Body=body)
        try:
            s.lustre.read(name)
            raise AssertionError(f'{hurt}: read')
        except OSError as e:
            assert e.errno == errno.ENODATA, (hurt, e)
        client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=meta)
        assert s.lustre.read(name) == data, hurt


def test_a_plain_object_is_imported_and_stays_where_it_is(s):
    client, bucket = s.store.boto(), s.bucket_names()[0]
    data = os.urandom(100000)
    client.put_object(Bucket=bucket, Key='fsx/dir/file', Body=data,
                      Metadata={'file-owner': '1234', 'file-group': '4321', 'file-permissions': '0100640',
                                'file-mtime': '1500000000123456789ns'})
    client.put_object(Bucket=bucket, Key='fsx/dir/', Body=b'')
    s.stop()
    s.admin('--import', f's3://{bucket}/fsx', s.lustre.path('fsx'))
    s.start()
    st = os.stat(s.lustre.path('fsx/dir/file'))
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_mtime_ns) == (1234, 4321, 0o640, 1500000000123456789), st
    assert s.lustre.state('fsx/dir/file') == 0xd
    assert s.lustre.read('fsx/dir/file') == data
    s.lustre.write('fsx/dir/file', b'changed')
    s.archive('fsx/dir/file')
    s.release('fsx/dir/file')
    assert s.lustre.read('fsx/dir/file') == b'changed' + data[7:]
    assert client.get_object(Bucket=bucket, Key='fsx/dir/file')['Body'].read() == data


if __name__ == '__main__':
    tap.main(globals(), setup=site)
