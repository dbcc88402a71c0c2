# SPDX-License-Identifier: Apache-2.0
"""The S3 operations with boto3 on a whole site: what is stored as which file, listings, conditions, copies,
tags, multipart, refusals."""
import base64
import contextlib
import http.client
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site
from botocore.exceptions import ClientError

MIB = 1 << 20


@contextlib.contextmanager
def make():
    with Site(fs=os.environ.get('FIRN_TEST_FS', 'ext4'), fs_size='1G') as site:
        site.start()
        site.acc, site.other = site.account('user1'), site.account('user2', uid=12002)
        site.c, site.c2 = (site.boto(a, signature_version='s3v4') for a in (site.acc, site.other))
        yield site


def bucket(site, name):
    site.c.create_bucket(Bucket=name)
    return name


def refused(code, call, **kw):
    """The call fails with this S3 error code; returns the whole answer."""
    try:
        call(**kw)
    except ClientError as e:
        got = e.response['Error']['Code']
        status = e.response['ResponseMetadata']['HTTPStatusCode']
        assert got == code or str(status) == code, f'{got} ({status}) instead of {code}: {e}'
        return e.response
    raise AssertionError(f'not refused with {code}')


def put(site, b, key, body=b'x', **kw):
    return site.c.put_object(Bucket=b, Key=key, Body=body, **kw)


def get(site, b, key, **kw):
    return site.c.get_object(Bucket=b, Key=key, **kw)['Body'].read()


def hidden(site, b):
    """Files under the service's own names in the bucket."""
    found = []
    for root, _, files in os.walk(site.path(b)):
        found += [f for f in files if '/.firn' in os.path.join(root, f).replace(site.path(b), '') and f != '.firn-sync']
    return found


def test_an_object_is_a_plain_file_with_noobaas_names(site):
    b = bucket(site, 'plain')
    etag = put(site, b, 'd/file0', b'data', Metadata={'action': 'migrate'}, Tagging='k=v%20w')['ETag']
    path = site.path(b, 'd/file0')
    st = os.stat(path)
    assert open(path, 'rb').read() == b'data'
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o660, 12001, 12001)
    assert os.getxattr(path, 'user.action') == b'migrate'
    assert os.getxattr(path, 'user.noobaa.tag.k') == b'v w'
    assert os.getxattr(path, 'user.storage_class') == b'STANDARD'
    assert os.getxattr(path, 'user.noobaa.content_type') == b'application/octet-stream'
    digits, ns = '0123456789abcdefghijklmnopqrstuvwxyz', int(1e9 * (st.st_mtime_ns // 10**9) + st.st_mtime_ns % 10**9)
    def b36(n):
        return (b36(n // 36) if n >= 36 else '') + digits[n % 36]
    assert etag == f'"mtime-{b36(ns)}-ino-{b36(st.st_ino)}"', etag
    head = site.c.head_object(Bucket=b, Key='d/file0')
    assert head['Metadata'] == {'action': 'migrate', 'storage_class': 'STANDARD'}, head['Metadata']
    assert head['ETag'] == etag and head['ContentLength'] == 4


def test_stored_headers_come_back(site):
    b = bucket(site, 'headers')
    sent = dict(ContentType='text/x', ContentEncoding='gzip', ContentDisposition='attachment; filename="a"',
                ContentLanguage='de', CacheControl='no-store')
    put(site, b, 'k', **sent)
    head = site.c.head_object(Bucket=b, Key='k')
    assert {k: head[k] for k in sent} == sent
    r = site.c.get_object(Bucket=b, Key='k', ResponseContentType='a/b', ResponseCacheControl='x')
    assert (r['ContentType'], r['CacheControl'], r['ContentLanguage']) == ('a/b', 'x', 'de')


def test_ranges(site):
    b = bucket(site, 'ranges')
    data = bytes(range(200))
    put(site, b, 'k', data)
    put(site, b, 'empty', b'')
    for text, want in (('0-9', data[:10]), ('190-', data[190:]), ('-5', data[-5:]), ('-500', data), ('5-5', data[5:6]),
                       ('100-9999', data[100:]), ('0-18446744073709551616', data)):
        r = site.c.get_object(Bucket=b, Key='k', Range='bytes=' + text)
        assert r['Body'].read() == want and r['ResponseMetadata']['HTTPStatusCode'] == 206, text
    for text in ('5-3', '1-2,4-5', 'x', '--5'):
        r = site.c.get_object(Bucket=b, Key='k', Range='bytes=' + text)
        assert r['Body'].read() == data and r['ResponseMetadata']['HTTPStatusCode'] == 200, text
    refused('InvalidRange', site.c.get_object, Bucket=b, Key='k', Range='bytes=200-')
    refused('InvalidRange', site.c.get_object, Bucket=b, Key='k', Range='bytes=-0')
    refused('InvalidRange', site.c.get_object, Bucket=b, Key='empty', Range='bytes=0-1')
    assert get(site, b, 'empty') == b''


def test_conditional_reads(site):
    b = bucket(site, 'condread')
    r = put(site, b, 'k')
    when = site.c.head_object(Bucket=b, Key='k')['LastModified']
    assert get(site, b, 'k', IfMatch=r['ETag']) == b'x'
    refused('412', site.c.get_object, Bucket=b, Key='k', IfMatch='"no"')
    refused('304', site.c.get_object, Bucket=b, Key='k', IfNoneMatch=r['ETag'])
    refused('304', site.c.get_object, Bucket=b, Key='k', IfModifiedSince=when)
    assert get(site, b, 'k', IfMatch=r['ETag'], IfUnmodifiedSince='Sat, 01 Jan 2000 00:00:00 GMT') == b'x'
    refused('412', site.c.get_object, Bucket=b, Key='k', IfUnmodifiedSince='Sat, 01 Jan 2000 00:00:00 GMT')


def raw(site, op, params, headers=None, method=None, body=b''):
    """A presigned request with further (unsigned, not x-amz) headers."""
    url = site.c.generate_presigned_url(op, Params=params)
    c = http.client.HTTPConnection('127.0.0.1', site.port, timeout=60)
    c.request(method or 'PUT', '/' + url.split('/', 3)[3], body=body, headers=headers or {})
    r = c.getresponse()
    return r.status, r.read().decode(), dict(r.getheaders())


def test_conditional_writes_and_the_one_winner_of_a_race(site):
    b = bucket(site, 'condwrite')
    etag = put(site, b, 'k')['ETag']
    key = {'Bucket': b, 'Key': 'k'}
    assert raw(site, 'put_object', key, {'If-None-Match': '*'}, body=b'y')[0] == 412
    assert raw(site, 'put_object', key, {'If-Match': '"no"'}, body=b'y')[0] == 412
    assert raw(site, 'put_object', {'Bucket': b, 'Key': 'none'}, {'If-Match': '*'}, body=b'y')[0] == 404
    assert get(site, b, 'k') == b'x'
    assert raw(site, 'put_object', key, {'If-Match': etag}, body=b'z')[0] == 200
    assert get(site, b, 'k') == b'z'
    for go in range(10):
        params, got = {'Bucket': b, 'Key': f'race{go}/k'}, []
        def writer(n):
            got.append((raw(site, 'put_object', params, {'If-None-Match': '*'}, body=str(n).encode() * 1000)[0], n))
        threads = [threading.Thread(target=writer, args=(n,)) for n in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        winners = [n for status, n in got if status == 200]
        assert len(winners) == 1 and all(s == 412 for s, n in got if n not in winners), got
        assert get(site, b, f'race{go}/k') == str(winners[0]).encode() * 1000
    assert hidden(site, b) == []


def test_keys_that_a_path_cannot_hold_are_refused_and_odd_ones_kept(site):
    b = bucket(site, 'keys')
    for key in ('a/../b', '..', '.', 'a//b', 'a/./b', '.firn-x', 'a/.versions/b', '.noobaa-nsfs_1/x', 'a/.folder'):
        refused('InvalidArgument', site.c.put_object, Bucket=b, Key=key, Body=b'')
        refused('InvalidArgument', site.c.get_object, Bucket=b, Key=key)
        refused('InvalidArgument', site.c.delete_object, Bucket=b, Key=key)
    refused('KeyTooLongError', site.c.put_object, Bucket=b, Key='k' * 256, Body=b'')
    refused('KeyTooLongError', site.c.put_object, Bucket=b, Key='/'.join(['k' * 200] * 6), Body=b'')
    good = ['a.b/c', '..a', 'a./b', 'with space', 'plus+', 'per%cent', 'n\nl', 'ü', 'a\\b', '&<>"\'', 'k' * 255,
            '/'.join(['k' * 204] * 5)]
    for key in good:
        put(site, b, key, key.encode())
    for key in good:
        assert get(site, b, key) == key.encode()
    assert [o['Key'] for o in site.c.list_objects_v2(Bucket=b)['Contents']] == sorted(good, key=str.encode)
    assert sorted(os.listdir(site.mount)) == sorted(set(os.listdir(site.mount)) & {'buckets', 'lost+found'})


def test_a_file_and_a_directory_cannot_share_a_name(site):
    b = bucket(site, 'conflict')
    put(site, b, 'a')
    refused('ObjectParentIsFile', site.c.put_object, Bucket=b, Key='a/b', Body=b'')
    put(site, b, 'p/q')
    refused('ExistingObjectIsDirectory', site.c.put_object, Bucket=b, Key='p', Body=b'')
    refused('NoSuchKey', site.c.get_object, Bucket=b, Key='p')
    refused('NoSuchKey', site.c.get_object, Bucket=b, Key='a/b')
    site.c.delete_object(Bucket=b, Key='p')
    assert get(site, b, 'p/q') == b'x'
    site.c.delete_object(Bucket=b, Key='p/q')
    assert not os.path.exists(site.path(b, 'p')), 'the empty parent is left'
    put(site, b, 'p')


def test_directory_objects(site):
    b = bucket(site, 'dirs')
    put(site, b, 'd/', b'', Metadata={'m': '1'})
    put(site, b, 'd/x')
    put(site, b, 'body/', b'body')
    assert [o['Key'] for o in site.c.list_objects_v2(Bucket=b)['Contents']] == ['body/', 'd/', 'd/x']
    assert get(site, b, 'd/') == b'' and get(site, b, 'body/') == b'body'
    head = site.c.head_object(Bucket=b, Key='d/')
    assert head['ContentType'] == 'application/x-directory' and head['Metadata']['m'] == '1'
    assert open(site.path(b, 'body/.folder'), 'rb').read() == b'body'
    site.c.delete_object(Bucket=b, Key='d/x')
    assert os.path.isdir(site.path(b, 'd')), 'a directory object went with its last member'
    site.c.delete_object(Bucket=b, Key='d/')
    assert not os.path.exists(site.path(b, 'd'))
    refused('404', site.c.head_object, Bucket=b, Key='d/')
    site.c.delete_object(Bucket=b, Key='body/')
    assert 'Contents' not in site.c.list_objects_v2(Bucket=b)


def test_symlinks_lead_nowhere(site):
    b = bucket(site, 'links')
    put(site, b, 'real/k', b'data')
    os.symlink('/etc', site.path(b, 'etc'))
    os.symlink('/etc/passwd', site.path(b, 'passwd'))
    os.symlink('real', site.path(b, 'inside'))
    for key in ('etc/passwd', 'passwd', 'inside/k'):
        refused('NoSuchKey', site.c.get_object, Bucket=b, Key=key)
    for key in ('etc/firn-test', 'inside/new'):
        refused('ObjectParentIsFile', site.c.put_object, Bucket=b, Key=key, Body=b'')
    assert not os.path.exists('/etc/firn-test')
    assert [o['Key'] for o in site.c.list_objects_v2(Bucket=b)['Contents']] == ['real/k']


def pages(site, b, size, **kw):
    """All keys and common prefixes, page by page, and that each page is full."""
    seen, more = [], {}
    while True:
        r = site.c.list_objects_v2(Bucket=b, MaxKeys=size, **kw, **more)
        items = sorted([o['Key'] for o in r.get('Contents', [])] + [p['Prefix'] for p in r.get('CommonPrefixes', [])], key=str.encode)
        assert len(items) == r['KeyCount'] and (len(items) == size or not r['IsTruncated'])
        seen += items
        if not r['IsTruncated']:
            return seen
        more = {'ContinuationToken': r['NextContinuationToken']}


def test_listings_are_in_order_for_any_delimiter_and_page_size(site):
    b = bucket(site, 'listing')
    keys = [f'{a}{s}{c}' for a in ('a', 'b', 'c') for s in ('-', '/', '0', '/x/', '+') for c in ('1', '2', 'ä')]
    for key in keys:
        put(site, b, key, b'')
    keys.sort(key=str.encode)
    def model(prefix, delimiter):
        out = []
        for k in (k for k in keys if k.startswith(prefix)):
            at = k.find(delimiter, len(prefix)) if delimiter else -1
            item = k if at < 0 else k[:at + len(delimiter)]
            if not out or out[-1] != item:
                out.append(item)
        return out
    for prefix in ('', 'a', 'a/', 'a/x', 'b/x/', 'zz', 'c0'):
        for delimiter in ('', '/', 'x', '/x', '-', 'ä'):
            want = model(prefix, delimiter)
            for size in (1, 2, 7, 1000):
                assert pages(site, b, size, Prefix=prefix, Delimiter=delimiter) == want, (prefix, delimiter, size)
    r = site.c.list_objects(Bucket=b, Marker='b/', MaxKeys=3)
    assert [o['Key'] for o in r['Contents']] == [k for k in keys if k > 'b/'][:3] and r['IsTruncated']
    assert site.c.list_objects_v2(Bucket=b, MaxKeys=0)['KeyCount'] == 0
    refused('InvalidArgument', site.c.list_objects_v2, Bucket=b, ContinuationToken='junk')
    assert raw(site, 'list_objects_v2', {'Bucket': b, 'MaxKeys': -1}, method='GET')[0] == 400


def test_tags_are_replaced_as_a_whole_without_touching_the_file(site):
    b = bucket(site, 'tags')
    put(site, b, 'k', Tagging='a=1&b=2')
    path = site.path(b, 'k')
    before = os.stat(path)
    site.c.put_object_tagging(Bucket=b, Key='k', Tagging={'TagSet': [{'Key': 'action', 'Value': 'migrate'}]})
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == [{'Key': 'action', 'Value': 'migrate'}]
    assert [n for n in os.listxattr(path) if '.tag.' in n] == ['user.noobaa.tag.action']
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns and os.stat(path).st_ino == before.st_ino
    os.setxattr(path, 'user.noobaa.tag.action', b'recall')
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == [{'Key': 'action', 'Value': 'recall'}]
    big = [{'Key': '\U0001F600' * 127 + str(i), 'Value': '\U0001F601' * 256} for i in range(10)]
    site.c.put_object_tagging(Bucket=b, Key='k', Tagging={'TagSet': big})
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == big
    many = [{'Key': str(i), 'Value': ''} for i in range(11)]
    refused('InvalidTag', site.c.put_object_tagging, Bucket=b, Key='k', Tagging={'TagSet': many})
    refused('InvalidTag', site.c.put_object_tagging, Bucket=b, Key='k', Tagging={'TagSet': [{'Key': 'x' * 129, 'Value': ''}]})
    refused('InvalidTag', site.c.put_object_tagging, Bucket=b, Key='k',
            Tagging={'TagSet': [{'Key': 'x', 'Value': '1'}, {'Key': 'x', 'Value': '2'}]})
    refused('InvalidTag', site.c.put_object_tagging, Bucket=b, Key='k', Tagging={'TagSet': [{'Key': 'aws:x', 'Value': '1'}]})
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == big
    site.c.delete_object_tagging(Bucket=b, Key='k')
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == [] and hidden(site, b) == []
    os.setxattr(site.path(b, 'k'), 'user.noobaa.tag.posix', b'\xff\xef\xbf\xbe')
    odd = {t['Key']: t['Value'] for t in site.c.get_object_tagging(Bucket=b, Key='k')['TagSet']}
    assert odd.get('posix') == '????', odd
    refused('NoSuchKey', site.c.get_object_tagging, Bucket=b, Key='nokey')


def test_copies_keep_or_replace_metadata_and_tags(site):
    b, b2 = bucket(site, 'copy1'), bucket(site, 'copy2')
    data = os.urandom(3 * MIB + 5)
    put(site, b, 'src ü/k', data, Metadata={'m': '1'}, ContentType='text/x', Tagging='t=1')
    source = {'Bucket': b, 'Key': 'src ü/k'}
    site.c.copy_object(Bucket=b2, Key='dst', CopySource=source)
    head = site.c.head_object(Bucket=b2, Key='dst')
    assert get(site, b2, 'dst') == data and head['Metadata']['m'] == '1' and head['ContentType'] == 'text/x'
    assert site.c.get_object_tagging(Bucket=b2, Key='dst')['TagSet'] == [{'Key': 't', 'Value': '1'}]
    assert os.stat(site.path(b, 'src ü/k')).st_ino != os.stat(site.path(b2, 'dst')).st_ino
    site.c.copy_object(Bucket=b2, Key='dst', CopySource=source, MetadataDirective='REPLACE', Metadata={'n': '2'},
                       TaggingDirective='REPLACE', Tagging='u=2')
    assert 'm' not in site.c.head_object(Bucket=b2, Key='dst')['Metadata']
    assert site.c.get_object_tagging(Bucket=b2, Key='dst')['TagSet'] == [{'Key': 'u', 'Value': '2'}]
    refused('InvalidRequest', site.c.copy_object, Bucket=b, Key='src ü/k', CopySource=source)
    site.c.copy_object(Bucket=b, Key='src ü/k', CopySource=source, MetadataDirective='REPLACE', Metadata={'self': '1'})
    assert get(site, b, 'src ü/k') == data and site.c.head_object(Bucket=b, Key='src ü/k')['Metadata']['self'] == '1'
    refused('NoSuchKey', site.c.copy_object, Bucket=b, Key='x', CopySource={'Bucket': b, 'Key': 'none'})
    refused('PreconditionFailed', site.c.copy_object, Bucket=b, Key='x', CopySource=source, CopySourceIfMatch='"no"')
    refused('InvalidArgument', site.c.copy_object, Bucket=b, Key='x', CopySource=f'{b}/../{b2}/dst')
    site.c2.create_bucket(Bucket='other1')
    refused('AccessDenied', site.c2.copy_object, Bucket='other1', Key='x', CopySource=source)


def parts_of(site, b, key, bodies, **kw):
    u = site.c.create_multipart_upload(Bucket=b, Key=key, **kw)['UploadId']
    parts = []
    for n in reversed(range(len(bodies))):
        r = site.c.upload_part(Bucket=b, Key=key, UploadId=u, PartNumber=n + 1, Body=bodies[n])
        parts.insert(0, {'PartNumber': n + 1, 'ETag': r['ETag']})
    return u, parts


def test_multipart_uploads(site):
    b = bucket(site, 'multi')
    bodies = [os.urandom(5 * MIB + 1), os.urandom(5 * MIB), b'end']
    u, parts = parts_of(site, b, 'd/k', bodies, Metadata={'m': '1'}, Tagging='t=1', ContentType='a/b')
    assert 'Contents' not in site.c.list_objects_v2(Bucket=b), 'a part is listed'
    assert [x['UploadId'] for x in site.c.list_multipart_uploads(Bucket=b)['Uploads']] == [u]
    r = site.c.list_parts(Bucket=b, Key='d/k', UploadId=u, MaxParts=2)
    assert [p['PartNumber'] for p in r['Parts']] == [1, 2] and r['IsTruncated'] and r['NextPartNumberMarker'] == 2
    r = site.c.list_parts(Bucket=b, Key='d/k', UploadId=u, PartNumberMarker=2)
    assert [(p['PartNumber'], p['Size']) for p in r['Parts']] == [(3, 3)] and not r['IsTruncated']
    done = dict(Bucket=b, Key='d/k', UploadId=u)
    refused('InvalidPartOrder', site.c.complete_multipart_upload, **done, MultipartUpload={'Parts': parts[::-1]})
    refused('InvalidPart', site.c.complete_multipart_upload, **done,
            MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': '"no"'}]})
    refused('InvalidPart', site.c.complete_multipart_upload, **done,
            MultipartUpload={'Parts': parts + [{'PartNumber': 9, 'ETag': '"no"'}]})
    etag = site.c.complete_multipart_upload(**done, MultipartUpload={'Parts': parts})['ETag']
    assert etag.startswith('"mtime-') and '-ino-' in etag
    assert site.c.complete_multipart_upload(**done, MultipartUpload={'Parts': parts})['ETag'] == etag, 'asked again'
    r = site.c.get_object(Bucket=b, Key='d/k')
    assert r['Body'].read() == b''.join(bodies) and r['ETag'] == etag and r['ContentType'] == 'a/b'
    assert r['Metadata']['m'] == '1' and r['TagCount'] == 1
    r = site.c.get_object(Bucket=b, Key='d/k', PartNumber=2)
    assert r['Body'].read() == bodies[1] and r['PartsCount'] == 3 and r['ResponseMetadata']['HTTPStatusCode'] == 206
    assert hidden(site, b) == [], 'parts are left'
    refused('NoSuchUpload', site.c.list_parts, Bucket=b, Key='d/k', UploadId=u)


def test_multipart_refusals_and_abort(site):
    b = bucket(site, 'multiabort')
    u, parts = parts_of(site, b, 'k', [b'small', b'end'])
    refused('EntityTooSmall', site.c.complete_multipart_upload, Bucket=b, Key='k', UploadId=u, MultipartUpload={'Parts': parts})
    refused('NoSuchUpload', site.c.upload_part, Bucket=b, Key='other', UploadId=u, PartNumber=1, Body=b'')
    for bad in ('../../../etc', 'x', u.upper() if u.upper() != u else 'X', '0' * 32):
        refused('NoSuchUpload', site.c.upload_part, Bucket=b, Key='k', UploadId=bad, PartNumber=1, Body=b'')
    refused('InvalidArgument', site.c.upload_part, Bucket=b, Key='k', UploadId=u, PartNumber=10001, Body=b'')
    site.c.abort_multipart_upload(Bucket=b, Key='k', UploadId=u)
    refused('NoSuchUpload', site.c.abort_multipart_upload, Bucket=b, Key='k', UploadId=u)
    assert hidden(site, b) == []
    refused('404', site.c.head_object, Bucket=b, Key='k')


def test_parts_can_be_copied(site):
    b = bucket(site, 'partcopy')
    data = os.urandom(6 * MIB)
    put(site, b, 'src', data)
    u = site.c.create_multipart_upload(Bucket=b, Key='k')['UploadId']
    part = dict(Bucket=b, Key='k', UploadId=u, CopySource={'Bucket': b, 'Key': 'src'})
    e1 = site.c.upload_part_copy(PartNumber=1, CopySourceRange=f'bytes=1-{5 * MIB}', **part)['CopyPartResult']['ETag']
    e2 = site.c.upload_part_copy(PartNumber=2, **part)['CopyPartResult']['ETag']
    refused('InvalidArgument', site.c.upload_part_copy, PartNumber=3, CopySourceRange='bytes=5-', **part)
    refused('InvalidRange', site.c.upload_part_copy, PartNumber=3, CopySourceRange=f'bytes=0-{6 * MIB}', **part)
    site.c.complete_multipart_upload(Bucket=b, Key='k', UploadId=u, MultipartUpload={
        'Parts': [{'PartNumber': 1, 'ETag': e1}, {'PartNumber': 2, 'ETag': e2}]})
    assert get(site, b, 'k') == data[1:5 * MIB + 1] + data


def test_checksums_are_kept_and_shown(site):
    b = bucket(site, 'sums')
    put(site, b, 'none', b'123456789')
    r = site.c.get_object(Bucket=b, Key='none', ChecksumMode='ENABLED')
    assert r['ResponseMetadata']['HTTPHeaders']['x-amz-checksum-crc64nvme'] == 'rosUhgp5mIg='
    sent = {'CRC32': 'y/Q5Jg==', 'CRC32C': '4waSgw==', 'SHA1': '98O8HYCOBHMq32eZZczDTKeuNEE=',
            'SHA256': 'FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU='}
    for alg, value in sent.items():
        if alg != 'CRC32C':  # Debian's botocore cannot compute it without the awscrt package
            put(site, b, alg, b'123456789', ChecksumAlgorithm=alg)
        else:
            put(site, b, alg, b'123456789', **{'Checksum' + alg: value})
        headers = site.c.head_object(Bucket=b, Key=alg, ChecksumMode='ENABLED')['ResponseMetadata']['HTTPHeaders']
        assert headers['x-amz-checksum-' + alg.lower()] == value
        r = site.c.get_object(Bucket=b, Key=alg, ChecksumMode='ENABLED', Range='bytes=0-1')
        assert 'x-amz-checksum-' + alg.lower() not in r['ResponseMetadata']['HTTPHeaders']
    refused('BadDigest', site.c.put_object, Bucket=b, Key='bad', Body=b'x', ChecksumCRC32='y/Q5Jg==')
    refused('404', site.c.head_object, Bucket=b, Key='bad')
    u = site.c.create_multipart_upload(Bucket=b, Key='m', ChecksumAlgorithm='SHA256')['UploadId']
    part = dict(Bucket=b, Key='m', UploadId=u, PartNumber=1, Body=b'123456789')
    r = site.c.upload_part(ChecksumAlgorithm='SHA256', **part)
    assert r['ChecksumSHA256'] == sent['SHA256']
    r = site.c.complete_multipart_upload(Bucket=b, Key='m', UploadId=u, MultipartUpload={
        'Parts': [{'PartNumber': 1, 'ETag': r['ETag'], 'ChecksumSHA256': r['ChecksumSHA256']}]})
    assert r['ChecksumSHA256'].endswith('-1')
    with open(site.path(b, 'none'), 'ab') as f:
        f.write(b'!')
    headers = site.c.head_object(Bucket=b, Key='none', ChecksumMode='ENABLED')['ResponseMetadata']['HTTPHeaders']
    assert 'x-amz-checksum-crc64nvme' not in headers, 'a checksum of data that a POSIX tool has changed'


def test_deleting_many(site):
    b = bucket(site, 'delmany')
    for i in range(5):
        put(site, b, f'k{i}')
    r = site.c.delete_objects(Bucket=b, Delete={'Objects': [{'Key': k} for k in ('k0', 'k1', 'none', 'a/../b')]})
    assert [d['Key'] for d in r['Deleted']] == ['k0', 'k1', 'none'] and [e['Key'] for e in r['Errors']] == ['a/../b']
    r = site.c.delete_objects(Bucket=b, Delete={'Objects': [{'Key': 'k2'}], 'Quiet': True})
    assert 'Deleted' not in r
    assert [o['Key'] for o in site.c.list_objects_v2(Bucket=b)['Contents']] == ['k3', 'k4']
    refused('MalformedXML', site.c.delete_objects, Bucket=b, Delete={'Objects': [{'Key': str(i)} for i in range(1001)]})


def test_accounts_see_only_their_own_buckets(site):
    b = bucket(site, 'mine')
    put(site, b, 'k')
    for call, kw in ((site.c2.list_objects_v2, {}), (site.c2.get_object, {'Key': 'k'}), (site.c2.delete_object, {'Key': 'k'}),
                     (site.c2.put_object, {'Key': 'k', 'Body': b''}), (site.c2.delete_bucket, {}),
                     (site.c2.get_bucket_location, {}), (site.c2.create_multipart_upload, {'Key': 'k'})):
        refused('AccessDenied', call, Bucket=b, **kw)
    assert b not in [x['Name'] for x in site.c2.list_buckets()['Buckets']]
    assert b in [x['Name'] for x in site.c.list_buckets()['Buckets']]
    refused('BucketAlreadyOwnedByYou', site.c.create_bucket, Bucket=b)
    refused('BucketAlreadyExists', site.c2.create_bucket, Bucket=b)
    refused('NoSuchBucket', site.c.list_objects_v2, Bucket='nothing-here')
    refused('InvalidBucketName', site.c.create_bucket, Bucket='a..b')
    refused('AccessDenied', site.c.get_object, Bucket=b, Key='k', ExpectedBucketOwner='user2')
    assert get(site, b, 'k') == b'x'


def test_what_is_not_there_is_refused_and_never_mistaken(site):
    b = bucket(site, 'absent')
    put(site, b, 'k', b'kept')
    key = {'Bucket': b, 'Key': 'k'}
    refused('NotImplemented', site.c.put_object_legal_hold, **key, LegalHold={'Status': 'ON'})
    refused('NotImplemented', site.c.put_bucket_versioning, Bucket=b, VersioningConfiguration={'Status': 'Enabled'})
    refused('NotImplemented', site.c.put_object, **key, Body=b'', ServerSideEncryption='aws:kms')
    refused('NotImplemented', site.c.put_object, **key, Body=b'', SSECustomerKey=base64.b64encode(b'k' * 32).decode(),
            SSECustomerAlgorithm='AES256')
    refused('AccessControlListNotSupported', site.c.put_object, **key, Body=b'', ACL='public-read')
    put(site, b, 'private', ACL='private')
    refused('InvalidStorageClass', site.c.put_object, **key, Body=b'', StorageClass='STANDARD_IA')
    assert 'Status' not in site.c.get_bucket_versioning(Bucket=b)
    assert get(site, b, 'k') == b'kept'
    put(site, b, 'cold', StorageClass='GLACIER')
    assert site.c.head_object(Bucket=b, Key='cold')['StorageClass'] == 'GLACIER'
    assert os.getxattr(site.path(b, 'cold'), 'user.storage_class') == b'GLACIER'


def test_metadata_is_bounded_and_cannot_become_state(site):
    b = bucket(site, 'metadata')
    refused('MetadataTooLarge', site.c.put_object, Bucket=b, Key='k', Body=b'', Metadata={'a': 'v' * 2048})
    put(site, b, 'k', Metadata={'a': 'v' * 2047, })
    assert site.c.head_object(Bucket=b, Key='k')['Metadata']['a'] == 'v' * 2047
    put(site, b, 'k', Metadata={'noobaa.tag.action': 'migrate', 'firn.s.meta': '{}', 'content_md5': 'x'})
    assert site.c.get_object_tagging(Bucket=b, Key='k')['TagSet'] == []
    meta = site.c.head_object(Bucket=b, Key='k')
    assert meta['ETag'].startswith('"mtime-') and meta['Metadata']['noobaa.tag.action'] == 'migrate'


def test_a_bucket_goes_when_it_is_empty(site):
    b = bucket(site, 'going')
    put(site, b, 'a/b/c', Tagging='x=1')
    put(site, b, 'a/b/c', Tagging='x=2')
    refused('BucketNotEmpty', site.c.delete_bucket, Bucket=b)
    site.c.delete_object(Bucket=b, Key='a/b/c')
    site.c.create_multipart_upload(Bucket=b, Key='left')
    site.c.delete_bucket(Bucket=b)
    assert not os.path.exists(site.path(b))
    refused('NoSuchBucket', site.c.list_objects_v2, Bucket=b)


def test_a_full_disk_leaves_nothing(site):
    b = bucket(site, 'full')
    put(site, b, 'k', b'old')
    hog = site.path('hog')
    with open(hog, 'wb') as f:
        size = 0
        try:
            while True:
                os.posix_fallocate(f.fileno(), size, 16 * MIB)
                size += 16 * MIB
        except OSError:
            os.ftruncate(f.fileno(), size - 16 * MIB)
    try:
        for key in ('k', 'new'):
            r = refused('InsufficientStorage', site.c.put_object, Bucket=b, Key=key, Body=b'y' * (64 * MIB))
            assert r['ResponseMetadata']['HTTPStatusCode'] == 507
    finally:
        os.unlink(hog)
    assert get(site, b, 'k') == b'old' and hidden(site, b) == []
    assert [o['Key'] for o in site.c.list_objects_v2(Bucket=b)['Contents']] == ['k']


if __name__ == '__main__':
    tap.main(globals(), setup=make)
