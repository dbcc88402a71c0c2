/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the tape folder: the parts of an LTFS volume. ltfs_tree.c keeps the nodes, ltfs_name.c the
 * names, ltfs_label.c and ltfs_coherency.c the labels and cartridge memory, ltfs_xml_read.c and
 * ltfs_xml_write.c the index text, ltfs_index.c indexes on tape, ltfs_mount.c, ltfs_sync.c,
 * ltfs_format.c, ltfs_write.c, ltfs_read.c and ltfs_check.c what their names say. Parsers take
 * bytes from the tape: nothing in them is believed.
 */
#ifndef TAPE_LTFS_IMPL_H
#define TAPE_LTFS_IMPL_H

#include "tape/ltfs.h"

#include "base/buf.h"

#include <expat.h>

#define LTFS_VERSION         "2.4.0"
#define LTFS_CREATOR         "firn " FIRN_VERSION " - Linux - firnd"
#define LTFS_VOL1_BYTES      80
#define LTFS_LABEL_MAX       16384 /* bytes of an XML label that are read */
#define LTFS_COHERENCY_BYTES 70
#define LTFS_FIRST_INDEX     4     /* block of the first index construct's leading file mark */
#define LTFS_DIR_DEPTH_MAX   512   /* nested directories */
#define LTFS_XATTR_MAX       65536 /* bytes of a value */
/* The checksum that ends an index text of firn's: 8 hex digits of CRC32C between these. */
#define LTFS_SUM_BEGIN "<!-- firn crc32c "
#define LTFS_SUM_END   " -->\n"
#define LTFS_SUM_LEN   (sizeof(LTFS_SUM_BEGIN) - 1 + 8 + sizeof(LTFS_SUM_END) - 1)
#define LTFS_KEY_MAX   1024 /* bytes of an xattr key */

/* ---- tree ---- */

struct ltfs_extent {
    uint64_t fileoffset;
    uint64_t block;
    uint64_t bytes;
    uint32_t byteoffset;
    uint32_t partition; /* physical */
};

enum ltfs_node_flags { LTFS_NODE_DIR = 1, LTFS_NODE_READONLY = 2, LTFS_NODE_SYMLINK = 4 };

struct ltfs_node {
    struct ltfs_node *parent, *next, *prev;
    union {
        struct {
            struct ltfs_node *first, *last;
        } dir;
        struct ltfs_extent *extents;
        char *target;
    } u;
    uint8_t *xattrs; /* packed: 2 bytes key length, 4 bytes value length, key, NUL, value; ... */
    uint64_t uid;
    uint64_t length;
    struct ltfs_times times;
    uint32_t xattr_bytes;
    uint32_t extent_count;
    uint32_t flags;
    uint32_t name_len;
    char name[];
};

struct ltfs_tree {
    struct ltfs_node *root;
    struct ltfs_node **slots; /* open addressing by parent and name */
    size_t slot_count, node_count;
    uint64_t seed;
    uint64_t files, directories;
    uint64_t highest_uid;
    uint64_t data_bytes; /* of all extents */
    uint64_t xml_bytes;  /* the index will have about this many */
    size_t memory;
};

/* Makes the root, named name[len], uid 1. */
void ltfs_tree_init(struct ltfs_tree *t, const char *name, size_t len);

/* Frees everything; t may be zeroed. */
void ltfs_tree_fini(struct ltfs_tree *t);

/* The child of dir named name[len], or NULL. */
struct ltfs_node *ltfs_tree_find(const struct ltfs_tree *t, const struct ltfs_node *dir,
                                 const char *name, size_t len);

/* A new node under dir, which must have no such child; uid 0 takes the next free one. */
struct ltfs_node *ltfs_tree_add(struct ltfs_tree *t, struct ltfs_node *dir, const char *name,
                                size_t len, unsigned flags, uint64_t uid);

/* Frees n, which is not the root and has no children. */
void ltfs_tree_remove(struct ltfs_tree *t, struct ltfs_node *n);

/* Gives file n its extents (heap memory, taken over) and length. */
void ltfs_tree_set_data(struct ltfs_tree *t, struct ltfs_node *n, struct ltfs_extent *extents,
                        uint32_t count, uint64_t length);

/* Makes n a symbolic link to target (copied). */
void ltfs_tree_set_symlink(struct ltfs_tree *t, struct ltfs_node *n, const char *target);

/* Sets or replaces an xattr; false when key or value is too long or the key empty. */
bool ltfs_tree_set_xattr(struct ltfs_tree *t, struct ltfs_node *n, const struct ltfs_xattr *x);

/* Removes an xattr; false when it is absent. */
bool ltfs_tree_remove_xattr(struct ltfs_tree *t, struct ltfs_node *n, const char *key);

/* The next xattr of n behind *offset (begin with 0); false after the last. */
bool ltfs_xattr_next(const struct ltfs_node *n, size_t *offset, struct ltfs_xattr *x);

/* ---- names ---- */

/*
 * The next component of *path; *len 0 at the end. Returns false for a component that is too long,
 * "." or "..".
 */
bool ltfs_name_next(const char **path, const char **name, size_t *len);

/* Bytes in the UTF-8 sequence at s[n] if it is a well-formed character that XML 1.0 can hold, else
 * 0. */
size_t ltfs_name_utf8(const char *s, size_t n);

/* Whether s[n] is text that XML carries unchanged (well-formed, no control characters, no blank at
 * either end). */
bool ltfs_name_is_plain(const char *s, size_t n);

/* Appends element <tag>name</tag>, percent-encoded when it must be; bytes that are not UTF-8 become
 * U+EF80..U+EFFF. */
void ltfs_name_add_element(struct buf *b, const char *tag, const char *name, size_t len);

/* Turns the text of a name element into the name: undoes percent-encoding and the mapping of bytes.
 * Appends to out. Returns 0 or -EBADMSG. */
int ltfs_name_decode(const char *text, bool percent, struct buf *out);

/* ---- labels and cartridge memory ---- */

struct ltfs_label {
    char volume_id[7];
    char version[16];
    char creator[1025];
    struct uuid uuid;
    int64_t format_time_ns;
    char location; /* this partition's letter */
    char index_letter, data_letter;
    uint32_t blocksize;
    bool compression;
};

/* The 80 bytes of VOL1 for barcode. */
void ltfs_label_make_vol1(const char *barcode, char out[LTFS_VOL1_BYTES]);

/* Reads VOL1: 0 with volume_id set, or -EBADMSG. */
int ltfs_label_parse_vol1(const void *data, size_t len, struct ltfs_label *l, struct err *err);

/* Appends the XML label. */
void ltfs_label_make_xml(const struct ltfs_label *l, struct buf *b);

/* Reads an XML label: 0 or -EBADMSG. volume_id is left alone. */
int ltfs_label_parse_xml(const void *data, size_t len, struct ltfs_label *l, struct err *err);

/* Whether a and b differ in nothing but the location; else *what names the difference. */
bool ltfs_label_same(const struct ltfs_label *a, const struct ltfs_label *b, const char **what);

/* Reads the label of physical partition p: 0, LTFS_NOT_FORMATTED (blank), or a failure. */
int ltfs_label_read(struct drive *d, unsigned p, struct ltfs_label *l, struct err *err);

/* Writes both label constructs at block 0 of physical partition p. */
int ltfs_label_write(struct drive *d, unsigned p, const struct ltfs_label *l, struct err *err);

/* The value of attribute 080C. */
struct ltfs_coherency {
    uint64_t vcr;
    uint64_t generation;
    uint64_t block;
    struct uuid uuid;
    uint8_t version;
};

/* Packs and unpacks it (LTFS 2.4, volume coherency information); unpack: 0 or -EBADMSG. */
void ltfs_coherency_pack(const struct ltfs_coherency *c, uint8_t out[LTFS_COHERENCY_BYTES]);
int ltfs_coherency_unpack(const void *data, size_t len, struct ltfs_coherency *c);

/* Reads attribute 080C of partition p into *c (zeroed by the caller, and left so when there is
 * none). *valid: it is there and its VCR is attribute 0009's. */
int ltfs_coherency_read(struct drive *d, unsigned p, struct ltfs_coherency *c, bool *valid,
                        struct err *err);

/* Writes the attributes that say who formatted the cartridge. */
int ltfs_coherency_write_host(struct drive *d, const char *volume_name, struct err *err);

/* ---- index text ---- */

struct ltfs_pointer {
    char letter;
    uint64_t block;
};

struct ltfs_index {
    char version[16];
    struct uuid uuid;
    uint64_t generation;
    int64_t update_time_ns;
    struct ltfs_pointer self;
    struct ltfs_pointer previous; /* letter 0: none */
    char *comment;                /* NULL: none */
    char *policy_size;            /* dataplacementpolicy, kept as read; NULL: none */
    char *policy_names;           /* its names, one a line; NULL: none */
    bool allow_policy_update;
    char lock_state[12]; /* unlocked, locked, permlocked */
    struct ltfs_tree tree;
};

/* Frees what ix owns. */
void ltfs_index_fini(struct ltfs_index *ix);

struct ltfs_parser;

enum ltfs_parser_outcome {
    LTFS_PARSER_OTHER = 1, /* an incremental index (LTFS 2.5) */
    LTFS_PARSER_HEAD = 2,  /* head only: everything before the root directory was read */
};

/*
 * A parser of index text into *ix (zeroed by the caller; ltfs_index_fini frees it also after a
 * failure). letters: those of the physical partitions. head_only: stop before the directory.
 */
struct ltfs_parser *ltfs_parser_new(struct ltfs_index *ix, const char letters[DRIVE_PARTITIONS],
                                    uint32_t blocksize, bool head_only);

/* Feeds len bytes; last: nothing follows. 0, an outcome, or -EBADMSG with the line in err. */
int ltfs_parser_feed(struct ltfs_parser *p, const void *data, size_t len, bool last,
                     struct err *err);

/* Frees p; NULL is allowed. */
void ltfs_parser_free(struct ltfs_parser *p);

/* A strict XML parser for bytes from tape: no document type, no entities. user points to a struct
 * whose first member is this parser. Never NULL. */
XML_Parser ltfs_xml_new(void *user);

/* Whether version is 2.x of digits and dots. */
bool ltfs_xml_version_2(const char *version);

/* Takes the text of the index in pieces. */
typedef int ltfs_sink_fn(void *arg, const void *data, size_t len, struct err *err);

/*
 * Writes ix as XML through sink, in pieces of exactly piece bytes, the last one shorter. letters as
 * above. Returns 0 or what sink returned.
 */
int ltfs_xml_write(const struct ltfs_index *ix, const char letters[DRIVE_PARTITIONS], size_t piece,
                   ltfs_sink_fn *sink, void *arg, struct err *err);

/* ---- volume ---- */

struct ltfs_volume {
    struct drive *drive;
    char barcode[DRIVE_BARCODE_MAX];
    struct ltfs_label label;
    struct ltfs_index index;
    char letters[DRIVE_PARTITIONS]; /* of the physical partitions */
    unsigned index_part, data_part; /* physical */
    bool packing;
    bool read_only, dirty, recovered, full;
    char problem[512];
    uint64_t data_index_block;  /* newest index on the data partition; 0: none known */
    uint64_t index_index_block; /* index on the index partition; 0: none known */
    bool head_known;            /* head is where the drive stands */
    struct drive_position head;
    bool eod_known;
    uint64_t data_eod; /* block that the pack buffer will become */
    uint64_t room;     /* bytes that may still be written as data */
    uint8_t *pack;     /* blocksize bytes: a record being filled */
    size_t fill;
    uint8_t *cache; /* blocksize bytes: the record last read */
    size_t cache_len;
    struct drive_position cache_at;
    struct ltfs_writer *writer; /* the one that is open */
};

/* Moves the head unless it is there. 0 or a failure (end of data before block: -EIO). */
int ltfs_head_to(struct ltfs_volume *v, unsigned partition, uint64_t block, struct err *err);

/* Moves the head to the end of data of the data partition; data_eod is known afterwards. */
int ltfs_head_to_eod(struct ltfs_volume *v, struct err *err);

/* Writes the pack buffer as a record, if it holds anything. 0, LTFS_FULL or a failure. */
int ltfs_flush_pack(struct ltfs_volume *v, struct err *err);

/* Asks the drive how much room there is. */
int ltfs_refresh_room(struct ltfs_volume *v, struct err *err);

/* Makes v read-only, with the reason in printf form. */
void ltfs_make_read_only(struct ltfs_volume *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A volume with its buffers, for drive d and label l; NULL: no memory. */
struct ltfs_volume *ltfs_volume_new(struct drive *d, const struct ltfs_label *l, unsigned flags,
                                    struct err *err);

/* What an index on tape looked like. */
struct ltfs_found {
    bool ok;
    uint64_t block;  /* of its first record */
    uint64_t end;    /* first block behind it and its closing file mark */
    bool closed;     /* the closing file mark is there */
    uint64_t eod;    /* end of data of the partition */
    unsigned failed; /* places that should have held a newer index and did not */
    struct err why;  /* of the first of them */
    struct ltfs_index index;
};

/*
 * Reads the index at block of physical partition p into f (index, block, end, closed). 0,
 * LTFS_PARSER_OTHER, -EBADMSG (not a good index) or another failure. head_only: tree not read.
 */
int ltfs_index_read(struct ltfs_volume *v, unsigned p, uint64_t block, bool head_only,
                    struct ltfs_found *f, struct err *err);

/* Finds the newest index on physical partition p, searching back from the end of data. f->ok says
 * whether there is one. Fails only when the drive does. */
int ltfs_index_find(struct ltfs_volume *v, unsigned p, struct ltfs_found *f, struct err *err);

/* Writes an index construct at the end of the data partition (generation and back pointer are those
 * in v->index). */
int ltfs_index_write_data(struct ltfs_volume *v, struct err *err);

/* Rewrites the index on the index partition in place, same generation. */
int ltfs_index_write_index(struct ltfs_volume *v, struct err *err);

/* Writes the coherency attribute of both partitions. */
int ltfs_coherency_write(struct ltfs_volume *v, struct err *err);

#endif
