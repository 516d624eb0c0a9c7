/* SPDX-License-Identifier: Apache-2.0 */
/* A qcow2 image while it is open.
 *
 * All requests run on one loop, the instance's, whatever loops their queues have (block_stack.h's
 * one_loop), so nothing here is locked. What can wait is written as steps: a request that needs
 * something puts itself on that thing's waiting list with the step to repeat, and returns.
 *
 * What a crash may find, whenever it comes: clusters whose count is too high (lost space), never
 * one too low. So
 *   1. counts rise, on disk, before anything refers to a cluster (refcount.c: a supply of clusters
 *      that are counted already);
 *   2. data reaches its new cluster before the L2 table in memory refers to it;
 *   3. L2 tables and the L1 table reach the disk only in a checkpoint (checkpoint.c), after a flush
 *      of 1 and 2, and L1 after L2;
 *   4. counts fall, and clusters are used again, only after the checkpoint that stopped referring
 *      to them, and after every request that still was at them.
 * A flush of the guest is a checkpoint. */
#ifndef BLOCK_QCOW2_IMAGE_H
#define BLOCK_QCOW2_IMAGE_H

#include "bigendian.h"
#include "header.h"

#include <backplane/sdk/block_stack.h>

#define SLOT_FILE    0u
#define SLOT_BACKING 1u

#define MAX_IOV       128u
#define MAX_FREES     8192u
#define MAX_RECYCLED  1024u
#define MAX_RUN       256u
#define MAX_BUFFERS   8u
#define REF_TABLES    4u
#define COPIED        (UINT64_C(1) << 63)
#define COMPRESSED    (UINT64_C(1) << 62)
#define ZERO          UINT64_C(1)
#define OFFSET_MASK   UINT64_C(0x00fffffffffffe00)
#define ARENA_TABLES  0x10000u
#define ARENA_REFS    0x10001u
#define ARENA_BUFFERS 0x10002u
#define ARENA_BOUNCE  0x10003u
#define ARENA_OPEN    0x10005u
#define SYNC_BYTES    (2u << 20) /* a cluster at least */

struct image;
struct request;

struct waiting {
    struct request *first, **last;
};

/* A metadata or cluster transfer, cut into what the backend takes at once. */
struct transfer {
    struct bp_block_io io;
    struct bp_iovec iov;
    struct bp_block_lane *lane;
    uint64_t offset, length, piece, most;
    uint8_t *data;
    uint32_t op;
    void (*done)(struct transfer *transfer, int32_t status);
    void *owner;
};

/* A cluster of metadata in memory. */
struct table {
    struct image *image;
    uint64_t offset; /* in the file; 0: empty */
    uint8_t *data;
    uint32_t pins;
    uint32_t loading;
    uint64_t dirty_from, dirty_to; /* bytes; equal: clean */
    uint64_t used;                 /* when, for the choice of a victim */
    struct waiting waiting;
    struct transfer transfer;
};

struct cache {
    struct table *tables;
    uint32_t count;
    uint64_t clock;
};

struct freed {
    uint64_t cluster;
    uint32_t single; /* its count is known to be 1 */
};

/* One request of the guest: the flight's data. */
struct request {
    struct image *image;
    struct bp_block_flight *flight; /* NULL: the image's own */
    struct bp_block_lane *lane;
    struct request *next; /* in a waiting list */
    struct request *next_allocating;
    void (*step)(struct request *request);
    int32_t error; /* of what was waited for */
    uint64_t done, piece;
    struct table *table;
    uint64_t index;        /* of the first entry in table */
    uint64_t guest, count; /* clusters, while allocating */
    uint64_t host;         /* where they go */
    uint64_t old;          /* entry of the cluster that is copied */
    uint32_t buffer;       /* number + 1; 0: none */
    uint32_t generation;
    uint32_t pinned;
    uint32_t zeroes; /* the data is zeroes, not the guest's */
    uint32_t allocates;
    struct transfer transfer;
    struct bp_iovec iov[MAX_IOV];
};

struct image {
    struct bp_services services;
    struct bp_block_stack stack;
    const struct bp_node *options;
    struct header header;
    uint32_t cluster_bits, l2_bits, count_bits; /* of entries in an L2 table, in a refcount block */
    uint64_t cluster_size;
    uint64_t size; /* of the disk; a snapshot may have its own */
    uint32_t readonly, broken, closing;
    uint32_t is_open;
    uint64_t backing_size; /* 0: no backing disk */
    uint64_t file_size;    /* what the file below offers, bytes */
    uint64_t most;         /* bytes in one request below */
    uint64_t max_discard;  /* of the file, bytes; 0: it cannot */

    uint64_t *layout; /* layout.c: clusters of tables when the image was opened, ascending */
    uint64_t layout_count;
    uint64_t *l1;
    uint32_t l1_size;
    uint64_t l1_dirty_from, l1_dirty_to; /* entries */
    uint64_t *reftable;
    uint64_t reftable_size; /* entries */

    struct cache tables, refs;
    struct waiting cache_waiting; /* for a place in the cache */

    uint8_t *buffers[MAX_BUFFERS], *zeroes, *bounce, *sector;
    uint32_t buffer_count, buffers_used; /* bit n: buffer n */
    struct waiting buffer_waiting;
    void *inflate; /* z_stream */
    void *zstd;

    /* refcount.c */
    uint64_t next;                   /* first cluster that was never used */
    uint64_t limit;                  /* clusters the file can have */
    uint64_t zero_from;              /* clusters from here on read as zeroes until written, */
    uint64_t fresh_from;             /* and from here on were not handed out yet */
    uint32_t took_fresh;             /* what clusters_take() gave last is both */
    uint64_t supply, supply_end;     /* counted already, not in use */
    uint64_t recycled[MAX_RECYCLED]; /* likewise */
    uint32_t recycled_count;
    uint32_t counting; /* someone changes counts */
    struct waiting supply_waiting;
    struct request count_request;
    struct table *count_table;
    struct transfer count_transfer;
    uint64_t count_end; /* of the supply that is being counted */

    /* checkpoint.c */
    struct freed frees[MAX_FREES], freeing[MAX_FREES];
    uint32_t free_count, freeing_count, freeing_at;
    uint32_t generation, pins[2], pins_awaited;
    uint32_t syncing, holding;
    uint32_t sync_at, sync_status_set;
    int32_t sync_status;
    struct request sync_request;
    struct transfer sync_transfer;
    struct table *sync_table;
    struct waiting sync_waiting, sync_next, held;

    struct bp_block_sync sync;
    uint8_t *sync_data;   /* SYNC_BYTES */
    uint32_t table_moves; /* the refcount table is about to move: do not write entries of it */

    struct request *allocating; /* those between allocation and the L2 table */
    struct waiting allocation_waiting;
};

/* sync.c: what the control thread does by itself, while nothing runs. */
int32_t sync_begin(struct image *image) BP_MUST_CHECK;
void sync_end(struct image *image);
int32_t sync_read(struct image *image, uint64_t offset, void *data, uint64_t length) BP_MUST_CHECK;
int32_t sync_write(struct image *image, uint64_t offset, const void *data,
                   uint64_t length) BP_MUST_CHECK;
int32_t sync_flush(struct image *image) BP_MUST_CHECK;
/* Changes bytes of the header. */
int32_t sync_header(struct image *image, uint32_t at, const void *data,
                    uint32_t length) BP_MUST_CHECK;
/* Adjoining clusters, counted. -ENOSPC: there is no room, or they would not adjoin. */
int32_t sync_take(struct image *image, uint64_t count, uint64_t *ret_cluster) BP_MUST_CHECK;
int32_t sync_lower(struct image *image, uint64_t cluster, uint64_t count) BP_MUST_CHECK;

/* image.c: opening and closing. [control] */
int32_t image_open(struct image *image) BP_MUST_CHECK;
void image_close(struct image *image);
void image_free(struct image *image);
/* Explains why the image cannot be used; returns code. */
int32_t image_refuse(struct image *image, int32_t code, const char *why);
/* A checkpoint, through a queue of our own. */
int32_t image_flush(struct image *image) BP_MUST_CHECK;
/* layout.c. Finds out where the tables lie. *ret_damage, for -EINVAL: what is wrong. */
int32_t layout_check(struct image *image, const char **ret_damage) BP_MUST_CHECK;
/* Whether one of these clusters was a table's when the image was opened. */
uint32_t layout_has(const struct image *image, uint64_t cluster, uint64_t count);
/* snapshot.c */
struct snapshot {
    uint64_t l1_offset, size;
    uint32_t l1_size;
};
/* Reads the entry at *offset; moves on. Returns 1 if it is the one wanted, by id or name. */
int32_t snapshot_read(struct image *image, uint64_t *offset, const char *wanted,
                      struct snapshot *snapshot) BP_MUST_CHECK;
/* Has the image show the disk of a snapshot, read-only. */
int32_t snapshot_use(struct image *image, const char *wanted) BP_MUST_CHECK;
/* grow.c. Makes the file and the refcount table large enough for a disk of this size. */
int32_t image_make_room(struct image *image, uint64_t size) BP_MUST_CHECK;
int32_t image_resize(struct image *image, uint64_t size) BP_MUST_CHECK;

/* wait.c */
void waiting_init(struct waiting *waiting);
void wait_for(struct waiting *waiting, struct request *request,
              void (*step)(struct request *request));
/* Repeats the steps of everyone who waits; error 0: it may work now. */
void wake_all(struct waiting *waiting, int32_t error);
void wake_one(struct waiting *waiting);
void transfer_start(struct transfer *transfer, struct bp_block_lane *lane, uint32_t op,
                    uint64_t offset, uint8_t *data, uint64_t length);
/* Number + 1 of a buffer of one cluster, or 0: wait for buffer_waiting. */
uint32_t buffer_get(struct image *image);
void buffer_put(struct image *image, uint32_t buffer);
/* The image is inconsistent: from now on nothing is written. Returns -EIO. */
int32_t image_broken(struct image *image, const char *what, uint64_t value);

/* cache.c */
int32_t cache_init(struct image *image, struct cache *cache, uint32_t count,
                   uint32_t arena_id) BP_MUST_CHECK;
void cache_done(struct cache *cache);
/* Pins the table at an offset; NULL: the request waits, and repeats `step`. */
struct table *cache_get(struct image *image, struct cache *cache, uint64_t offset,
                        struct request *request, void (*step)(struct request *request));
struct table *cache_find(struct cache *cache, uint64_t offset);
/* Pins an empty place for a new table; NULL: none is free now. */
struct table *cache_new(struct image *image, struct cache *cache, uint64_t offset);
void cache_put(struct image *image, struct table *table);
void cache_forget(struct cache *cache, uint64_t offset);
void table_dirty(struct table *table, uint64_t from, uint64_t to);

/* refcount.c */
uint64_t count_get(const struct image *image, const uint8_t *block, uint64_t index);
void count_put(const struct image *image, uint8_t *block, uint64_t index, uint64_t value);
/* Takes up to `count` adjoining clusters from the supply. Returns how many; 0: the request waits,
 * and repeats `step`, or fails with *ret_error. */
uint64_t clusters_take(struct request *request, uint64_t count,
                       void (*step)(struct request *request), uint64_t *ret_cluster,
                       int32_t *ret_error);
/* Gives back what was taken and never referred to. */
void clusters_return(struct image *image, uint64_t cluster, uint64_t count);
/* Takes down the counts of image->freeing; then checkpoint_freed(). */
void counts_lower(struct image *image);

/* checkpoint.c */
/* The request's step is repeated after a checkpoint that began after this call. */
void checkpoint_wait(struct request *request, void (*step)(struct request *request));
void checkpoint_freed(struct image *image, int32_t status);
void pin_data(struct request *request);
void unpin_data(struct request *request);
/* An entry is not referred to any more. There is room for 4 * clusters more: see frees_room(). */
void free_entry(struct image *image, uint64_t entry);
void free_cluster(struct image *image, uint64_t cluster, uint32_t single);
uint32_t frees_room(const struct image *image);

/* map.c */
uint32_t entry_is_compressed(uint64_t entry);
/* Offset and bytes of a compressed cluster's data. */
void entry_packed(const struct image *image, uint64_t entry, uint64_t *offset, uint64_t *length);
/* What an entry stands for: */
#define IS_NOTHING 0u /* the backing disk, or zeroes */
#define IS_ZERO    1u
#define IS_DATA    2u
#define IS_PACKED  3u
uint32_t entry_kind(const struct image *image, uint64_t entry);
/* Likewise the guest's place, whose L2 table is `table`; *ret_entry: its cluster's. Extended L2
 * entries tell of each 32nd part of a cluster. */
uint32_t place_kind(const struct image *image, const struct table *table, uint64_t place,
                    uint64_t *ret_entry);
/* Bytes that are of one kind: a cluster, or a part of one. */
uint64_t place_granule(const struct image *image);
/* Whether an entry's clusters are possible: 0, or -EIO and the image is broken. */
int32_t entry_check(struct image *image, uint64_t entry) BP_MUST_CHECK;
int32_t offset_check(struct image *image, uint64_t offset, uint64_t length) BP_MUST_CHECK;
/* Likewise, whole clusters of data: no table's. */
int32_t data_check(struct image *image, uint64_t offset, uint64_t length) BP_MUST_CHECK;
/* Pins the L2 table of the guest's place, ready to be changed; NULL: the request waits and repeats
 * `step`, or *ret_error is set. */
struct table *map_for_write(struct request *request, uint64_t place,
                            void (*step)(struct request *request), int32_t *ret_error);

/* requests.c */
void qcow2_start(struct bp_block_flight *flight);
/* read.c */
void read_step(struct request *request);
/* Fills a buffer with a cluster as the guest sees it by `entry`; then `step`, error set. */
void cluster_load(struct request *request, uint64_t guest_cluster, uint64_t entry,
                  void (*step)(struct request *request));
/* write.c */
void write_step(struct request *request);
void zero_step(struct request *request);
void request_end(struct request *request, int32_t status, uint32_t flags);

/* packed.c */
int32_t packed_init(struct image *image) BP_MUST_CHECK;
void packed_done(struct image *image);
/* Unpacks one cluster. -EIO: the data is damaged. */
int32_t packed_inflate(struct image *image, const uint8_t *data, uint64_t length,
                       uint8_t *out) BP_MUST_CHECK;

#endif
