/* SPDX-License-Identifier: Apache-2.0 */
/* The fake core from the inside. Each module owns one list of the host and drops what belongs to an
 * instance when that goes. All of it runs on the control thread, except what threads of the plugin
 * call: that is guarded by `lock`, which is never held while the plugin is called. */
#ifndef TESTHOST_TH_H
#define TESTHOST_TH_H

#include <backplane/testhost.h>

#include <pthread.h>
#include <stdio.h>

#define TH_TEXT_MAX     512
#define TH_FUTURE_BYTES 64 /* what a later core appends to each table */

/* What kind of callback the control thread is in. */
enum th_context { TH_IN_CONTROL, TH_IN_VCPU, TH_IN_LOOP };

/* Checks of th_call(). */
#define TH_CONTROL (1u << 0) /* tagged [control] */
#define TH_FAILS   (1u << 1) /* counts as a call that can fail */

struct th_slot_use {
    uint32_t slot;
    uint32_t use;
    char *backend; /* id */
    uint32_t attached;
    struct th_slot_use *next;
};

struct th_pci;

struct bp_instance {
    struct th_host *th;
    struct bp_instance *next;
    const struct bp_plugin *plugin;
    struct bp_class class; /* a copy of today's size */
    char *id;
    struct bp_node *config;
    struct th_slot_use *uses;
    void *self;
    struct bp_life_ops life;
    uint32_t loop;
    uint32_t has_life, realized, started, destroyed, failed;
    uint32_t quiesce_pending;
    int32_t quiesce_status;
    struct th_pci *pci;
    struct bp_host host;
};

/* What a slot can be filled with, beside instances. */
struct th_backend {
    struct th_backend *next;
    const char *id;
    const char *interface_id;
    const void *table;
    void *self;
    int (*run)(void *self); /* does what is due; returns non-zero if it did something */
    void (*free)(void *self);
    int (*busy)(void *self); /* a consumer is connected */
};

struct th_region;
struct th_line_source;
struct th_doorbell;
struct th_timer;
struct th_fd;
struct th_event_fd;
struct th_deferred;
struct th_thread;
struct th_arena_piece;
struct th_log_line;
struct th_core_item;

struct th_dma_channel {
    struct bp_instance *owner;
    void (*ready)(void *opaque);
    void *opaque;
    uint32_t direction, masked, autoinit, dreq, ready_due;
    uint64_t gpa, base_gpa;
    uint32_t remaining, base_length;
};

struct th_future {
    struct th_future *next;
    const void *original;
    uint8_t copy[] __attribute__((aligned(8)));
};

struct th_host {
    pthread_mutex_t lock; /* protects: lists and counters that [any] functions touch */
    pthread_t control;
    enum th_context context;
    uint32_t loops;
    uint32_t violations;
    char last_violation[TH_TEXT_MAX];
    uint32_t calls, fail_in, fail_hit;
    int32_t fail_error;
    int32_t status;
    char error_text[TH_TEXT_MAX];
    const char *hidden[16];
    uint32_t hidden_count;
    int verbose;
    int is_future; /* play a core of a later release: see th_future_table() */
    struct th_future *future;

    struct bp_instance *instances; /* newest first; destroyed ones stay until th_free */
    struct th_backend *backends;

    uint8_t *ram[2];
    struct bp_ram_range ranges[2];
    struct bp_ram_view view;
    struct th_arena_piece *arena;

    struct th_region *regions;
    struct th_doorbell *doorbells;
    struct th_line_source *lines;
    struct th_irq_event *irq_log;
    uint32_t irq_log_count, irq_log_room;
    struct th_dma_channel dma[8];
    uint32_t next_devfn;
    uint32_t next_io;
    uint64_t next_mem;

    uint64_t now;
    struct th_timer *timers;
    uint64_t timer_sequence;
    struct th_fd *fds;
    struct th_event_fd *events;
    struct th_deferred *deferred;
    struct th_thread *threads;
    int wake_fd;

    struct th_log_line *log;
    struct th_core_item *items; /* events, firmware files, boot paths, ISA resources */
    uint32_t request;
    uint8_t cmos[128];
};

/* host.c */
void *th_alloc(uint64_t length); /* zeroed; aborts when out of memory */
char *th_strdup(const char *text);
void th_violate(struct th_host *th, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Start of every host call: returns 0, or the injected error, or -EINVAL after a violation. */
int32_t th_call(struct bp_instance *instance, const char *what, uint32_t checks);
/* Copies an argument struct by the ABI's size rule: 0, -EINVAL or -E2BIG. */
int32_t th_copy_args(struct bp_instance *instance, const char *what, void *to, uint32_t to_size,
                     const void *from, uint32_t from_size);
/* Copies a table by the ABI's size rule: unknown members are not looked at. */
void th_copy_table(void *to, uint32_t to_size, const void *from);
const void *th_future_table(struct th_host *th, const void *table);
int32_t th_check_loop(struct bp_instance *instance, const char *what, uint32_t loop);
const void *th_query(struct bp_instance *instance, const char *interface_id);
struct bp_instance *th_find_instance(struct th_host *th, const char *id);
struct th_backend *th_find_backend(struct th_host *th, const char *id);
void th_add_backend(struct th_host *th, const struct th_backend *backend);
/* The context a callback runs in. */
enum th_context th_enter(struct th_host *th, enum th_context context);
void th_leave(struct th_host *th, enum th_context before);
void th_wake(struct th_host *th);

/* config.c: NULL and *error on a bad description; uses: slot uses in order. */
struct bp_node *th_config_new(struct th_host *th, const struct bp_class *class, const char *options,
                              struct th_slot_use **uses, char *error, size_t error_size);
struct bp_node *th_config_value(const struct bp_prop *prop, const char *value, char *error,
                                size_t error_size);
void th_config_free(struct bp_node *node);
uint32_t th_config_loop(const struct bp_node *node);
uint32_t th_config_devfn(const struct bp_node *node); /* option "address"; UINT32_MAX: none */
extern const struct bp_config_host th_config_table;

/* one table and one drop for each service */
extern const struct bp_log_host th_log_table;
extern const struct bp_memory_host th_memory_table;
extern const struct bp_region_host th_region_table;
extern const struct bp_irq_host th_irq_table;
extern const struct bp_pci_host th_pci_table;
extern const struct bp_msi_host th_msi_table;
extern const struct bp_msix_host th_msix_table;
extern const struct bp_isadma_host th_isadma_table;
extern const struct bp_timer_host th_timer_table;
extern const struct bp_loop_host th_loop_table;
extern const struct bp_core_host th_core_table;
extern const struct bp_media_host th_media_table;

void th_region_drop(struct bp_instance *instance);
void th_irq_drop(struct bp_instance *instance);
void th_irq_reset(struct bp_instance *instance);
void th_pci_drop(struct bp_instance *instance);
void th_pci_reset(struct bp_instance *instance);
void th_dma_drop(struct bp_instance *instance);
void th_timer_drop(struct bp_instance *instance);
void th_loop_drop(struct bp_instance *instance);
void th_threads_stop(struct bp_instance *instance);
void th_arena_drop(struct bp_instance *instance);
void th_core_drop(struct bp_instance *instance);

void th_memory_init(struct th_host *th);
void th_memory_done(struct th_host *th);
void th_log_done(struct th_host *th);
/* A buffer for a backend lies in guest RAM or in the arena (rule D1). */
int th_is_shareable(struct th_host *th, const void *data, uint64_t length);

/* One access through regions; nobody: all ones, lost. */
uint64_t th_space_read(struct th_host *th, uint32_t space, uint64_t address, uint32_t width);
void th_space_write(struct th_host *th, uint32_t space, uint64_t address, uint32_t width,
                    uint64_t value);
/* Base of a BAR's region in its space, UINT64_MAX if not decoded; *is_io tells which space. */
uint64_t th_pci_bar_base(const struct bp_instance *instance, uint32_t bar, uint32_t *is_io);
uint64_t th_pci_bar_size(const struct bp_instance *instance, uint32_t bar);
/* The MSI-X table and pending bits answer first. Returns non-zero if they did. */
int th_msix_access(struct th_host *th, uint64_t address, uint32_t width, uint32_t is_write,
                   uint64_t *value);
uint32_t th_pci_devfn(const struct bp_instance *instance);
uint32_t th_pci_pin(const struct bp_instance *instance);
int th_msix_run(struct th_host *th); /* vectors fired by their eventfd */

void th_irq_record(struct th_host *th, struct bp_instance *instance, uint32_t kind, uint32_t number,
                   uint32_t level);
int th_irq_run(struct th_host *th);
int th_doorbell_run(struct th_host *th);
int th_dma_run(struct th_host *th);
int th_timer_run(struct th_host *th); /* one that is due */
int th_loop_run(struct th_host *th, int timeout_ms);

#endif
