/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema and its history: step n turns version n into n + 1 (PRAGMA user_version). A released
 * step is never edited; a change of the schema is a new step.
 */
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* "firn" in ASCII, PRAGMA application_id. */
enum { APPLICATION_ID = 0x6669726e };

static const char *const steps[] = {
    /* 0 -> 1. Times are ns since 1970; a NULL UUID is all zero; states are the enums of
     * catalog/catalog.h. */
    "CREATE TABLE attributes(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sequences(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO sequences VALUES('registry', 1);"
    "CREATE TABLE pools(id BLOB PRIMARY KEY, library TEXT NOT NULL, name TEXT NOT NULL,"
    " UNIQUE(library, name)) WITHOUT ROWID;"
    "CREATE TABLE volumes(id INTEGER PRIMARY KEY AUTOINCREMENT, library TEXT NOT NULL,"
    " barcode TEXT NOT NULL, pool BLOB, uuid BLOB, state TEXT NOT NULL, generation INTEGER NOT "
    "NULL,"
    " capacity INTEGER NOT NULL, used INTEGER NOT NULL, garbage INTEGER NOT NULL,"
    " files INTEGER NOT NULL, problem TEXT NOT NULL, created INTEGER NOT NULL,"
    " UNIQUE(library, barcode));"
    "CREATE TABLE drives(library TEXT NOT NULL, serial TEXT NOT NULL, role TEXT NOT NULL,"
    " enabled INTEGER NOT NULL, mounts INTEGER NOT NULL, bytes_read INTEGER NOT NULL,"
    " bytes_written INTEGER NOT NULL, problem TEXT NOT NULL,"
    " PRIMARY KEY(library, serial)) WITHOUT ROWID;"
    "CREATE TABLE filesystems(n INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE);"
    "CREATE TABLE archives(n INTEGER PRIMARY KEY, archive BLOB NOT NULL UNIQUE,"
    " fs INTEGER NOT NULL, ino INTEGER NOT NULL, gen INTEGER NOT NULL, handle BLOB,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, path TEXT NOT NULL,"
    " digest_alg INTEGER NOT NULL, digest BLOB, created INTEGER NOT NULL);"
    "CREATE INDEX archives_file ON archives(fs, ino, gen);"
    "CREATE TABLE copies(archive INTEGER NOT NULL, copy_no INTEGER NOT NULL,"
    " state INTEGER NOT NULL, tier TEXT NOT NULL, volume INTEGER NOT NULL, path TEXT NOT NULL,"
    " part INTEGER NOT NULL, block INTEGER NOT NULL, boff INTEGER NOT NULL,"
    " length INTEGER NOT NULL, created INTEGER NOT NULL,"
    " PRIMARY KEY(archive, copy_no)) WITHOUT ROWID;"
    "CREATE INDEX copies_place ON copies(volume, part, block, archive, copy_no);"
    "CREATE TABLE tasks(id INTEGER PRIMARY KEY, uid TEXT NOT NULL, type TEXT NOT NULL,"
    " params TEXT NOT NULL, pools TEXT NOT NULL, status INTEGER NOT NULL, result INTEGER NOT NULL,"
    " options INTEGER NOT NULL, priority INTEGER NOT NULL, created INTEGER NOT NULL,"
    " started INTEGER NOT NULL DEFAULT 0, completed INTEGER NOT NULL DEFAULT 0,"
    " files INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,"
    " failed INTEGER NOT NULL DEFAULT 0, bytes_total INTEGER NOT NULL DEFAULT 0,"
    " bytes_done INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '');"
    "CREATE INDEX tasks_status ON tasks(status, created);"
    "CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, state INTEGER NOT NULL, fs INTEGER, ino INTEGER NOT NULL,"
    " gen INTEGER NOT NULL, handle BLOB, path TEXT NOT NULL, archive BLOB, size INTEGER NOT NULL,"
    " volume INTEGER NOT NULL, block INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " attempt INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,"
    " created INTEGER NOT NULL, started INTEGER NOT NULL, ended INTEGER NOT NULL);"
    "CREATE INDEX jobs_task ON jobs(task, id);"
    "CREATE INDEX jobs_queue ON jobs(kind, volume, priority DESC, block, id) WHERE state = 0;"
    "CREATE INDEX jobs_task_queue ON jobs(task, priority DESC, block, id) WHERE state = 0;"
    "CREATE INDEX jobs_open ON jobs(fs, ino, gen, kind) WHERE state < 2;"
    "CREATE TABLE accounts(name TEXT PRIMARY KEY, uid INTEGER NOT NULL, gid INTEGER NOT NULL,"
    " key1 TEXT NOT NULL, secret1 TEXT NOT NULL, key2 TEXT NOT NULL, secret2 TEXT NOT NULL,"
    " enabled INTEGER NOT NULL, md5_etag INTEGER NOT NULL, new_buckets TEXT NOT NULL,"
    " created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE access_keys(key TEXT PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE buckets(name TEXT PRIMARY KEY, owner TEXT NOT NULL, path TEXT NOT NULL,"
    " exported INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX buckets_owner ON buckets(owner);"
    "CREATE TABLE schedules(name TEXT PRIMARY KEY, at TEXT NOT NULL, target TEXT NOT NULL,"
    " file TEXT NOT NULL, macros TEXT NOT NULL, log TEXT NOT NULL, enabled INTEGER NOT NULL,"
    " last_run INTEGER NOT NULL, last_result TEXT NOT NULL) WITHOUT ROWID;",
    "ALTER TABLE schedules ADD COLUMN events INTEGER NOT NULL DEFAULT 0;",
};

enum { VERSION = sizeof(steps) / sizeof(steps[0]) };

static int exec(struct db *db, const char *sql, struct err *err)
{
    if (sqlite3_exec(db->h, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, err, "schema");
    return 0;
}

static int take_step(struct db *db, int from, struct err *err)
{
    char done[96];
    (void)snprintf(done, sizeof(done), "PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT",
                   from + 1, APPLICATION_ID);
    int rc = exec(db, "BEGIN EXCLUSIVE", err);
    if (rc == 0)
        rc = exec(db, steps[from], err);
    if (rc == 0)
        rc = exec(db, done, err);
    if (rc < 0)
        (void)exec(db, "ROLLBACK", NULL);
    return rc;
}

int sqlite_schema_upgrade(struct db *db, struct err *err)
{
    int64_t version = 0, owner = 0;
    int rc = db_int(db, &version, err, "PRAGMA user_version", NULL, 0);
    if (rc == 0)
        rc = db_int(db, &owner, err, "PRAGMA application_id", NULL, 0);
    if (rc < 0)
        return rc;
    if (owner != APPLICATION_ID && (owner != 0 || version != 0))
        return err_set(err, -EBADMSG, "%s is a database of another program", db->path);
    if (version > VERSION)
        return err_set(err, -EPROTO,
                       "catalogue %s has schema version %lld, this firn knows %d; use the newer "
                       "firn that made it",
                       db->path, (long long)version, VERSION);
    for (int v = (int)version; rc == 0 && v < VERSION; v++)
        rc = take_step(db, v, err);
    return rc;
}
