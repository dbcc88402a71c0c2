# SPDX-License-Identifier: Apache-2.0
"""A place for the copies of a site under test: a store of s3stores.py, or a plain directory.

    with Pool('firn') as pool, Site(extra=pool.conf(), pools=[pool.pool]) as site:
        site.start()
        site.firn('file', 'migrate', '-p', 'cloud@store1', path)

It is the store store1 and its pool cloud; the bucket is named copies."""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import agree  # noqa: E402
import s3stores  # noqa: E402

BUCKET = 'copies'


class Pool:
    name = 'store1'
    pool = ('cloud', 'store1')

    def __init__(self, kind='firn', **kw):
        self.kind, self.kw = kind, kw
        self.store = self.dir = None

    def __enter__(self):
        if self.kind == 'dir':
            self.dir = tempfile.mkdtemp(prefix='firn-store-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        else:
            self.store = s3stores.store(self.kind, **self.kw)
            try:
                self.store.make_bucket(BUCKET)
            except BaseException:
                self.store.stop()
                raise
        return self

    def __exit__(self, *_):
        if self.store is not None:
            self.store.stop()
        if self.dir is not None:
            shutil.rmtree(self.dir, ignore_errors=True)

    def reader(self):
        """What agree.check reads the copies with."""
        if self.dir is not None:
            return agree.DirStore(os.path.join(self.dir, BUCKET))
        return agree.S3Store(self.store.boto())

    def conf(self, endpoint=None, **settings):
        """Lines of firn.conf. Small chunks and few tries, so that tests meet the limits; settings go over these."""
        values = {'lanes': 8}
        if self.dir is not None:
            values['endpoint'] = f'file://{self.dir}'
        else:
            s = self.store
            values.update(endpoint=endpoint or s.endpoint, region=s.region, style=s.style, access_key=s.access_key,
                          secret_key=s.secret_key, chunk_size='1MiB', buffers=16, retries=2, retry_max_ms=500,
                          connect_timeout=2, stall_timeout=10)
        values.update(bucket_prefix=BUCKET, **settings)
        lines = ' '.join(f'{k} = {v};' if isinstance(v, int) else f'{k} = "{v}";' for k, v in values.items())
        return f'stores = ( {{ name = "{self.name}"; {lines} }} );\n'
