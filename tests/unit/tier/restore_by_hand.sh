#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A copy of kind s3 without firn, as doc/design/tier-s3.md says: ENDPOINT BUCKET KEY OUT
set -eu -o pipefail
endpoint=$1 bucket=$2 key=$3 out=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset AWS_CA_BUNDLE
s3() { /usr/bin/aws --endpoint-url "$endpoint" "$@"; }
plain() { case $1 in lz4) lz4 -dc ;; zstd) zstd -dc ;; *) cat ;; esac; }
if [ "${key##*/}" != manifest ]; then
    codec=$(s3 s3api head-object --bucket "$bucket" --key "$key" --query Metadata.firn --output text |
        tr ';' '\n' | sed -n 's/^codec=//p')
    s3 s3 cp --quiet "s3://$bucket/$key" - | plain "$codec" >"$out"
    exit
fi
s3 s3 cp --quiet "s3://$bucket/$key" "$work/m.json"
/usr/bin/python3 - "$work/m.json" >"$work/list" <<'END'
import json, sys, urllib.parse
m = json.load(open(sys.argv[1]))
print(m['size'])
for c in m['chunks']:
    print(c['bucket'], urllib.parse.unquote(c['key']), c['codec'], c['extents'])
END
{
    read -r size
    while read -r bucket key codec extents; do
        s3 s3 cp --quiet "s3://$bucket/$key" - | plain "$codec" >"$work/chunk"
        at=0
        for e in ${extents//,/ }; do
            dd if="$work/chunk" of="$out" iflag=skip_bytes,count_bytes oflag=seek_bytes conv=notrunc status=none \
                skip=$at seek="${e%+*}" count="${e#*+}"
            at=$((at + ${e#*+}))
        done
    done
} <"$work/list"
truncate -s "$size" "$out"
