/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk: a disk on the virtio transport. Reference: Virtual I/O Device 1.2, 5.2, and its
 * legacy sections.
 *
 * A request is carried out as a sequence of steps, one request of the backend each: pieces of a
 * transfer that is larger than the backend takes, ranges of a discard, a flush behind a write that
 * must be stable. What a request has reached is in struct blk_request, which lives in its chain; a
 * request that the error policy holds starts again from its chain.
 *
 * Each queue has a queue of the backend on the same loop. Registers: the instance's lock
 * (PER_QUEUE). Requests: their queue's lock. */
#pragma once

#include <backplane/sdk/sdk.h>
#include <backplane/sdk/virtio.h>

#include <stdatomic.h>

#define BLK_SECTOR     512u
#define BLK_ID_BYTES   20u
#define BLK_MAX_QUEUES 64u
#define BLK_BATCH      64u /* requests in one submit() */

/* Features (5.2.3). */
#define BLK_F_SIZE_MAX     (UINT64_C(1) << 1)
#define BLK_F_SEG_MAX      (UINT64_C(1) << 2)
#define BLK_F_GEOMETRY     (UINT64_C(1) << 4)
#define BLK_F_RO           (UINT64_C(1) << 5)
#define BLK_F_BLK_SIZE     (UINT64_C(1) << 6)
#define BLK_F_FLUSH        (UINT64_C(1) << 9) /* WCE for drivers of 0.9.5 */
#define BLK_F_TOPOLOGY     (UINT64_C(1) << 10)
#define BLK_F_CONFIG_WCE   (UINT64_C(1) << 11)
#define BLK_F_MQ           (UINT64_C(1) << 12)
#define BLK_F_DISCARD      (UINT64_C(1) << 13)
#define BLK_F_WRITE_ZEROES (UINT64_C(1) << 14)
#define BLK_F_LIFETIME     (UINT64_C(1) << 15)
#define BLK_F_SECURE_ERASE (UINT64_C(1) << 16)

/* Configuration space (5.2.4). */
#define BLK_CFG_CAPACITY      0u
#define BLK_CFG_SIZE_MAX      8u
#define BLK_CFG_SEG_MAX       12u
#define BLK_CFG_CYLINDERS     16u
#define BLK_CFG_HEADS         18u
#define BLK_CFG_SECTORS       19u
#define BLK_CFG_BLK_SIZE      20u
#define BLK_CFG_PHYSICAL_EXP  24u
#define BLK_CFG_ALIGNMENT     25u
#define BLK_CFG_MIN_IO        26u
#define BLK_CFG_OPT_IO        28u
#define BLK_CFG_WRITEBACK     32u
#define BLK_CFG_NUM_QUEUES    34u
#define BLK_CFG_DISCARD_MAX   36u
#define BLK_CFG_DISCARD_SEG   40u
#define BLK_CFG_DISCARD_ALIGN 44u
#define BLK_CFG_ZEROES_MAX    48u
#define BLK_CFG_ZEROES_SEG    52u
#define BLK_CFG_ZEROES_UNMAP  56u
#define BLK_CFG_ERASE_MAX     60u
#define BLK_CFG_ERASE_SEG     64u
#define BLK_CFG_ERASE_ALIGN   68u
#define BLK_CFG_BYTES         72u

/* Types of requests (5.2.6). */
#define BLK_T_IN           0u
#define BLK_T_OUT          1u
#define BLK_T_FLUSH        4u
#define BLK_T_GET_ID       8u
#define BLK_T_GET_LIFETIME 10u
#define BLK_T_DISCARD      11u
#define BLK_T_WRITE_ZEROES 13u
#define BLK_T_SECURE_ERASE 14u

#define BLK_S_OK     0u
#define BLK_S_IOERR  1u
#define BLK_S_UNSUPP 2u

#define BLK_HEADER_BYTES   16u
#define BLK_RANGE_BYTES    16u /* of a discard, write-zeroes or erase */
#define BLK_RANGE_UNMAP    1u
#define BLK_MAX_RANGES     16u
#define BLK_ZEROES_BYTES   65536u
#define BLK_LIFETIME_BYTES 6u

struct blk_options {
    char serial[BLK_ID_BYTES + 1];
    uint32_t queues;
    uint32_t logical_size;  /* bytes */
    uint32_t physical_size; /* bytes; 0: the backend's */
    uint32_t min_io_size;   /* bytes; 0: the physical block */
    uint32_t opt_io_size;   /* bytes; 0: the backend's */
    uint32_t seg_max;       /* 0: what queue and backend can do */
    uint32_t size_max;      /* bytes of a segment; 0: no limit is told */
    uint32_t cylinders;     /* 0: from the capacity */
    uint32_t heads;
    uint32_t sectors;
    struct bp_on_error on_error;
    uint8_t readonly;
    uint8_t write_cache;
    uint8_t config_wce;
    uint8_t discard;
    uint8_t write_zeroes;
    uint8_t secure_erase;
};

/* One request's progress; in its chain. */
struct blk_request {
    struct bp_virtio_chain *chain;
    uint32_t type;        /* BLK_T_... */
    uint32_t op;          /* of the step in flight */
    uint64_t sector;      /* IN, OUT: where it starts */
    uint64_t offset;      /* bytes, of the step in flight */
    uint64_t length;      /* bytes, of the step in flight */
    uint64_t end;         /* bytes: where the transfer or the range ends */
    uint64_t data_bytes;  /* of IN */
    struct bp_iovec *iov; /* data that is left */
    uint32_t iov_count;
    uint32_t step_iov;      /* pieces of the step in flight */
    uint64_t cut;           /* bytes of the step's last piece that are the next step's */
    struct bp_iovec erase;  /* the last piece of an erased range */
    uint32_t range, ranges; /* DISCARD, WRITE_ZEROES, SECURE_ERASE */
    uint32_t range_flags;
    uint8_t *status; /* the last byte to write */
    uint8_t stable;  /* on stable storage at its end */
    uint8_t flushed; /* the step in flight is the flush behind it */
};

struct blk_queue {
    struct blk *blk;
    struct bp_virtqueue *ring;
    void *backend; /* the backend's queue */
    uint32_t batched;
    struct bp_block_request batch[BLK_BATCH];
};

struct blk {
    struct bp_services host;
    const char *id;
    struct blk_options options;
    struct bp_virtio *virtio;
    const struct bp_block_ops *ops; /* the backend */
    void *self;
    char backend[64];
    uint32_t max_iov;
    uint64_t max_transfer; /* bytes */
    uint64_t max_discard;  /* bytes */
    uint64_t max_zeroes;   /* bytes */
    uint32_t info_flags;   /* BP_BLOCK_... */
    uint32_t physical_size;
    uint32_t opt_io_size;
    uint32_t discard_granularity;
    uint32_t logical_size; /* bytes: of a block as the guest sees it */
    uint8_t readonly;
    uint8_t realized;           /* the guest may know what the disk is like */
    _Atomic(uint8_t) writeback; /* the guest's writes may be */
    uint8_t config_writeback;   /* as configuration space has it */
    _Atomic(uint64_t) capacity; /* sectors */
    uint8_t *zeroes;            /* arena, BLK_ZEROES_BYTES; for SECURE_ERASE */
    struct bp_iovec *zero_iov;  /* max_iov times zeroes */
    struct blk_queue queues[BLK_MAX_QUEUES];
};

/* --- blk_request.c -----------------------------------------------------------------------------
 */

/* bp_virtio_ops. */
void blk_run(void *device, struct bp_virtqueue *ring);
void blk_retry(void *device, struct bp_virtqueue *ring);
/* bp_block_client.complete. */
void blk_complete(void *opaque, const struct bp_block_completion *completions, uint32_t count);

/* --- blk_step.c --------------------------------------------------------------------------------
 */

/* The status is still to come: blk_begin() lets the request go on. */
#define BLK_S_GO_ON 0x100u
/* The chain is no request; the device is broken. */
#define BLK_S_BROKEN 0x101u

/* Reads and checks a chain. Returns BLK_S_... */
uint32_t blk_begin(struct blk *blk, struct blk_request *request);
/* Makes the next step. Returns BLK_S_GO_ON: it is in *step; BLK_S_OK: none is left; or how the
 * request ends. */
uint32_t blk_next_step(struct blk *blk, struct blk_request *request, struct bp_block_request *step);
/* The step in flight is done. */
void blk_step_done(struct blk_request *request);
/* What of the data has not been read becomes zeroes. */
void blk_zero_rest(struct blk_request *request);

/* --- blk_config.c ------------------------------------------------------------------------------
 */

/* Asks the backend what it is like. 0, -ENOMEDIUM, -EINVAL: cannot be a disk. */
int32_t blk_learn(struct blk *blk) BP_MUST_CHECK;
/* The same for another backend under a guest that knows the disk: -EINVAL: blocks of another size.
 * -EROFS: it cannot be written any more. A capacity that differs is told. */
int32_t blk_learn_again(struct blk *blk);
/* Features and configuration space, at realize(). */
void blk_describe(struct blk *blk);
/* bp_block_client.event. */
void blk_event(void *opaque, uint32_t event);
/* bp_virtio_ops. */
int32_t blk_features(void *device, uint64_t features);
void blk_config_write(void *device, uint32_t offset, uint32_t width, uint64_t value);
void blk_reset_config(void *device);
/* The writeback field of configuration space. */
void blk_put_writeback(struct blk *blk, uint8_t writeback);

/* --- blk_state.c -------------------------------------------------------------------------------
 */

struct blk_saved {
    uint8_t writeback;
    uint8_t config_writeback;
};

extern const struct bp_state_ops blk_state;

/* --- blk_options.c -----------------------------------------------------------------------------
 */

extern const struct bp_prop blk_props[];

int32_t blk_options_read(struct blk *blk, const struct bp_node *options) BP_MUST_CHECK;
