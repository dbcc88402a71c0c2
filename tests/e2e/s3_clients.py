# SPDX-License-Identifier: Apache-2.0
"""The S3 operations with the command-line clients of Debian: aws (s3 and s3api) and s3cmd."""
import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site

LARGE = os.urandom(21 * 1024 * 1024 + 7)


@contextlib.contextmanager
def make():
    with Site(fs=os.environ.get('FIRN_TEST_FS', 'ext4'), fs_size='1G') as site:
        site.start()
        site.acc = site.account('user1')
        site.work = os.path.join(site.dir, 'work')
        os.makedirs(os.path.join(site.work, 'tree', 'sub dir'))
        for name, data in (('large', LARGE), ('small', b'small'), ('tree/a', b'a'), ('tree/sub dir/ü+', b'u'),
                           ('tree/empty', b'')):
            with open(os.path.join(site.work, name), 'wb') as f:
                f.write(data)
        yield site


def aws(site, *args, **kw):
    return site.aws(site.acc, 's3', *args, cwd=site.work, **kw).stdout


def api(site, *args, **kw):
    return site.s3(site.acc, *args, cwd=site.work, **kw)


def read(site, name):
    with open(os.path.join(site.work, name), 'rb') as f:
        return f.read()


def test_aws_makes_fills_lists_and_empties_a_bucket(site):
    aws(site, 'mb', 's3://aws1')
    assert 'aws1' in aws(site, 'ls')
    aws(site, 'cp', 'large', 's3://aws1/dir/large')
    assert open(site.path('aws1', 'dir/large'), 'rb').read() == LARGE
    aws(site, 'cp', 's3://aws1/dir/large', 'large.back')
    assert read(site, 'large.back') == LARGE
    assert api(site, 'head-object', '--bucket', 'aws1', '--key', 'dir/large')['ETag'].startswith('"mtime-')
    aws(site, 'cp', 's3://aws1/dir/large', 's3://aws1/copy')
    aws(site, 'mv', 's3://aws1/copy', 's3://aws1/moved')
    listing = aws(site, 'ls', '--recursive', 's3://aws1').split()
    assert 'dir/large' in listing and 'moved' in listing and 'copy' not in listing
    assert 'PRE dir/' in aws(site, 'ls', 's3://aws1')
    aws(site, 'rb', '--force', 's3://aws1')
    assert not os.path.exists(site.path('aws1'))


def test_aws_sync_is_quiet_the_second_time(site):
    aws(site, 'mb', 's3://aws2')
    assert 'upload' in aws(site, 'sync', 'tree', 's3://aws2/t')
    assert aws(site, 'sync', 'tree', 's3://aws2/t') == ''
    assert open(site.path('aws2', 't/sub dir/ü+'), 'rb').read() == b'u'
    aws(site, 'sync', 's3://aws2/t', 'back')
    assert read(site, 'back/sub dir/ü+') == b'u' and read(site, 'back/empty') == b''


def test_aws_puts_tags_and_shows_metadata_as_the_document_does(site):
    api(site, 'create-bucket', '--bucket', 'test1')
    api(site, 'put-object', '--bucket', 'test1', '--metadata', 'action=migrate', '--body', 'small', '--key', 'file0')
    head = api(site, 'head-object', '--bucket', 'test1', '--key', 'file0')
    assert head['Metadata'] == {'action': 'migrate', 'storage_class': 'STANDARD'} and head['AcceptRanges'] == 'bytes'
    assert head['ContentType'] == 'application/octet-stream' and head['ContentLength'] == 5
    api(site, 'put-object-tagging', '--bucket', 'test1', '--key', 'file0', '--tagging',
        'TagSet=[{Key=action,Value=migrate},{Key=project,Value=noobaaS3}]')
    tags = api(site, 'get-object-tagging', '--bucket', 'test1', '--key', 'file0')
    assert tags == {'TagSet': [{'Key': 'action', 'Value': 'migrate'}, {'Key': 'project', 'Value': 'noobaaS3'}]}
    assert os.getxattr(site.path('test1', 'file0'), 'user.noobaa.tag.project') == b'noobaaS3'


def test_aws_pages_through_versions_uploads_and_parts(site):
    api(site, 'create-bucket', '--bucket', 'aws3')
    for key in 'abc':
        api(site, 'put-object', '--bucket', 'aws3', '--key', key)
    keys = api(site, 'list-objects-v2', '--bucket', 'aws3', '--page-size', '1')['Contents']
    assert [k['Key'] for k in keys] == ['a', 'b', 'c']
    versions = api(site, 'list-object-versions', '--bucket', 'aws3', '--page-size', '2')['Versions']
    assert [(v['Key'], v['VersionId']) for v in versions] == [('a', 'null'), ('b', 'null'), ('c', 'null')]
    ids = [api(site, 'create-multipart-upload', '--bucket', 'aws3', '--key', k)['UploadId'] for k in ('m/1', 'm/1', 'n')]
    ups = api(site, 'list-multipart-uploads', '--bucket', 'aws3', '--page-size', '1')['Uploads']
    assert [u['Key'] for u in ups] == ['m/1', 'm/1', 'n'] and {u['UploadId'] for u in ups} == set(ids)


def s3cmd(site, *args, **kw):
    config = os.path.join(site.work, 's3cfg')
    if not os.path.exists(config):
        with open(config, 'w') as f:
            host = f'127.0.0.1:{site.port}'
            f.write(f'[default]\naccess_key = {site.acc["access_key"]}\nsecret_key = {site.acc["secret_key"]}\n'
                    f'host_base = {host}\nhost_bucket = {host}\nuse_https = False\nmultipart_chunk_size_mb = 5\n')
    return site.run(['/usr/bin/s3cmd', '-c', config, *args], cwd=site.work, **kw).stdout


def test_s3cmd_puts_gets_lists_and_deletes(site):
    s3cmd(site, 'mb', 's3://cmd1')
    s3cmd(site, 'put', 'small', 's3://cmd1/d/small')
    s3cmd(site, 'put', 'large', 's3://cmd1/large')
    assert open(site.path('cmd1', 'large'), 'rb').read() == LARGE
    s3cmd(site, 'get', 's3://cmd1/large', 'large.cmd')
    assert read(site, 'large.cmd') == LARGE
    assert 's3://cmd1/d/small' in s3cmd(site, 'ls', '-r', 's3://cmd1') and 'DIR' in s3cmd(site, 'ls', 's3://cmd1')
    assert 'File size: 5' in s3cmd(site, 'info', 's3://cmd1/d/small')
    assert 'Location' in s3cmd(site, 'info', 's3://cmd1')
    s3cmd(site, 'cp', 's3://cmd1/d/small', 's3://cmd1/copy')
    s3cmd(site, 'modify', '--add-header=x-amz-meta-a:b', 's3://cmd1/copy')
    assert os.getxattr(site.path('cmd1', 'copy'), 'user.a') == b'b'
    s3cmd(site, 'sync', 'tree/', 's3://cmd1/t/')
    assert open(site.path('cmd1', 't/sub dir/ü+'), 'rb').read() == b'u'
    s3cmd(site, 'del', '-r', '--force', 's3://cmd1')
    s3cmd(site, 'rb', 's3://cmd1')
    assert not os.path.exists(site.path('cmd1'))


if __name__ == '__main__':
    tap.main(globals(), setup=make)
