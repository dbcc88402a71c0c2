#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The session that firn is made for: S3 users send files to tape and call them back by tagging objects.
# Plays every command with a word of commentary and its output. Needs a running site that ./quickstart
# (or a test) set up, described by the environment:
#   FS        path of the managed file system           NAME      its name, for the policy commands
#   KEY, SECRET, ENDPOINT   account user1 of the gateway POLICIES  directory with the two policy files
#   WORK      a directory for files of the S3 user
# firn, eeadm, mmapplypolicy, mmlsattr and aws are found by PATH. Ends with status 1 at the first
# command that does not do what the commentary says.
set -u
export AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-east-1 AWS_PAGER=
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi

say() {
    printf '\n%s' "$dim"
    printf '%s\n' "$@" | fold -s -w 100
    printf '%s' "$plain"
}

# run COMMAND...: shows the command as one types it, and its output; a failure ends the session.
run() {
    printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
    eval "$*" || { status=$?; printf 'session: "%s" ended with status %s\n' "$*" "$status" >&2; exit 1; }
}

# refused COMMAND...: the same for a command that must fail.
refused() {
    printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
    if eval "$*"; then printf 'session: "%s" should have been refused\n' "$*" >&2; exit 1; fi
}

s3u1() {
    AWS_ACCESS_KEY_ID=$KEY AWS_SECRET_ACCESS_KEY=$SECRET aws --endpoint-url "$ENDPOINT" s3 "$@"
}

s3u1api() {
    AWS_ACCESS_KEY_ID=$KEY AWS_SECRET_ACCESS_KEY=$SECRET aws --endpoint-url "$ENDPOINT" s3api "$@"
}

# states WANT FILE...: each file must be in state WANT, as the engine sees it.
states() {
    want=$1
    shift
    for f in "$@"; do
        firn file state "$f" | grep -qx "State: $want" ||
            { printf 'session: %s is not %s\n' "$f" "$want" >&2; firn file state "$f" >&2; exit 1; }
    done
}

cd "$WORK" || exit 1
mkdir -p test1 test2
for i in 0 1 2 3 4 6 7 8 9 10; do
    head -c $((8688640 + i * 4096)) /dev/urandom >"file$i"
    ln -f "file$i" "test$((i / 5 > 0 ? 2 : 1))/file$i"
done

say "The S3 account user1 owns the buckets test1 and test2. They are directories of the file system $NAME," \
    "and their objects are plain files. The user puts some objects; all files are in state resident."
for b in test1 test2; do s3u1 cp --quiet --recursive "$b" "s3://$b" || exit 1; done
run tree "$FS/buckets/"

say "TAGGING OBJECTS. Metadata comes with put-object, here action=migrate for file0."
run s3u1api put-object --bucket test1 --metadata action=migrate --body file0 --key file0
run s3u1api head-object --bucket test1 --key file0
say "The administrator sees the metadata as an extended attribute of the file, user.action."
run mmlsattr -L -d "$FS/buckets/test1/file0"
say "Tags can be set at any time with put-object-tagging. It does not open or copy the object."
run s3u1api put-object-tagging --bucket test1 --key file1 --tagging "'TagSet=[{Key=action,Value=migrate}]'"
run s3u1api get-object-tagging --bucket test1 --key file1
run mmlsattr -L -d "$FS/buckets/test1/file1"

say "MIGRATING TAGGED OBJECTS. This policy migrates what has the metadata or the tag action=migrate:"
run cat "$POLICIES/mig-tagged.policy"
run mmapplypolicy "$NAME" -P "$POLICIES/mig-tagged.policy"
run eeadm file state "$FS/buckets/test1/*"
states migrated "$FS/buckets/test1/file0" "$FS/buckets/test1/file1"
states resident "$FS/buckets/test1/file2" "$FS/buckets/test1/file3"

say "RECALLING TAGGED OBJECTS. The user asks for both files with the tag action=recall."
run s3u1api put-object-tagging --bucket test1 --key file0 --tagging "'TagSet=[{Key=action,Value=recall}]'"
run s3u1api put-object-tagging --bucket test1 --key file1 --tagging "'TagSet=[{Key=action,Value=recall}]'"
run s3u1api get-object-tagging --bucket test1 --key file0
run cat "$POLICIES/rec-tagged.policy"
run mmapplypolicy "$NAME" -P "$POLICIES/rec-tagged.policy"
run eeadm file state "$FS/buckets/test1/*"
states premigrated "$FS/buckets/test1/file0" "$FS/buckets/test1/file1"
say "They are premigrated: on disk and on tape. Running the policy again recalls nothing."
run "mmapplypolicy $NAME -P $POLICIES/rec-tagged.policy | tail -n 2"

say "AUTOMATION. firnd runs policies by the clock: the recall every hour, the migration every four hours." \
    "(Lines of cron that call mmapplypolicy work as well.)"
run "firn schedule add recall --when '0 * * * *' -P $POLICIES/rec-tagged.policy $NAME"
run "firn schedule add migrate --when '30 0,4,8,16,20 * * *' -P $POLICIES/mig-tagged.policy $NAME"
run firn schedule list
run 'for i in $(seq 0 4); do
  s3u1api put-object-tagging --tagging TagSet="[{Key=action,Value=migrate}]" --bucket test1 --key file$i;
done'
run firn schedule run migrate
states migrated "$FS"/buckets/test1/file[0-4]
run 'for i in $(seq 0 4); do
  s3u1api put-object-tagging --tagging TagSet="[{Key=action,Value=recall}]" --bucket test1 --key file$i;
done'
run firn schedule run recall
states premigrated "$FS"/buckets/test1/file[0-4]

say "ENFORCING OPTIMIZED RECALLS. A GET of a migrated object recalls it while the user waits:"
run "s3u1api put-object-tagging --bucket test1 --key file4 --tagging 'TagSet=[{Key=action,Value=migrate}]'"
run "mmapplypolicy $NAME -P $POLICIES/mig-tagged.policy >/dev/null"
states migrated "$FS/buckets/test1/file4"
run s3u1 cp --no-progress s3://test1/file4 ./file4.back
run cmp file4 file4.back
say "Thousands of such GETs would mount a tape each. They can be refused, so that users tag instead:"
run eeadm cluster set -a allow_transparent_recall -v no
run eeadm cluster show
for i in 0 1 2 3 4; do
    s3u1api put-object-tagging --tagging 'TagSet=[{Key=action,Value=migrate}]' --bucket test1 --key "file$i" || exit 1
done
run "mmapplypolicy $NAME -P $POLICIES/mig-tagged.policy >/dev/null"
run "eeadm file state $FS/buckets/test1/* | grep -E 'Name:|State:'"
states migrated "$FS"/buckets/test1/file[0-4]
rm -f file0.back
refused s3u1 cp --no-progress s3://test1/file0 ./file0.back
run s3u1api get-object-tagging --bucket test1 --key file0
run s3u1api put-object-tagging --tagging "'TagSet=[{Key=action,Value=recall}]'" --bucket test1 --key file0
run s3u1api get-object-tagging --bucket test1 --key file0
say "Within the hour the schedule recalls it. Here it is run at once:"
run firn schedule run recall
run s3u1 cp --no-progress s3://test1/file0 ./file0.back
run cmp file0 file0.back
run eeadm cluster set -a allow_transparent_recall -v yes
say "The session is over; every command did what the text says."
