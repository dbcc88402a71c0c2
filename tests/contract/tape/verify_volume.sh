#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A volume that firn wrote keeps the rules of LTFS 2.4 in the eyes of another reader, and that
# reader sees the rules broken when they are.
# usage: verify_volume.sh MAKE_VOLUME LTFS_VERIFY
set -eu
make_volume=$1
verify=$2
# In memory where that is possible: a flush of a disk that others write to takes long.
[ -w /dev/shm ] && TMPDIR=/dev/shm
 export TMPDIR="${TMPDIR:-/tmp}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
n=0

ok() {
    n=$((n + 1))
    echo "ok $n - $1"
}

not_ok() {
    n=$((n + 1))
    echo "not ok $n - $1"
    sed 's/^/# /' "$dir/err"
    failed=1
}

# is_broken NAME WORD: the copy in $dir/copy is refused with a reason that has WORD in it
is_broken() {
    if "$verify" "$dir/copy" >"$dir/out" 2>"$dir/err"; then
        not_ok "$1"
    elif grep -q "$2" "$dir/err"; then
        ok "$1"
    else
        not_ok "$1"
    fi
    rm -rf "$dir/copy"
}

failed=0
cart=$dir/TAPE01L8
"$make_volume" "$dir"
if "$verify" "$cart" --extract "$dir/files" >"$dir/out" 2>"$dir/err"; then
    ok "a volume of all kinds of files keeps every rule"
else
    not_ok "a volume of all kinds of files keeps every rule"
fi
if grep -q '"path": "/small/99"' "$dir/out" && ! grep -q '"/small/50"' "$dir/out" &&
    ! grep -q torn "$dir/out" && [ "$(stat -c %s "$dir/files/large/one")" = 300001 ] &&
    [ "$(tail -c +100001 "$dir/files/sparse/file" | head -c 6)" = middle ] &&
    [ -e "$dir/files/$(printf 'latin1 caf\351')" ]; then
    ok "it names and extracts the files that were written"
else
    not_ok "it names and extracts the files that were written"
fi

cp -a "$dir/TORN01L8" "$dir/copy"
is_broken "data behind the last index is seen" "does not end with an index"
cp -a "$cart" "$dir/copy"
printf X | dd of="$dir/copy/1_8_R" bs=1 seek=100 conv=notrunc 2>/dev/null
is_broken "a wrong byte of data is seen" "does not match"
cp -a "$cart" "$dir/copy"
rm "$dir/copy/1_9_R"
is_broken "a missing record is seen" "without gaps"
cp -a "$cart" "$dir/copy"
mv "$dir/copy/0_5_R" "$dir/copy/0_5_F"
is_broken "a missing index is seen" "."
cp -a "$cart" "$dir/copy"
sed -i 's/<blocksize>4096/<blocksize>8192/' "$dir/copy/1_2_R"
is_broken "labels that differ are seen" "differ in blocksize"
cp -a "$cart" "$dir/copy"
printf '\0\011\0\0\004\0\0\0\001' >"$dir/copy/attr_0_9"
is_broken "old coherency attributes are seen" "080C"
echo "1..$n"
exit $failed
