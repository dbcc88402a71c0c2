/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_impl.h"

#include <stdint.h>

#define KIB 1024LL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */
#define F(field) offsetof(struct conf, field)
static const struct conf_key top_keys[] = {
    {"site", CONF_NAME, F(site), "firn", 0, 0, NULL, "name of this installation; the first part of file ids is made from it"},
    {"state_dir", CONF_PATH, F(state_dir), "/var/lib/firn", 0, 0, NULL, "catalogue, queue, copies of tape indexes; not on a managed file system"},
    {"run_dir", CONF_PATH, F(run_dir), "/run/firn", 0, 0, NULL, "lock file and control socket"},
    {"socket", CONF_STRING, F(socket), "", 0, 0, NULL, "control socket; by default firnd.sock in run_dir"},
    {"log_level", CONF_CHOICE, F(log_level), "info", 0, 0, "err|warn|info|debug", "what goes to standard error"},
};
#undef F

#define F(field) offsetof(struct conf_buffers, field)
static const struct conf_key buffer_keys[] = {
    {"count", CONF_INT, F(count), "32", 4, 65536, NULL, "buffers for file data, shared by all work of firnd"},
    {"size", CONF_SIZE, F(size_bytes), "1MiB", 512 * KIB, 256 * MIB, NULL, "bytes in each; count x size bounds the memory for data"},
};
#undef F

#define F(field) offsetof(struct conf_migrate, field)
static const struct conf_key migrate_keys[] = {
    {"min_age", CONF_INT, F(min_age_s), "120", 0, 31536000, NULL, "seconds since the last change before a file may be migrated"},
    {"min_size", CONF_SIZE, F(min_size_bytes), "1", 1, TIB, NULL, "smaller files stay on disk"},
    {"batch_files", CONF_INT, F(batch_files), "4096", 1, 1000000, NULL, "files written between two index writes of a volume, at most"},
    {"batch_bytes", CONF_SIZE, F(batch_bytes), "64GiB", MIB, 64 * TIB, NULL, "bytes written between two index writes of a volume, about"},
    {"retries", CONF_INT, F(retries), "2", 0, 100, NULL, "how often a file that changed while it was copied is tried again in one task"},
    {"filehash", CONF_CHOICE, F(filehash), "crc32", 0, 0, "crc32|md5|sha1|sha256|sha512", "digest stored with each file on tape, as ltfs.hash.*"},
    {"pack", CONF_BOOL, F(pack), "true", 0, 0, NULL, "let small files share tape blocks"},
};
#undef F

#define F(field) offsetof(struct conf_recall, field)
static const struct conf_key recall_keys[] = {
    {"wait", CONF_INT, F(wait_s), "60", 0, 86400, NULL, "seconds an S3 GET waits for a recall before it is answered 503"},
    {"queue_max", CONF_INT, F(queue_max), "100000", 1, 10000000, NULL, "recalls that may wait; further ones are refused"},
    {"max_age", CONF_INT, F(max_age_s), "900", 1, 604800, NULL, "seconds after which a waiting recall goes before all others"},
    {"batch_window", CONF_INT, F(batch_window_ms), "2000", 0, 600000, NULL, "milliseconds that recalls for a cartridge in no drive wait for more of them; 0: none"},
    {"account_max", CONF_INT, F(account_max), "0", 0, 10000000, NULL, "recalls of one account (S3) or user that may wait; 0: only queue_max counts"},
    {"deny_programs", CONF_LIST, F(deny_programs), "updatedb,updatedb.mlocat,updatedb.plocat,mlocate,plocate-build,baloo_file,tracker-miner-f,tracker-extract", 0, 0, NULL, "programs (names as in /proc/PID/comm) that get an error instead of recalling a file"},
    {"deny_users", CONF_LIST, F(deny_users), "", 0, 0, NULL, "users (names or numbers) that get an error instead of recalling a file"},
};
#undef F

#define F(field) offsetof(struct conf_watch, field)
static const struct conf_key watch_keys[] = {
    {"socket", CONF_STRING, F(socket), "", 0, 0, NULL, "where firnd meets firn-watch; by default watch.sock in run_dir"},
    {"deadline", CONF_INT, F(deadline_s), "3600", 0, 604800, NULL, "seconds that a program waits for a file before it gets an error; 0: for ever"},
    {"events", CONF_CHOICE, F(events), "auto", 0, 0, "auto|open", "open: only events at open, as on Linux before 6.14"},
    {"guard", CONF_CHOICE, F(guard), "auto", 0, 0, "auto|off|required", "BPF program that refuses stubs which nobody watches; required: firn-watch does not start without it"},
};
#undef F

#define F(field) offsetof(struct conf_policy, field)
static const struct conf_key policy_keys[] = {
    {"include_dirs", CONF_LIST, F(include_dirs), "/etc/firn/policies", 0, 0, NULL, "directories that include() in a policy may read"},
    {"builtin_exec", CONF_LIST, F(builtin_exec), "eeadm,firn", 0, 0, NULL, "EXEC programs, by last path component, that mean firn itself"},
    {"work_dir", CONF_STRING, F(work_dir), "", 0, 0, NULL, "file lists for scripts; by default policy in state_dir"},
    {"threads", CONF_INT, F(threads), "0", 0, 256, NULL, "threads of a scan; 0 is one a processor"},
    {"event_window", CONF_INT, F(event_window_ms), "5000", 0, 3600000, NULL, "milliseconds that files wait for others of one task when an S3 client's change makes a policy migrate them"},
};
#undef F

#define F(field) offsetof(struct conf_s3, field)
static const struct conf_key s3_keys[] = {
    {"listen", CONF_STRING, F(listen), "127.0.0.1:6001", 0, 0, NULL, "address and port"},
    {"region", CONF_NAME, F(region), "us-east-1", 0, 0, NULL, "the region that signatures must name"},
    {"filesystem", CONF_STRING, F(filesystem), "", 0, 0, NULL, "the managed file system that holds the buckets; by default the only one"},
    {"buckets", CONF_STRING, F(buckets), "", 0, 0, NULL, "directory of the buckets; by default buckets in the file system"},
    {"domain", CONF_STRING, F(domain), "", 0, 0, NULL, "base domain of virtual-host requests; empty: path style only"},
    {"user", CONF_STRING, F(user), "", 0, 0, NULL, "user that firn-s3 runs as besides root, for the control socket"},
    {"workers", CONF_INT, F(workers), "0", 0, 1024, NULL, "threads that serve requests; 0 is 4 a processor, at least 16"},
    {"recall_waiters", CONF_INT, F(recall_waiters), "64", 1, 4096, NULL, "requests that may wait for a recall at once"},
    {"max_connections", CONF_INT, F(max_connections), "4096", 1, 1000000, NULL, "open connections; further ones are refused"},
    {"idle_timeout", CONF_INT, F(idle_timeout_s), "60", 1, 3600, NULL, "seconds an idle connection stays open, and a slow request may pause"},
    {"retry_after", CONF_INT, F(retry_after_s), "30", 1, 86400, NULL, "Retry-After of a 503 while a recall goes on"},
    {"allow_unsigned_payload", CONF_BOOL, F(allow_unsigned_payload), "true", 0, 0, NULL, "accept UNSIGNED-PAYLOAD over plain HTTP"},
    {"show_storage_class_metadata", CONF_BOOL, F(show_storage_class_metadata), "false", 0, 0, NULL, "also show the storage class as metadata storage_class, as older NooBaa releases do"},
};
#undef F

#define F(field) offsetof(struct conf_filesystem, field)
static const struct conf_key filesystem_keys[] = {
    {"name", CONF_NAME, F(name), NULL, 0, 0, NULL, "name in commands and policies"},
    {"path", CONF_PATH, F(path), NULL, 0, 0, NULL, "mount point"},
    {"pool", CONF_NAME, F(pool), "system", 0, 0, NULL, "its disk pool's name in policies"},
    {"posix_readers", CONF_CHOICE, F(posix_readers), "any", 0, 0, "none|any|recall", "who reads files here besides firn: recall: all programs, firn-watch stops them until the data is back; none: no program; any: all, so nothing is released"},
    {"device", CONF_STRING, F(device), "", 0, 0, NULL, "device that firn-watch mounts on path, so that no moment is unwatched; by default others mount it"},
    {"type", CONF_CHOICE, F(type), "auto", 0, 0, "auto|ext4|xfs|btrfs", "with device: the kind of file system"},
    {"options", CONF_STRING, F(options), "", 0, 0, NULL, "with device: mount options, as for mount(8)"},
};
#undef F

#define F(field) offsetof(struct conf_library, field)
static const struct conf_key library_keys[] = {
    {"name", CONF_NAME, F(name), NULL, 0, 0, NULL, "name in commands and in pool@library"},
    {"kind", CONF_CHOICE, F(kind), "dir", 0, 0, "dir", "dir: a virtual library in a directory"},
    {"path", CONF_PATH, F(path), NULL, 0, 0, NULL, "the library's directory"},
    {"cost_model", CONF_CHOICE, F(cost_model), "none", 0, 0, "none|lto7|m8|lto8|lto9", "drive whose positioning times order recalls"},
    {"simulate_time", CONF_BOOL, F(simulate_time), "false", 0, 0, NULL, "count the drive's times on a simulated clock"},
};
#undef F

#define F(field) offsetof(struct conf_store, field)
static const struct conf_key store_keys[] = {
    {"name", CONF_NAME, F(name), NULL, 0, 0, NULL, "name in commands and in pool@store"},
    {"endpoint", CONF_STRING, F(endpoint), NULL, 0, 0, NULL, "https://host or http://host:port of the S3 service; file:///directory for copies as plain files there"},
    {"region", CONF_NAME, F(region), "us-east-1", 0, 0, NULL, "the region that signatures name"},
    {"style", CONF_CHOICE, F(style), "auto", 0, 0, "auto|path|virtual", "where a request names its bucket; auto: virtual for amazonaws.com, path for all others"},
    {"bucket_prefix", CONF_NAME, F(bucket_prefix), NULL, 0, 0, NULL, "the bucket, or with bucket_count above 1 the first part of the buckets' names; in a directory the folder"},
    {"bucket_count", CONF_INT, F(bucket_count), "1", 0, 65536, NULL, "0 and 1: one bucket of that name; else new objects are spread over prefix_0, prefix_1, ..."},
    {"bucket_separator", CONF_CHOICE, F(bucket_separator), "_", 0, 0, "_|-", "between bucket_prefix and number; AWS and virtual style take the dash only"},
    {"key_prefix", CONF_STRING, F(key_prefix), "", 0, 0, NULL, "put before every key of new objects, with a slash between"},
    {"access_key", CONF_STRING, F(access_key), "", 0, 0, NULL, "access key; by default from the environment, then from credentials_file"},
    {"secret_key", CONF_STRING, F(secret_key), "", 0, 0, NULL, "secret key that belongs to access_key"},
    {"session_token", CONF_STRING, F(session_token), "", 0, 0, NULL, "session token that belongs to access_key"},
    {"credentials_file", CONF_STRING, F(credentials_file), "", 0, 0, NULL, "file of keys in the form of the AWS tools, read again when it changes; by default theirs"},
    {"profile", CONF_NAME, F(profile), "default", 0, 0, NULL, "section of credentials_file"},
    {"ca_file", CONF_STRING, F(ca_file), "", 0, 0, NULL, "certificates that are trusted; by default the system's"},
    {"tls_verify", CONF_BOOL, F(tls_verify), "true", 0, 0, NULL, "refuse an endpoint whose certificate does not prove its name"},
    {"sign_payload", CONF_CHOICE, F(sign_payload), "auto", 0, 0, "auto|always|never", "whether signatures cover the data; auto: not over TLS"},
    {"chunk_size", CONF_SIZE, F(chunk_size), "64MiB", 64 * KIB, 2016 * MIB, NULL, "bytes of a file in one object"},
    {"buffers", CONF_INT, F(buffers), "8", 4, 65536, NULL, "buffers x chunk_size bounds the memory for data of this store, besides packs"},
    {"pack_size", CONF_SIZE, F(pack_size), "0", 0, 512 * MIB, NULL, "bytes of an object that many small files share, from 1 MiB on; 0: each file has its own; takes two packs and 4 MiB of memory besides"},
    {"pack_file", CONF_SIZE, F(pack_file), "256KiB", 1, MIB, NULL, "largest file that goes into a pack: a quarter of pack_size and one chunk_size at most"},
    {"compression", CONF_CHOICE, F(compression), "lz4", 0, 0, "lz4|zstd|none", "of new objects; what does not get smaller is stored as it is"},
    {"compression_level", CONF_INT, F(compression_level), "1", 1, 19, NULL, "for zstd"},
    {"verify", CONF_CHOICE, F(verify), "auto", 0, 0, "auto|checksum|read", "how a new object is proven; auto: by the store's checksum or ETag, else by reading it back; read: always read it back"},
    {"lanes", CONF_INT, F(lanes), "16", 1, 1024, NULL, "files that are copied to or from the store at once"},
    {"connections", CONF_INT, F(connections), "32", 1, 4096, NULL, "connections to the store, at most"},
    {"retries", CONF_INT, F(retries), "8", 0, 1000, NULL, "how often a request that failed for a passing reason is made again"},
    {"retry_max_ms", CONF_INT, F(retry_max_ms), "20000", 1, 3600000, NULL, "longest pause before a request is made again"},
    {"connect_timeout", CONF_INT, F(connect_timeout_s), "10", 1, 3600, NULL, "seconds to wait for a connection"},
    {"stall_timeout", CONF_INT, F(stall_timeout_s), "60", 1, 86400, NULL, "seconds without a byte after which a transfer counts as dead"},
    {"min_speed", CONF_INT, F(min_speed), "0", 0, 1073741824, NULL, "bytes a second, over stall_timeout, below which a transfer counts as dead; 0: any progress is enough"},
    {"key_file", CONF_STRING, F(key_file), "", 0, 0, NULL, "file of keys for encryption before data leaves the machine; empty: none"},
    {"key_id", CONF_STRING, F(key_id), "", 0, 0, NULL, "the key that new objects are encrypted with; by default the last in key_file"},
    {"create_buckets", CONF_BOOL, F(create_buckets), "false", 0, 0, NULL, "make buckets that are missing"},
};
#undef F

#define F(field) offsetof(struct conf_lustre, field)
static const struct conf_key lustre_keys[] = {
    {"store", CONF_STRING, F(store), "", 0, 0, NULL, "the store that archives go to; by default the only one"},
    {"state_dir", CONF_STRING, F(state_dir), "", 0, 0, NULL, "journal and index of the copytool; by default lustre/FSNAME in the site's state_dir"},
    {"workers", CONF_INT, F(workers), "32", 1, 4096, NULL, "actions at work at once"},
    {"archive_lanes", CONF_INT, F(archive_lanes), "24", 1, 4096, NULL, "workers that may archive"},
    {"restore_lanes", CONF_INT, F(restore_lanes), "28", 1, 4096, NULL, "workers that may restore; readers that wait may have all of them"},
    {"remove_lanes", CONF_INT, F(remove_lanes), "8", 1, 4096, NULL, "workers that may remove"},
    {"queue_max", CONF_INT, F(queue_max), "100000", 1, 100000000, NULL, "actions that may wait; further ones are refused with EBUSY"},
    {"heartbeat", CONF_INT, F(heartbeat_s), "20", 1, 3600, NULL, "seconds between two signs of life of an action"},
    {"drain", CONF_INT, F(drain_s), "150", 0, 86400, NULL, "seconds that a stop waits for running actions"},
    {"garbage_delay", CONF_INT, F(garbage_delay_s), "86400", 0, 31536000, NULL, "seconds that a replaced or removed copy is kept"},
    {"metrics_file", CONF_STRING, F(metrics_file), "", 0, 0, NULL, "file that figures are written to, in the form of Prometheus, each ten seconds"},
    {"restore_layout", CONF_BOOL, F(restore_layout), "true", 0, 0, NULL, "give restored files their old striping"},
    {"xattrs", CONF_BOOL, F(xattrs), "true", 0, 0, NULL, "archive and restore extended attributes"},
};
#undef F

#define F(field) offsetof(struct conf_pool, field)
static const struct conf_key pool_keys[] = {
    {"name", CONF_NAME, F(name), NULL, 0, 0, NULL, "pool, made at start when it does not exist"},
    {"library", CONF_NAME, F(library), NULL, 0, 0, NULL, "its library or its store"},
};
#undef F

#define GROUP(field, keys) {#field, keys, COUNT(keys), offsetof(struct conf, field), 0, 0}
#define LIST(field, count, type, keys) \
    {#field, keys, COUNT(keys), offsetof(struct conf, field), offsetof(struct conf, count), sizeof(struct type)}
const struct conf_section conf_sections[] = {
    {"", top_keys, COUNT(top_keys), 0, 0, 0},
    LIST(filesystems, filesystem_count, conf_filesystem, filesystem_keys),
    LIST(libraries, library_count, conf_library, library_keys),
    LIST(stores, store_count, conf_store, store_keys),
    LIST(pools, pool_count, conf_pool, pool_keys),
    GROUP(buffers, buffer_keys),
    GROUP(migrate, migrate_keys),
    GROUP(recall, recall_keys),
    GROUP(watch, watch_keys),
    GROUP(policy, policy_keys),
    GROUP(s3, s3_keys),
    GROUP(lustre, lustre_keys),
};
/* clang-format on */
const size_t conf_section_count = COUNT(conf_sections);
