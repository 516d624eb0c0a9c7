/* SPDX-License-Identifier: Apache-2.0 */
/* A fake core for the tests of one plugin: every host service, deterministic, without a guest.
 *
 *   struct th_host *th = th_new();
 *   struct th_char *tty = th_char_new(th, "tty");
 *   struct bp_instance *com1 = th_plug(th, &backplane_plugin_v1, "com1", "backend = \"tty\";");
 *   th_out(th, 0x3f8, 1, 'A');
 *   assert_int_equal(th_char_output(tty, &bytes), 1);
 *   th_free(th);
 *
 * The plugin's objects are linked into the test, so its descriptor is just a symbol. Options are
 * libconfig text, checked against the class's schema, with defaults filled in.
 *
 * Everything happens on the calling thread. Deferred calls, descriptors, doorbells, completions of
 * the fake backends and timers run inside th_run(), th_run_until() and th_clock_step() and nowhere
 * else; only threads that the plugin starts with loop.thread_start are real.
 *
 * The host watches its guest: a call with an id that was never made, an id made twice, a callback
 * after destroy(), a [control] function called from a vCPU's access, a buffer handed to a backend
 * that is neither guest RAM nor arena, a request that completes twice ... is a violation of the
 * contract. It is printed when it happens, and th_free() aborts the test unless
 * th_take_violations() took it.
 *
 * This library is not ABI. */
#ifndef BACKPLANE_TESTHOST_H
#define BACKPLANE_TESTHOST_H

#include <backplane/backplane.h>

#ifdef __cplusplus
extern "C" {
#endif

struct th_host;

/* --- the host -------------------------------------------------------------------------------- */

#define TH_LOW_RAM_BYTES  (16u << 20) /* at 0 */
#define TH_HIGH_RAM_BYTES (4u << 20)  /* at 4 GiB */
#define TH_HIGH_RAM_GPA   (UINT64_C(1) << 32)

/* A host with 20 MiB of RAM in two ranges, one loop, the clocks at 0 (wall: 2026-01-01), stopped.
 * Aborts when memory is out. */
struct th_host *th_new(void);
/* Destroys what is left of instances (newest first) and everything else. */
void th_free(struct th_host *th);
/* Number of loops, before the first instance; 1 by default. */
void th_set_loops(struct th_host *th, uint32_t count);
/* Number of violations so far; the last one's text stays available until the next th_free(). */
uint32_t th_take_violations(struct th_host *th);
const char *th_last_violation(const struct th_host *th);

/* --- fault injection ------------------------------------------------------------------------- */

/* Makes the n-th host call from now on (n = 1: the next) that can fail, fail with -error and do
 * nothing. Calls of attached fake backends count (connect, queue_open). n = 0: none. */
void th_fail_call(struct th_host *th, uint32_t n, int32_t error);
/* Host calls that can fail, so far; and whether the scripted one came. */
uint32_t th_call_count(const struct th_host *th);
int th_call_failed(const struct th_host *th);
/* Makes host->query(id) return NULL for instances to come. */
void th_hide_service(struct th_host *th, const char *interface_id);

/* Plugs an instance with the n-th host call failing (-ENOMEM), for n = 1, 2, 3 ... until none of
 * its calls fails any more; each time on a fresh host that setup(th, opaque) prepares (NULL:
 * nothing to prepare). Checks that an object that failed left nothing: no descriptor, no thread, no
 * memory (heap growth that repeats). Returns the number of calls that were failed; aborts on a
 * leak. */
uint32_t th_fail_each_call(const struct bp_plugin *plugin, const char *class_name,
                           const char *options, void (*setup)(struct th_host *th, void *opaque),
                           void *opaque);

/* --- instances ------------------------------------------------------------------------------- */

/* The whole way: th_create, attach of every backend its options name, realize, reset(POWER_ON),
 * start. class_name NULL in the short form: the plugin's first class. Returns NULL on failure:
 * th_status() and th_error_text() say why. */
struct bp_instance *th_plug(struct th_host *th, const struct bp_plugin *plugin, const char *id,
                            const char *options);
struct bp_instance *th_plug_class(struct th_host *th, const struct bp_plugin *plugin,
                                  const char *class_name, const char *id, const char *options);
/* Only create(); then the steps of life one by one. NULL or negative: failed, the instance is gone
 * after th_create(), still there after the others. */
struct bp_instance *th_create(struct th_host *th, const struct bp_plugin *plugin,
                              const char *class_name, const char *id, const char *options);
int32_t th_attach_all(struct bp_instance *instance);
int32_t th_realize(struct bp_instance *instance);
void th_start(struct bp_instance *instance);
void th_stop(struct bp_instance *instance);
void th_reset(struct bp_instance *instance, uint32_t kind);
/* Waits for life.quiesce up to five seconds of real time. 0 or the status it ended with. */
int32_t th_quiesce(struct bp_instance *instance);
void th_resume(struct bp_instance *instance);
/* One use of a slot by number, for hot-plug. backend: id of a fake backend or of an instance. */
int32_t th_attach(struct bp_instance *instance, uint32_t slot, uint32_t use, const char *backend);
void th_detach(struct bp_instance *instance, uint32_t slot, uint32_t use);
/* life.set with a value in libconfig's notation: th_set(i, "rate", "100"). */
int32_t th_set(struct bp_instance *instance, const char *name, const char *value);
/* life.unplug_request, or -EOPNOTSUPP. */
int32_t th_unplug_request(struct bp_instance *instance);
/* stop, detach, destroy; the handle is gone. */
void th_destroy(struct bp_instance *instance);

void *th_self(struct bp_instance *instance);
/* The plugin's table of an interface, as the class's query() gives it; NULL if it has none. */
const void *th_table(struct bp_instance *instance, const char *interface_id);
/* Of the last th_create, th_plug, th_realize, th_attach: the result, and log.error's text ("" if
 * none). */
int32_t th_status(const struct th_host *th);
const char *th_error_text(const struct th_host *th);

/* --- drives ---------------------------------------------------------------------------------- */

/* What the operators of a core do with drives of a device that provides bp.media/1; a medium is
 * changed with th_attach() and th_detach(). What media_host.tray_moved tells is an event
 * (th_event): DEVICE_TRAY_MOVED with {"id", "drive", "tray-open"}. -EOPNOTSUPP: no such table or
 * member. */
int32_t th_drive(struct bp_instance *instance, uint32_t index, struct bp_media_drive *drive);
int32_t th_tray_open(struct bp_instance *instance, uint32_t index, uint32_t flags);
int32_t th_tray_close(struct bp_instance *instance, uint32_t index);

/* --- state ----------------------------------------------------------------------------------- */

/* Saves an instance's state. *data: malloc'ed, the caller frees. Returns 0 or what save returned;
 * -EOPNOTSUPP: no bp.state/1. */
int32_t th_save(struct bp_instance *instance, uint8_t **data, uint64_t *length);
int32_t th_validate(struct bp_instance *instance, const void *data, uint64_t length);
/* validate, restore and after_restore. */
int32_t th_restore(struct bp_instance *instance, const void *data, uint64_t length);

/* --- guest accesses -------------------------------------------------------------------------- */

/* width: 1, 2 or 4. Split and joined by the core's rules; nobody there: all ones. */
uint64_t th_in(struct th_host *th, uint16_t port, uint32_t width);
void th_out(struct th_host *th, uint16_t port, uint32_t width, uint32_t value);
/* REP INS, REP OUTS of count values, little endian. */
void th_ins(struct th_host *th, uint16_t port, uint32_t width, uint32_t count, void *data);
void th_outs(struct th_host *th, uint16_t port, uint32_t width, uint32_t count, const void *data);
/* Guest-physical: RAM, MMIO regions and BARs. width: 1, 2, 4 or 8. */
uint64_t th_read(struct th_host *th, uint64_t gpa, uint32_t width);
void th_write(struct th_host *th, uint64_t gpa, uint32_t width, uint64_t value);
/* Address of guest RAM in this process; aborts if [gpa, gpa + length) is not in one range. */
void *th_ram(struct th_host *th, uint64_t gpa, uint64_t length);
/* Whether a region covers a port, a guest-physical address. */
int th_port_claimed(struct th_host *th, uint16_t port);

/* --- interrupts ------------------------------------------------------------------------------ */

/* One change of one line, or one message. */
struct th_irq_event {
    uint32_t kind;   /* BP_IRQ_ISA, _INTX, _GSI, TH_IRQ_MSI, TH_IRQ_MSIX */
    uint32_t number; /* IRQ, GSI; INTX: the function's devfn; MSI, MSI-X: vector */
    uint32_t level;  /* 0 or 1; messages: 1 */
    const struct bp_instance *instance;
};
#define TH_IRQ_MSI  16u
#define TH_IRQ_MSIX 17u

/* Wired-OR level of an ISA IRQ or GSI (same numbers 0..15). */
uint32_t th_irq_level(struct th_host *th, uint32_t gsi);
/* Level of the function's INTx pin. */
uint32_t th_intx_level(struct bp_instance *instance);
/* Changes since the last clear, oldest first. */
const struct th_irq_event *th_irq_log(struct th_host *th, uint32_t *count);
void th_irq_log_clear(struct th_host *th);
/* The guest ended the interrupt: resample is called for its sources (inside th_run()). */
void th_irq_eoi(struct th_host *th, uint32_t gsi);

/* --- PCI ------------------------------------------------------------------------------------- */

uint32_t th_pci_read(struct bp_instance *instance, uint32_t offset, uint32_t width);
void th_pci_write(struct bp_instance *instance, uint32_t offset, uint32_t width, uint32_t value);
/* What firmware does: gives each BAR an address of its own and sets I/O, memory and bus master. */
void th_pci_place(struct bp_instance *instance);
/* Where a BAR is, UINT64_MAX if it is not decoded. */
uint64_t th_bar_address(struct bp_instance *instance, uint32_t bar);
/* Accesses by BAR and offset; a BAR that is not decoded reads as all ones. */
uint64_t th_bar_read(struct bp_instance *instance, uint32_t bar, uint64_t offset, uint32_t width);
void th_bar_write(struct bp_instance *instance, uint32_t bar, uint64_t offset, uint32_t width,
                  uint64_t value);
/* Offset of a capability, 0 if there is none. */
uint32_t th_pci_find_capability(struct bp_instance *instance, uint32_t id);
/* Programs every MSI-X vector (unmasked) and enables MSI-X; or MSI with the most vectors. */
void th_msix_enable(struct bp_instance *instance);
void th_msi_enable(struct bp_instance *instance);
/* Messages of a vector since the last th_irq_log_clear(). */
uint32_t th_message_count(struct bp_instance *instance, uint32_t vector);

/* --- ISA DMA --------------------------------------------------------------------------------- */

/* The guest programs a channel: direction BP_ISADMA_..., memory at gpa, length bytes until terminal
 * count; unmasks it. */
void th_dma_program(struct th_host *th, uint32_t channel, uint32_t direction, uint64_t gpa,
                    uint32_t length, int autoinit);
void th_dma_mask(struct th_host *th, uint32_t channel, int masked);
uint32_t th_dma_dreq(struct th_host *th, uint32_t channel);
uint32_t th_dma_remaining(struct th_host *th, uint32_t channel);

/* --- time and loops -------------------------------------------------------------------------- */

/* Runs until nothing is left to do now: deferred calls, doorbells, readable descriptors, fake
 * backends, timers that are due. Aborts after a million rounds. */
void th_run(struct th_host *th);
/* Runs and waits on real descriptors until done(opaque) returns non-zero or timeout_ms of real time
 * are over. Returns done's last result. */
int th_run_until(struct th_host *th, int (*done)(void *opaque), void *opaque, uint32_t timeout_ms);
/* The virtual clock; monotonic and wall move with it. */
uint64_t th_clock_now(struct th_host *th);
/* Moves time on; timers expire in order, each at its own deadline; th_run() after each. */
void th_clock_step(struct th_host *th, uint64_t ns);
/* Earliest deadline of an armed timer, as virtual time; UINT64_MAX if none. */
uint64_t th_clock_next(struct th_host *th);
uint32_t th_timer_armed(struct bp_instance *instance, uint32_t id);

/* --- bp.core/1 and bp.log/1 ------------------------------------------------------------------ */

/* Last request of core.request since the last call; 0 if none. */
uint32_t th_take_request(struct th_host *th);
/* The n-th event's name and JSON, NULL past the end. */
const char *th_event(struct th_host *th, uint32_t n, const char **json);
uint8_t th_cmos(struct th_host *th, uint32_t cell);
/* Contents of a fw_cfg file, NULL if missing. */
const void *th_firmware_file(struct th_host *th, const char *name, uint64_t *length);
/* The path an instance gave for a unit, NULL if none. */
const char *th_boot_path(struct bp_instance *instance, const char *unit);
/* The n-th ISA resource, NULL past the end. */
const struct bp_isa_resource *th_isa_resource(struct th_host *th, uint32_t n);
/* Whether a message that contains text was logged; messages at a level. */
int th_logged(struct th_host *th, const char *text);
uint32_t th_log_count(struct th_host *th, uint32_t level);
/* Prints what is logged to stderr, too. BACKPLANE_TESTHOST_LOG=1 in the environment does so.
 * BACKPLANE_TESTHOST_FUTURE=1 makes each host play a core of a later release: every table and
 * struct a plugin gets is larger than it knows. */
void th_set_verbose(struct th_host *th, int verbose);

/* --- a fake block backend -------------------------------------------------------------------- */

/* A memory image with a volatile write cache: what was written and not flushed (or FUA) is lost by
 * th_block_crash(). It checks every request against the contract. */
struct th_block;

struct th_block_op {
    uint32_t op;    /* BP_BLOCK_READ ... */
    uint32_t flags; /* BP_BLOCK_FUA ... */
    uint64_t offset;
    uint64_t length;
    int32_t status; /* what it completed with; 1 while in flight */
};

struct th_block *th_block_new(struct th_host *th, const char *id, uint64_t capacity);
/* The image, capacity bytes: what a read gives. */
uint8_t *th_block_data(struct th_block *block);
/* The image without what is in the write cache. */
const uint8_t *th_block_durable(struct th_block *block);
/* Loses the write cache. */
void th_block_crash(struct th_block *block);
/* Change anything, e.g. flags, block_size, max_iov, before the machine or with an event: capacity
 * may shrink only. */
struct bp_block_info *th_block_info(struct th_block *block);
/* Media inserted or not (-ENOMEDIUM), announced with BP_BLOCK_EVENT_MEDIA. */
void th_block_set_medium(struct th_block *block, int present);
void th_block_send_event(struct th_block *block, uint32_t event);
/* Lets `skip` requests of kind op (0: any) pass, then the next fails with status (negative) and the
 * completion's flags (BP_BLOCK_RECOVERABLE). Several scripts add up; status 0 forgets them all. */
void th_block_fail(struct th_block *block, uint32_t op, uint32_t skip, int32_t status,
                   uint32_t flags);
/* hold 1: completions wait for th_block_release() (which runs the host),
 * last one first if reverse. */
void th_block_hold(struct th_block *block, int hold);
void th_block_release(struct th_block *block, uint32_t count, int reverse);
uint32_t th_block_in_flight(struct th_block *block);
/* Every request taken, in order; valid until the next request. */
const struct th_block_op *th_block_log(struct th_block *block, uint32_t *count);
void th_block_log_clear(struct th_block *block);
/* Calls of submit() so far: how well requests are batched. */
uint32_t th_block_submits(struct th_block *block);

/* --- a fake char backend --------------------------------------------------------------------- */

struct th_char;

struct th_char *th_char_new(struct th_host *th, const char *id);
/* What the device wrote so far. Returns the number of bytes. */
uint32_t th_char_output(struct th_char *tty, const uint8_t **data);
/* Whether the output is exactly this text; clears it. */
int th_char_take(struct th_char *tty, const char *text);
/* Calls of write() so far. */
uint32_t th_char_writes(struct th_char *tty);
/* Bytes it takes before write() says "no more"; UINT32_MAX (default): endless. Giving room calls
 * writable() on the next run if a write came short. */
void th_char_set_room(struct th_char *tty, uint32_t bytes);
/* Input, delivered by th_run() as credit allows; and what is not delivered yet. */
void th_char_input(struct th_char *tty, const void *data, uint32_t length);
uint32_t th_char_pending(struct th_char *tty);
uint32_t th_char_credit(struct th_char *tty);
/* BP_CHAR_EVENT_...; input lines BP_CHAR_CTS ...; delivered by th_run(). */
void th_char_send_event(struct th_char *tty, uint32_t event);
void th_char_set_lines(struct th_char *tty, uint32_t lines);
/* What the device set: BP_CHAR_DTR | RTS; breaks sent; rate, data bits, parity, stop bits. */
uint32_t th_char_lines(struct th_char *tty);
uint32_t th_char_breaks(struct th_char *tty);
const uint32_t *th_char_parameters(struct th_char *tty);
/* Whether a client is connected. */
int th_char_connected(struct th_char *tty);

/* --- a fake net backend ---------------------------------------------------------------------- */

struct th_net;

/* A frame that was sent or received. */
struct th_net_frame {
    uint8_t *data; /* length bytes */
    uint32_t length;
    uint32_t queue;
    struct bp_net_offload offload;
};

/* Link up, one queue, no offloads. */
struct th_net *th_net_new(struct th_host *th, const char *id);
/* Change anything before the machine or with an event. */
struct bp_net_info *th_net_info(struct th_net *net);
/* BP_NET_EVENT_...; delivered by th_run(). */
void th_net_send_event(struct th_net *net, uint32_t event);
/* What the device sent, in order; valid until the next frame. */
const struct th_net_frame *th_net_sent(struct th_net *net, uint32_t *count);
void th_net_clear(struct th_net *net);
/* Calls of transmit() so far: how well frames are batched. */
uint32_t th_net_transmits(struct th_net *net);
/* Frames it takes before it says "no more"; UINT32_MAX (default): endless. Giving room calls
 * writable() on the next run if a transmit came short. */
void th_net_set_room(struct th_net *net, uint32_t frames);
/* hold 1: frames are taken but not done until th_net_release() (which runs the host). */
void th_net_hold(struct th_net *net, int hold);
void th_net_release(struct th_net *net, uint32_t queue, uint32_t count);
/* A frame for the device, delivered by th_run() when its queue is open and has buffers; offload:
 * NULL: none. */
void th_net_deliver(struct th_net *net, uint32_t queue, const void *data, uint32_t length,
                    const struct bp_net_offload *offload);
/* Frames not delivered yet, and dropped for want of a buffer that is large enough. */
uint32_t th_net_pending(struct th_net *net);
uint32_t th_net_dropped(struct th_net *net);
/* The last set_features(); posted buffers; whether a queue is open and enabled. */
uint32_t th_net_features(struct th_net *net);
uint32_t th_net_posted(struct th_net *net, uint32_t queue);
int th_net_open(struct th_net *net, uint32_t queue);

/* --- driving a block backend ----------------------------------------------------------------- */

/* A queue on a plugin's bp.block/1. */
struct th_queue;

/* Returns NULL and sets th_status() on failure. */
struct th_queue *th_queue_open(struct bp_instance *backend, uint32_t depth);
void th_queue_close(struct th_queue *queue);
/* One request from submit to completion, up to 30 s of real time; data lies in the arena of the
 * test (it is copied). Returns the completion's status; -ETIMEDOUT. */
int32_t th_queue_io(struct th_queue *queue, uint32_t op, uint32_t flags, uint64_t offset,
                    void *data, uint64_t length);
/* Hands over requests as they are; returns submit()'s result. */
int32_t th_queue_submit(struct th_queue *queue, const struct bp_block_request *requests,
                        uint32_t count);
/* Runs until `count` completions have come since the queue was opened. Returns non-zero if they
 * did. */
int th_queue_wait(struct th_queue *queue, uint32_t count, uint32_t timeout_ms);
uint32_t th_queue_completed(const struct th_queue *queue);
/* The n-th completion. */
const struct bp_block_completion *th_queue_completion(const struct th_queue *queue, uint32_t n);
/* Calls of complete(), events seen. */
uint32_t th_queue_batches(const struct th_queue *queue);
uint32_t th_queue_events(const struct th_queue *queue, uint32_t event);
/* Arena memory that requests may use; freed with the host. */
void *th_arena(struct th_host *th, uint64_t length);

/* --- driving a char backend ------------------------------------------------------------------ */

/* A client on a plugin's bp.char/1. */
struct th_line;

/* Returns NULL and sets th_status() on failure. Gives no credit. */
struct th_line *th_line_open(struct bp_instance *backend);
void th_line_close(struct th_line *line);
int32_t th_line_write(struct th_line *line, const void *data, uint32_t length);
void th_line_credit(struct th_line *line, uint32_t bytes);
/* Received so far. */
uint32_t th_line_received(const struct th_line *line, const uint8_t **data);
/* Runs until at least `length` bytes were received in all. Returns non-zero if they were. */
int th_line_wait(struct th_line *line, uint32_t length, uint32_t timeout_ms);
/* Calls of writable(); events of a kind; last input lines. */
uint32_t th_line_writables(const struct th_line *line);
uint32_t th_line_events(const struct th_line *line, uint32_t event);
/* Runs until an event of this kind came `count` times. */
int th_line_wait_event(struct th_line *line, uint32_t event, uint32_t count, uint32_t timeout_ms);

/* --- driving a net backend ------------------------------------------------------------------- */

/* A queue on a plugin's bp.net/1. */
struct th_wire;

/* Returns NULL and sets th_status() on failure. Posts no buffer. */
struct th_wire *th_wire_open(struct bp_instance *backend, uint32_t index);
void th_wire_close(struct th_wire *wire);
void th_wire_flush(struct th_wire *wire);
/* Posts buffers with flags BP_NET_MERGE or 0, once; each is posted again when it was filled, unless
 * th_wire_post_again(0); with 1 those that are not posted are. */
void th_wire_post(struct th_wire *wire, uint32_t count, uint32_t length, uint32_t headroom,
                  uint32_t flags);
void th_wire_post_again(struct th_wire *wire, int again);
/* Sends a copy. offload: NULL: none. Returns transmit()'s result. */
int32_t th_wire_send(struct th_wire *wire, const void *data, uint32_t length,
                     const struct bp_net_offload *offload);
/* Frames received so far; valid until the next one. */
const struct th_net_frame *th_wire_frames(const struct th_wire *wire, uint32_t *count);
void th_wire_clear(struct th_wire *wire);
/* Runs until that many frames are there. Returns non-zero if they are. */
int th_wire_wait(struct th_wire *wire, uint32_t frames, uint32_t timeout_ms);
/* Runs until an event of this kind came `count` times. */
int th_wire_wait_event(struct th_wire *wire, uint32_t event, uint32_t count, uint32_t timeout_ms);
/* Calls of writable(); frames taken and not done. */
uint32_t th_wire_writables(const struct th_wire *wire);
uint32_t th_wire_in_flight(const struct th_wire *wire);
int32_t th_wire_set_features(struct th_wire *wire, uint32_t features);
uint32_t th_wire_info_flags(const struct th_wire *wire);
/* The backend and its queue, for calls of its table that are not here; frames that such a
 * transmit() took and did not finish. */
struct bp_instance *th_wire_backend(struct th_wire *wire);
void *th_wire_queue(struct th_wire *wire);
void th_wire_expect(struct th_wire *wire, uint32_t frames);

#ifdef __cplusplus
}
#endif

#endif
