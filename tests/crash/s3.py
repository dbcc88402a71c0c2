# SPDX-License-Identifier: Apache-2.0
"""firn-s3 is killed at each crash point of PUT, tagging and multipart: afterwards every object is the old
one or the new one, whole, with its own metadata and tags, and the client can simply try again."""
import contextlib
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site

OLD, NEW = os.urandom(300_000), os.urandom(500_000)
PART = os.urandom(5 * 1024 * 1024)


@contextlib.contextmanager
def make():
    with Site(fs_size='1G') as site:
        site.start()
        site.acc = site.account('user1')
        site.firn('bucket', 'create', 'buck', '--owner', 'user1')
        site.client = site.boto(site.acc)
        yield site


def killed_at(site, point, action):
    """Runs action against a firn-s3 that dies at the point; returns after a plain restart."""
    if 'firn-s3' in site.procs:
        site.stop('firn-s3')
    site.start_s3({'FIRN_CRASH_POINT': point})
    try:
        action()
    except Exception as e:  # the connection breaks: that is the point
        print(f'# {point}: {type(e).__name__}')
    else:
        raise AssertionError(f'{point}: the request was answered, the point was never reached')
    assert site.wait_death('firn-s3') == -9, f'{point}: firn-s3 did not die there'
    site.start_s3()


def names(site):
    return [o['Key'] for o in site.client.list_objects_v2(Bucket='buck').get('Contents', [])]


def content(site, key):
    r = site.client.get_object(Bucket='buck', Key=key)
    body = r['Body'].read()
    return body, r['Metadata'].get('which')


def put_over(site, point, may_be_new, must_be_new):
    key = f'over-{point}'
    site.client.put_object(Bucket='buck', Key=key, Body=OLD, Metadata={'which': 'old'})
    killed_at(site, point, lambda: site.client.put_object(Bucket='buck', Key=key, Body=NEW, Metadata={'which': 'new'}))
    body, which = content(site, key)
    assert (body, which) in ((OLD, 'old'), (NEW, 'new')), f'{which} with {hashlib.sha256(body).hexdigest()}, {len(body)} bytes'
    assert which == 'old' or may_be_new, 'the new object is there before it was put in place'
    assert which == 'new' or not must_be_new, 'the new name is gone'
    site.client.put_object(Bucket='buck', Key=key, Body=NEW, Metadata={'which': 'new'})
    assert content(site, key) == (NEW, 'new')


def put_fresh(site, point):
    key = f'fresh-{point}'
    killed_at(site, point, lambda: site.client.put_object(Bucket='buck', Key=key, Body=NEW, Metadata={'which': 'new'}))
    if key in names(site):
        assert content(site, key) == (NEW, 'new')
    assert all(not n.startswith('.') for n in names(site)), names(site)


def test_put_killed_with_the_body_in_an_unnamed_file(site):
    put_over(site, 'put_written', False, False)
    put_fresh(site, 'put_written')


def test_put_killed_before_the_name(site):
    put_over(site, 'put_synced', False, False)
    put_fresh(site, 'put_synced')


def test_put_killed_before_the_reply(site):
    put_over(site, 'put_named', True, True)
    put_fresh(site, 'put_named')


def tags_of(site, key):
    return {t['Key']: t['Value'] for t in site.client.get_object_tagging(Bucket='buck', Key=key)['TagSet']}


def tag_set(tags):
    return {'TagSet': [{'Key': k, 'Value': v} for k, v in tags.items()]}


def mirrors(site, key):
    path, prefix = site.path('buck', key), 'user.noobaa.tag.'
    return {n[len(prefix):]: os.getxattr(path, n).decode() for n in os.listxattr(path) if n.startswith(prefix)}


def tag_killed(site, point):
    key, old, new = f'tag-{point}', {'action': 'migrate', 'project': 'a'}, {'action': 'recall'}
    site.client.put_object(Bucket='buck', Key=key, Body=OLD)
    site.client.put_object_tagging(Bucket='buck', Key=key, Tagging=tag_set(old))
    mtime = os.stat(site.path('buck', key)).st_mtime_ns
    killed_at(site, point, lambda: site.client.put_object_tagging(Bucket='buck', Key=key, Tagging=tag_set(new)))
    seen = tags_of(site, key)
    assert seen in (old, new), f'neither the old tags nor the new: {seen}'
    site.client.put_object_tagging(Bucket='buck', Key=key, Tagging=tag_set(new))
    assert tags_of(site, key) == new and mirrors(site, key) == new, (tags_of(site, key), mirrors(site, key))
    assert os.stat(site.path('buck', key)).st_mtime_ns == mtime, 'tagging changed the modification time'
    assert content(site, key)[0] == OLD


def test_tagging_killed_between_the_set_and_its_mirrors(site):
    tag_killed(site, 'tag_blob')


def test_tagging_killed_before_the_reply(site):
    tag_killed(site, 'tag_mirrors')


def multipart_killed(site, point):
    key = f'multi-{point}'
    upload = site.client.create_multipart_upload(Bucket='buck', Key=key, Metadata={'which': 'new'})['UploadId']
    parts = []
    for n, body in ((1, PART), (2, NEW)):
        etag = site.client.upload_part(Bucket='buck', Key=key, UploadId=upload, PartNumber=n, Body=body)['ETag']
        parts.append({'PartNumber': n, 'ETag': etag})

    def complete():
        site.client.complete_multipart_upload(Bucket='buck', Key=key, UploadId=upload, MultipartUpload={'Parts': parts})
    killed_at(site, point, complete)
    if key in names(site):
        assert content(site, key) == (PART + NEW, 'new')
    complete()  # a repeated Complete returns the same result
    assert content(site, key) == (PART + NEW, 'new')


def test_complete_killed_before_the_name(site):
    multipart_killed(site, 'multipart_assembled')


def test_complete_killed_before_the_parts_are_gone(site):
    multipart_killed(site, 'multipart_named')


def test_nothing_hidden_is_left_but_the_uploads_directory(site):
    left = []
    for d, _, files in os.walk(site.path('buck')):
        left += [os.path.join(d, f) for f in files if f != '.firn-sync' and (f.startswith('.') or '/.firn' in d)]
    assert not left, left


if __name__ == '__main__':
    tap.main(globals(), make)
