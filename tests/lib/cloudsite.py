# SPDX-License-Identifier: Apache-2.0
"""A firn site (firnsite.Site) with a second pool beside its tape pools: cloud@store1, on an S3 store.

    with store('radosgw') as real, real.faults() as proxy, CloudSite(real, proxy.endpoint) as site:
        site.start_firnd()
        site.firn('file', 'migrate', path, '-p', CLOUD)

Times of retries are short, so that a fault that stays is told soon; settings overrides keys of the store in firn.conf."""
import os
import re

from firnsite import Site

CLOUD = 'cloud@store1'


def store_keys(store, settings=None, endpoint=None):
    """The keys of firn.conf for a store of s3stores; settings go before."""
    keys = {'name': 'store1', 'endpoint': endpoint or store.endpoint, 'region': store.region, 'style': store.style,
            'bucket_prefix': 'firn-tier', 'bucket_count': 3, 'bucket_separator': '_' if store.underscores else '-',
            'access_key': store.access_key, 'secret_key': store.secret_key, 'create_buckets': True}
    return {**keys, **(settings or {})}


def keys_text(keys):
    """The section stores of firn.conf."""
    def value(v):
        return ('true' if v else 'false') if isinstance(v, bool) else str(v) if isinstance(v, int) else f'"{v}"'
    return 'stores = ( { ' + ' '.join(f'{k} = {value(v)};' for k, v in keys.items()) + ' } );\n'


def store_text(store, settings=None, endpoint=None):
    return keys_text(store_keys(store, settings, endpoint))


class CloudSite(Site):
    def __init__(self, store, endpoint=None, settings=None, **kw):
        self.s3store = store
        short = {'chunk_size': '64KiB', 'buffers': 16, 'retries': 4, 'retry_max_ms': 100, 'connect_timeout': 3, 'stall_timeout': 2}
        self.store_keys = store_keys(store, {**short, **(settings or {})}, endpoint)
        kw.setdefault('posix_readers', 'none')
        super().__init__(**kw)

    @property
    def buckets(self):
        k = self.store_keys
        n = k['bucket_count']
        return [k['bucket_prefix']] if n < 2 else [f"{k['bucket_prefix']}{k['bucket_separator']}{i}" for i in range(n)]

    def objects(self):
        """{(bucket, key): size} of all that lies in the store's buckets, asked past firn."""
        there = {b['Name'] for b in self.s3store.boto().list_buckets()['Buckets']}
        return {(b, k): n for b in self.buckets if b in there for k, n in self.s3store.list_objects(b).items()}

    def write_conf(self):
        super().write_conf()
        with open(self.conf, encoding='utf-8') as f:
            text = f.read()
        text = re.sub(r'^pools = \( (.*) \);$', r'pools = ( \1, { name = "cloud"; library = "store1"; } );', text, flags=re.M)
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(text + keys_text(self.store_keys))
        os.chmod(self.conf, 0o600)
