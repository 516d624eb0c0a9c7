/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin ABI as it was in 1.0. Written by tools/gen-layout; never changed after the
 * release. SIZE: exactly, GROWS: at least. */
/* clang-format off */
#include <backplane/backplane.h>

#include <stdio.h>
#include <string.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define GROWS(type, bytes) _Static_assert(sizeof(type) >= (bytes), #type)
#define MEMBER(type, member, at, ...) \
    _Static_assert(offsetof(type, member) == (at), #type "." #member " has moved"); \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((type *)0)->member), __VA_ARGS__), \
                   #type "." #member " has another type")
#define VALUE(name, value) _Static_assert((unsigned long long)(name) == (value), #name)

SIZE(struct bp_iovec, 16);
MEMBER(struct bp_iovec, base, 0, void *);
MEMBER(struct bp_iovec, length, 8, uint64_t);

SIZE(struct bp_block_request, 64);
MEMBER(struct bp_block_request, user, 0, uint64_t);
MEMBER(struct bp_block_request, op, 8, uint32_t);
MEMBER(struct bp_block_request, flags, 12, uint32_t);
MEMBER(struct bp_block_request, offset, 16, uint64_t);
MEMBER(struct bp_block_request, length, 24, uint64_t);
MEMBER(struct bp_block_request, iov, 32, const struct bp_iovec *);
MEMBER(struct bp_block_request, iov_count, 40, uint32_t);
MEMBER(struct bp_block_request, reserved, 44, uint32_t);
MEMBER(struct bp_block_request, reserved2, 48, uint64_t [2]);

SIZE(struct bp_block_completion, 16);
MEMBER(struct bp_block_completion, user, 0, uint64_t);
MEMBER(struct bp_block_completion, status, 8, int32_t);
MEMBER(struct bp_block_completion, flags, 12, uint32_t);

GROWS(struct bp_block_info, 64);
MEMBER(struct bp_block_info, size, 0, uint32_t);
MEMBER(struct bp_block_info, flags, 4, uint32_t);
MEMBER(struct bp_block_info, capacity, 8, uint64_t);
MEMBER(struct bp_block_info, block_size, 16, uint32_t);
MEMBER(struct bp_block_info, physical_block_size, 20, uint32_t);
MEMBER(struct bp_block_info, optimal_io_size, 24, uint32_t);
MEMBER(struct bp_block_info, buffer_alignment, 28, uint32_t);
MEMBER(struct bp_block_info, max_transfer, 32, uint64_t);
MEMBER(struct bp_block_info, max_iov, 40, uint32_t);
MEMBER(struct bp_block_info, discard_granularity, 44, uint32_t);
MEMBER(struct bp_block_info, max_discard, 48, uint64_t);
MEMBER(struct bp_block_info, generation, 56, uint64_t);

GROWS(struct bp_block_client, 24);
MEMBER(struct bp_block_client, size, 0, uint32_t);
MEMBER(struct bp_block_client, flags, 4, uint32_t);
MEMBER(struct bp_block_client, complete, 8, void (*)(void *opaque, const struct bp_block_completion *completions, uint32_t count));
MEMBER(struct bp_block_client, event, 16, void (*)(void *opaque, uint32_t event));

GROWS(struct bp_block_queue_args, 32);
MEMBER(struct bp_block_queue_args, size, 0, uint32_t);
MEMBER(struct bp_block_queue_args, flags, 4, uint32_t);
MEMBER(struct bp_block_queue_args, depth, 8, uint32_t);
MEMBER(struct bp_block_queue_args, loop, 12, uint32_t);
MEMBER(struct bp_block_queue_args, client, 16, const struct bp_block_client *);
MEMBER(struct bp_block_queue_args, opaque, 24, void *);

GROWS(struct bp_block_ops, 64);
MEMBER(struct bp_block_ops, size, 0, uint32_t);
MEMBER(struct bp_block_ops, flags, 4, uint32_t);
MEMBER(struct bp_block_ops, info, 8, int32_t (*)(void *self, struct bp_block_info *info));
MEMBER(struct bp_block_ops, queue_open, 16, int32_t (*)(void *self, const struct bp_block_queue_args *args, void **queue));
MEMBER(struct bp_block_ops, queue_close, 24, void (*)(void *self, void *queue));
MEMBER(struct bp_block_ops, submit, 32, int32_t (*)(void *self, void *queue, const struct bp_block_request *requests, uint32_t count));
MEMBER(struct bp_block_ops, cancel, 40, void (*)(void *self, void *queue, uint64_t user));
MEMBER(struct bp_block_ops, drain, 48, void (*)(void *self, void *queue));
MEMBER(struct bp_block_ops, resize, 56, int32_t (*)(void *self, uint64_t capacity));

GROWS(struct bp_char_client, 40);
MEMBER(struct bp_char_client, size, 0, uint32_t);
MEMBER(struct bp_char_client, flags, 4, uint32_t);
MEMBER(struct bp_char_client, receive, 8, void (*)(void *opaque, const uint8_t *data, uint32_t length));
MEMBER(struct bp_char_client, writable, 16, void (*)(void *opaque));
MEMBER(struct bp_char_client, event, 24, void (*)(void *opaque, uint32_t event));
MEMBER(struct bp_char_client, lines, 32, void (*)(void *opaque, uint32_t lines));

GROWS(struct bp_char_connect, 32);
MEMBER(struct bp_char_connect, size, 0, uint32_t);
MEMBER(struct bp_char_connect, flags, 4, uint32_t);
MEMBER(struct bp_char_connect, loop, 8, uint32_t);
MEMBER(struct bp_char_connect, reserved, 12, uint32_t);
MEMBER(struct bp_char_connect, client, 16, const struct bp_char_client *);
MEMBER(struct bp_char_connect, opaque, 24, void *);

GROWS(struct bp_char_ops, 72);
MEMBER(struct bp_char_ops, size, 0, uint32_t);
MEMBER(struct bp_char_ops, flags, 4, uint32_t);
MEMBER(struct bp_char_ops, connect, 8, int32_t (*)(void *self, const struct bp_char_connect *args));
MEMBER(struct bp_char_ops, disconnect, 16, void (*)(void *self));
MEMBER(struct bp_char_ops, write, 24, int32_t (*)(void *self, const uint8_t *data, uint32_t length));
MEMBER(struct bp_char_ops, credit, 32, void (*)(void *self, uint32_t bytes));
MEMBER(struct bp_char_ops, set_lines, 40, void (*)(void *self, uint32_t lines));
MEMBER(struct bp_char_ops, get_lines, 48, uint32_t (*)(void *self));
MEMBER(struct bp_char_ops, send_break, 56, void (*)(void *self));
MEMBER(struct bp_char_ops, set_parameters, 64, void (*)(void *self, uint32_t rate, uint32_t data_bits, uint32_t parity, uint32_t stop_bits));

GROWS(struct bp_config_host, 88);
MEMBER(struct bp_config_host, size, 0, uint32_t);
MEMBER(struct bp_config_host, flags, 4, uint32_t);
MEMBER(struct bp_config_host, type, 8, int32_t (*)(struct bp_instance *instance, const struct bp_node *node));
MEMBER(struct bp_config_host, count, 16, uint32_t (*)(struct bp_instance *instance, const struct bp_node *node));
MEMBER(struct bp_config_host, child, 24, const struct bp_node * (*)(struct bp_instance *instance, const struct bp_node *node, const char *name));
MEMBER(struct bp_config_host, at, 32, const struct bp_node * (*)(struct bp_instance *instance, const struct bp_node *node, uint32_t index));
MEMBER(struct bp_config_host, get_u64, 40, int32_t (*)(struct bp_instance *instance, const struct bp_node *node, uint64_t *value));
MEMBER(struct bp_config_host, get_i64, 48, int32_t (*)(struct bp_instance *instance, const struct bp_node *node, int64_t *value));
MEMBER(struct bp_config_host, get_f64, 56, int32_t (*)(struct bp_instance *instance, const struct bp_node *node, double *value));
MEMBER(struct bp_config_host, get_bool, 64, int32_t (*)(struct bp_instance *instance, const struct bp_node *node, uint32_t *value));
MEMBER(struct bp_config_host, get_str, 72, const char * (*)(struct bp_instance *instance, const struct bp_node *node));
MEMBER(struct bp_config_host, where, 80, int32_t (*)(struct bp_instance *instance, const struct bp_node *node, const char **file, uint32_t *line));

GROWS(struct bp_isa_resource, 40);
MEMBER(struct bp_isa_resource, size, 0, uint32_t);
MEMBER(struct bp_isa_resource, flags, 4, uint32_t);
MEMBER(struct bp_isa_resource, hid, 8, const char *);
MEMBER(struct bp_isa_resource, uid, 16, uint32_t);
MEMBER(struct bp_isa_resource, io_base, 20, uint16_t [2]);
MEMBER(struct bp_isa_resource, io_length, 24, uint16_t [2]);
MEMBER(struct bp_isa_resource, irq, 28, int32_t);
MEMBER(struct bp_isa_resource, dma, 32, int32_t);

GROWS(struct bp_core_host, 80);
MEMBER(struct bp_core_host, size, 0, uint32_t);
MEMBER(struct bp_core_host, flags, 4, uint32_t);
MEMBER(struct bp_core_host, event, 8, void (*)(struct bp_instance *instance, const char *name, const char *json));
MEMBER(struct bp_core_host, request, 16, int32_t (*)(struct bp_instance *instance, uint32_t what, const char *reason));
MEMBER(struct bp_core_host, quiesced, 24, void (*)(struct bp_instance *instance, int32_t status));
MEMBER(struct bp_core_host, open, 32, int32_t (*)(struct bp_instance *instance, const char *path, uint32_t open_flags));
MEMBER(struct bp_core_host, cmos, 40, int32_t (*)(struct bp_instance *instance, uint32_t cell, uint32_t mask, uint32_t value));
MEMBER(struct bp_core_host, firmware_file, 48, int32_t (*)(struct bp_instance *instance, const char *name, const void *data, uint64_t length));
MEMBER(struct bp_core_host, boot_path, 56, int32_t (*)(struct bp_instance *instance, const char *unit, const char *path));
MEMBER(struct bp_core_host, isa_resource, 64, int32_t (*)(struct bp_instance *instance, const struct bp_isa_resource *resource));
MEMBER(struct bp_core_host, peer, 72, const void * (*)(struct bp_instance *instance, const char *id, const char *interface_id, void **peer_self));

GROWS(struct bp_irq_args, 40);
MEMBER(struct bp_irq_args, size, 0, uint32_t);
MEMBER(struct bp_irq_args, flags, 4, uint32_t);
MEMBER(struct bp_irq_args, id, 8, uint32_t);
MEMBER(struct bp_irq_args, kind, 12, uint32_t);
MEMBER(struct bp_irq_args, number, 16, uint32_t);
MEMBER(struct bp_irq_args, loop, 20, uint32_t);
MEMBER(struct bp_irq_args, resample, 24, void (*)(void *opaque));
MEMBER(struct bp_irq_args, opaque, 32, void *);

GROWS(struct bp_irq_host, 24);
MEMBER(struct bp_irq_host, size, 0, uint32_t);
MEMBER(struct bp_irq_host, flags, 4, uint32_t);
MEMBER(struct bp_irq_host, line, 8, int32_t (*)(struct bp_instance *instance, const struct bp_irq_args *args));
MEMBER(struct bp_irq_host, set, 16, void (*)(struct bp_instance *instance, uint32_t id, uint32_t level));

GROWS(struct bp_isadma_status, 32);
MEMBER(struct bp_isadma_status, size, 0, uint32_t);
MEMBER(struct bp_isadma_status, flags, 4, uint32_t);
MEMBER(struct bp_isadma_status, direction, 8, uint32_t);
MEMBER(struct bp_isadma_status, masked, 12, uint32_t);
MEMBER(struct bp_isadma_status, autoinit, 16, uint32_t);
MEMBER(struct bp_isadma_status, mode, 20, uint32_t);
MEMBER(struct bp_isadma_status, remaining, 24, uint64_t);

GROWS(struct bp_isadma_host, 40);
MEMBER(struct bp_isadma_host, size, 0, uint32_t);
MEMBER(struct bp_isadma_host, flags, 4, uint32_t);
MEMBER(struct bp_isadma_host, claim, 8, int32_t (*)(struct bp_instance *instance, uint32_t channel, uint32_t loop, void (*ready)(void *opaque), void *opaque));
MEMBER(struct bp_isadma_host, dreq, 16, void (*)(struct bp_instance *instance, uint32_t channel, uint32_t level));
MEMBER(struct bp_isadma_host, status, 24, int32_t (*)(struct bp_instance *instance, uint32_t channel, struct bp_isadma_status *status));
MEMBER(struct bp_isadma_host, transfer, 32, int32_t (*)(struct bp_instance *instance, uint32_t channel, void *data, uint32_t length, uint32_t *terminal));

GROWS(struct bp_peer, 40);
MEMBER(struct bp_peer, size, 0, uint32_t);
MEMBER(struct bp_peer, flags, 4, uint32_t);
MEMBER(struct bp_peer, id, 8, const char *);
MEMBER(struct bp_peer, interface_id, 16, const char *);
MEMBER(struct bp_peer, table, 24, const void *);
MEMBER(struct bp_peer, self, 32, void *);

GROWS(struct bp_life_ops, 96);
MEMBER(struct bp_life_ops, size, 0, uint32_t);
MEMBER(struct bp_life_ops, flags, 4, uint32_t);
MEMBER(struct bp_life_ops, realize, 8, int32_t (*)(void *self));
MEMBER(struct bp_life_ops, start, 16, void (*)(void *self));
MEMBER(struct bp_life_ops, stop, 24, void (*)(void *self));
MEMBER(struct bp_life_ops, reset, 32, void (*)(void *self, uint32_t kind));
MEMBER(struct bp_life_ops, quiesce, 40, int32_t (*)(void *self, uint64_t deadline_ns));
MEMBER(struct bp_life_ops, resume, 48, void (*)(void *self));
MEMBER(struct bp_life_ops, attach, 56, int32_t (*)(void *self, uint32_t slot, uint32_t use, const struct bp_peer *peer));
MEMBER(struct bp_life_ops, detach, 64, void (*)(void *self, uint32_t slot, uint32_t use));
MEMBER(struct bp_life_ops, unplug_request, 72, int32_t (*)(void *self));
MEMBER(struct bp_life_ops, ram_changed, 80, void (*)(void *self));
MEMBER(struct bp_life_ops, set, 88, int32_t (*)(void *self, const char *name, const struct bp_node *node));

GROWS(struct bp_log_host, 32);
MEMBER(struct bp_log_host, size, 0, uint32_t);
MEMBER(struct bp_log_host, flags, 4, uint32_t);
MEMBER(struct bp_log_host, write, 8, void (*)(struct bp_instance *instance, uint32_t level, const char *text, uint64_t length));
MEMBER(struct bp_log_host, enabled, 16, int32_t (*)(struct bp_instance *instance, uint32_t level));
MEMBER(struct bp_log_host, error, 24, void (*)(struct bp_instance *instance, int32_t code, const struct bp_node *node, const char *text));

GROWS(struct bp_fd_args, 40);
MEMBER(struct bp_fd_args, size, 0, uint32_t);
MEMBER(struct bp_fd_args, flags, 4, uint32_t);
MEMBER(struct bp_fd_args, id, 8, uint32_t);
MEMBER(struct bp_fd_args, loop, 12, uint32_t);
MEMBER(struct bp_fd_args, fd, 16, int32_t);
MEMBER(struct bp_fd_args, events, 20, uint32_t);
MEMBER(struct bp_fd_args, ready, 24, void (*)(void *opaque, uint32_t events));
MEMBER(struct bp_fd_args, opaque, 32, void *);

GROWS(struct bp_loop_host, 88);
MEMBER(struct bp_loop_host, size, 0, uint32_t);
MEMBER(struct bp_loop_host, flags, 4, uint32_t);
MEMBER(struct bp_loop_host, count, 8, uint32_t (*)(struct bp_instance *instance));
MEMBER(struct bp_loop_host, home, 16, uint32_t (*)(struct bp_instance *instance));
MEMBER(struct bp_loop_host, fd_add, 24, int32_t (*)(struct bp_instance *instance, const struct bp_fd_args *args));
MEMBER(struct bp_loop_host, fd_modify, 32, void (*)(struct bp_instance *instance, uint32_t id, uint32_t events));
MEMBER(struct bp_loop_host, fd_del, 40, void (*)(struct bp_instance *instance, uint32_t id));
MEMBER(struct bp_loop_host, event, 48, int32_t (*)(struct bp_instance *instance, uint32_t id, uint32_t loop, void (*signalled)(void *opaque), void *opaque));
MEMBER(struct bp_loop_host, defer, 56, int32_t (*)(struct bp_instance *instance, uint32_t loop, void (*func)(void *opaque), void *opaque));
MEMBER(struct bp_loop_host, thread_start, 64, int32_t (*)(struct bp_instance *instance, uint32_t id, const char *name, void (*func)(void *opaque), void (*stop)(void *opaque), void *opaque));
MEMBER(struct bp_loop_host, thread_stop, 72, void (*)(struct bp_instance *instance, uint32_t id));
MEMBER(struct bp_loop_host, is_current, 80, int32_t (*)(struct bp_instance *instance, uint32_t loop));

GROWS(struct bp_media_drive, 32);
MEMBER(struct bp_media_drive, size, 0, uint32_t);
MEMBER(struct bp_media_drive, flags, 4, uint32_t);
MEMBER(struct bp_media_drive, slot, 8, uint32_t);
MEMBER(struct bp_media_drive, use, 12, uint32_t);
MEMBER(struct bp_media_drive, unit, 16, const char *);
MEMBER(struct bp_media_drive, name, 24, const char *);

GROWS(struct bp_media_ops, 32);
MEMBER(struct bp_media_ops, size, 0, uint32_t);
MEMBER(struct bp_media_ops, flags, 4, uint32_t);
MEMBER(struct bp_media_ops, drive, 8, int32_t (*)(void *self, uint32_t index, struct bp_media_drive *drive));
MEMBER(struct bp_media_ops, open, 16, int32_t (*)(void *self, uint32_t index, uint32_t flags));
MEMBER(struct bp_media_ops, close, 24, int32_t (*)(void *self, uint32_t index));

GROWS(struct bp_media_host, 16);
MEMBER(struct bp_media_host, size, 0, uint32_t);
MEMBER(struct bp_media_host, flags, 4, uint32_t);
MEMBER(struct bp_media_host, tray_moved, 8, void (*)(struct bp_instance *instance, uint32_t index, uint32_t open));

SIZE(struct bp_ram_range, 48);
MEMBER(struct bp_ram_range, gpa, 0, uint64_t);
MEMBER(struct bp_ram_range, length, 8, uint64_t);
MEMBER(struct bp_ram_range, hva, 16, uint8_t *);
MEMBER(struct bp_ram_range, dirty, 24, uint64_t *);
MEMBER(struct bp_ram_range, flags, 32, uint32_t);
MEMBER(struct bp_ram_range, reserved, 36, uint32_t);
MEMBER(struct bp_ram_range, reserved2, 40, uint64_t);

GROWS(struct bp_ram_view, 32);
MEMBER(struct bp_ram_view, size, 0, uint32_t);
MEMBER(struct bp_ram_view, flags, 4, uint32_t);
MEMBER(struct bp_ram_view, generation, 8, uint64_t);
MEMBER(struct bp_ram_view, range_count, 16, uint32_t);
MEMBER(struct bp_ram_view, reserved, 20, uint32_t);
MEMBER(struct bp_ram_view, ranges, 24, const struct bp_ram_range *);

GROWS(struct bp_memory_host, 64);
MEMBER(struct bp_memory_host, size, 0, uint32_t);
MEMBER(struct bp_memory_host, flags, 4, uint32_t);
MEMBER(struct bp_memory_host, view, 8, const struct bp_ram_view * (*)(struct bp_instance *instance));
MEMBER(struct bp_memory_host, read, 16, int32_t (*)(struct bp_instance *instance, uint64_t gpa, void *data, uint64_t length));
MEMBER(struct bp_memory_host, write, 24, int32_t (*)(struct bp_instance *instance, uint64_t gpa, const void *data, uint64_t length));
MEMBER(struct bp_memory_host, map, 32, int32_t (*)(struct bp_instance *instance, uint64_t gpa, uint64_t length, uint32_t write, struct bp_iovec *iov, uint32_t max));
MEMBER(struct bp_memory_host, unmap, 40, void (*)(struct bp_instance *instance, uint64_t gpa, uint64_t written));
MEMBER(struct bp_memory_host, arena_alloc, 48, int32_t (*)(struct bp_instance *instance, uint32_t id, uint64_t length, uint64_t alignment, void **memory));
MEMBER(struct bp_memory_host, arena_free, 56, void (*)(struct bp_instance *instance, uint32_t id));

SIZE(struct bp_net_offload, 16);
MEMBER(struct bp_net_offload, flags, 0, uint8_t);
MEMBER(struct bp_net_offload, gso_type, 1, uint8_t);
MEMBER(struct bp_net_offload, header_length, 2, uint16_t);
MEMBER(struct bp_net_offload, gso_size, 4, uint16_t);
MEMBER(struct bp_net_offload, csum_start, 6, uint16_t);
MEMBER(struct bp_net_offload, csum_offset, 8, uint16_t);
MEMBER(struct bp_net_offload, hash_type, 10, uint16_t);
MEMBER(struct bp_net_offload, hash, 12, uint32_t);

SIZE(struct bp_net_frame, 64);
MEMBER(struct bp_net_frame, user, 0, uint64_t);
MEMBER(struct bp_net_frame, iov, 8, const struct bp_iovec *);
MEMBER(struct bp_net_frame, iov_count, 16, uint32_t);
MEMBER(struct bp_net_frame, flags, 20, uint32_t);
MEMBER(struct bp_net_frame, length, 24, uint64_t);
MEMBER(struct bp_net_frame, offload, 32, struct bp_net_offload);
MEMBER(struct bp_net_frame, reserved, 48, uint64_t [2]);

SIZE(struct bp_net_buffer, 48);
MEMBER(struct bp_net_buffer, user, 0, uint64_t);
MEMBER(struct bp_net_buffer, iov, 8, const struct bp_iovec *);
MEMBER(struct bp_net_buffer, iov_count, 16, uint32_t);
MEMBER(struct bp_net_buffer, headroom, 20, uint32_t);
MEMBER(struct bp_net_buffer, length, 24, uint64_t);
MEMBER(struct bp_net_buffer, flags, 32, uint32_t);
MEMBER(struct bp_net_buffer, reserved, 36, uint32_t);
MEMBER(struct bp_net_buffer, reserved2, 40, uint64_t);

SIZE(struct bp_net_received, 48);
MEMBER(struct bp_net_received, user, 0, uint64_t);
MEMBER(struct bp_net_received, length, 8, uint32_t);
MEMBER(struct bp_net_received, flags, 12, uint32_t);
MEMBER(struct bp_net_received, buffers, 16, uint32_t);
MEMBER(struct bp_net_received, reserved, 20, uint32_t);
MEMBER(struct bp_net_received, offload, 24, struct bp_net_offload);
MEMBER(struct bp_net_received, reserved2, 40, uint64_t);

GROWS(struct bp_net_info, 40);
MEMBER(struct bp_net_info, size, 0, uint32_t);
MEMBER(struct bp_net_info, flags, 4, uint32_t);
MEMBER(struct bp_net_info, tx_features, 8, uint32_t);
MEMBER(struct bp_net_info, rx_features, 12, uint32_t);
MEMBER(struct bp_net_info, queues, 16, uint32_t);
MEMBER(struct bp_net_info, mtu, 20, uint32_t);
MEMBER(struct bp_net_info, speed, 24, uint32_t);
MEMBER(struct bp_net_info, mac, 28, uint8_t [8]);
MEMBER(struct bp_net_info, reserved, 36, uint32_t);

GROWS(struct bp_net_client, 40);
MEMBER(struct bp_net_client, size, 0, uint32_t);
MEMBER(struct bp_net_client, flags, 4, uint32_t);
MEMBER(struct bp_net_client, receive, 8, void (*)(void *opaque, const struct bp_net_received *records, uint32_t count));
MEMBER(struct bp_net_client, transmitted, 16, void (*)(void *opaque, const uint64_t *users, uint32_t count));
MEMBER(struct bp_net_client, writable, 24, void (*)(void *opaque));
MEMBER(struct bp_net_client, event, 32, void (*)(void *opaque, uint32_t event));

GROWS(struct bp_net_queue_args, 40);
MEMBER(struct bp_net_queue_args, size, 0, uint32_t);
MEMBER(struct bp_net_queue_args, flags, 4, uint32_t);
MEMBER(struct bp_net_queue_args, index, 8, uint32_t);
MEMBER(struct bp_net_queue_args, loop, 12, uint32_t);
MEMBER(struct bp_net_queue_args, tx_depth, 16, uint32_t);
MEMBER(struct bp_net_queue_args, rx_depth, 20, uint32_t);
MEMBER(struct bp_net_queue_args, client, 24, const struct bp_net_client *);
MEMBER(struct bp_net_queue_args, opaque, 32, void *);

GROWS(struct bp_net_ops, 72);
MEMBER(struct bp_net_ops, size, 0, uint32_t);
MEMBER(struct bp_net_ops, flags, 4, uint32_t);
MEMBER(struct bp_net_ops, info, 8, int32_t (*)(void *self, struct bp_net_info *info));
MEMBER(struct bp_net_ops, queue_open, 16, int32_t (*)(void *self, const struct bp_net_queue_args *args, void **queue));
MEMBER(struct bp_net_ops, queue_close, 24, void (*)(void *self, void *queue));
MEMBER(struct bp_net_ops, set_features, 32, int32_t (*)(void *self, uint32_t features));
MEMBER(struct bp_net_ops, transmit, 40, int32_t (*)(void *self, void *queue, const struct bp_net_frame *frames, uint32_t count, uint32_t *done));
MEMBER(struct bp_net_ops, post, 48, int32_t (*)(void *self, void *queue, const struct bp_net_buffer *buffers, uint32_t count));
MEMBER(struct bp_net_ops, flush, 56, void (*)(void *self, void *queue));
MEMBER(struct bp_net_ops, queue_enable, 64, void (*)(void *self, void *queue, uint32_t enabled));

SIZE(struct bp_pci_bar, 16);
MEMBER(struct bp_pci_bar, size, 0, uint64_t);
MEMBER(struct bp_pci_bar, flags, 8, uint32_t);
MEMBER(struct bp_pci_bar, reserved, 12, uint32_t);

GROWS(struct bp_pci_ops, 24);
MEMBER(struct bp_pci_ops, size, 0, uint32_t);
MEMBER(struct bp_pci_ops, flags, 4, uint32_t);
MEMBER(struct bp_pci_ops, config_written, 8, void (*)(void *opaque, uint32_t offset, uint32_t width, uint32_t value));
MEMBER(struct bp_pci_ops, command_changed, 16, void (*)(void *opaque, uint32_t command));

GROWS(struct bp_pci_args, 144);
MEMBER(struct bp_pci_args, size, 0, uint32_t);
MEMBER(struct bp_pci_args, flags, 4, uint32_t);
MEMBER(struct bp_pci_args, vendor_id, 8, uint16_t);
MEMBER(struct bp_pci_args, device_id, 10, uint16_t);
MEMBER(struct bp_pci_args, subsystem_vendor_id, 12, uint16_t);
MEMBER(struct bp_pci_args, subsystem_id, 14, uint16_t);
MEMBER(struct bp_pci_args, base_class, 16, uint8_t);
MEMBER(struct bp_pci_args, sub_class, 17, uint8_t);
MEMBER(struct bp_pci_args, prog_if, 18, uint8_t);
MEMBER(struct bp_pci_args, revision, 19, uint8_t);
MEMBER(struct bp_pci_args, interrupt_pin, 20, uint8_t);
MEMBER(struct bp_pci_args, reserved, 21, uint8_t [3]);
MEMBER(struct bp_pci_args, bars, 24, struct bp_pci_bar [6]);
MEMBER(struct bp_pci_args, rom_path, 120, const char *);
MEMBER(struct bp_pci_args, ops, 128, const struct bp_pci_ops *);
MEMBER(struct bp_pci_args, opaque, 136, void *);

GROWS(struct bp_pci_host, 72);
MEMBER(struct bp_pci_host, size, 0, uint32_t);
MEMBER(struct bp_pci_host, flags, 4, uint32_t);
MEMBER(struct bp_pci_host, function, 8, int32_t (*)(struct bp_instance *instance, const struct bp_pci_args *args));
MEMBER(struct bp_pci_host, add_capability, 16, int32_t (*)(struct bp_instance *instance, uint32_t id, uint32_t offset, uint32_t length, const uint8_t *data, const uint8_t *write_mask));
MEMBER(struct bp_pci_host, config, 24, int32_t (*)(struct bp_instance *instance, uint32_t offset, uint32_t length, const uint8_t *value, const uint8_t *write_mask, const uint8_t *clear_mask));
MEMBER(struct bp_pci_host, peek, 32, uint32_t (*)(struct bp_instance *instance, uint32_t offset, uint32_t width));
MEMBER(struct bp_pci_host, poke, 40, void (*)(struct bp_instance *instance, uint32_t offset, uint32_t width, uint32_t value));
MEMBER(struct bp_pci_host, command, 48, uint32_t (*)(struct bp_instance *instance));
MEMBER(struct bp_pci_host, address, 56, int32_t (*)(struct bp_instance *instance));
MEMBER(struct bp_pci_host, message_mode, 64, int32_t (*)(struct bp_instance *instance));

GROWS(struct bp_msi_host, 24);
MEMBER(struct bp_msi_host, size, 0, uint32_t);
MEMBER(struct bp_msi_host, flags, 4, uint32_t);
MEMBER(struct bp_msi_host, enable, 8, int32_t (*)(struct bp_instance *instance, uint32_t vectors));
MEMBER(struct bp_msi_host, fire, 16, void (*)(struct bp_instance *instance, uint32_t vector));

GROWS(struct bp_msix_host, 32);
MEMBER(struct bp_msix_host, size, 0, uint32_t);
MEMBER(struct bp_msix_host, flags, 4, uint32_t);
MEMBER(struct bp_msix_host, enable, 8, int32_t (*)(struct bp_instance *instance, uint32_t vectors, uint32_t bar, uint32_t table_offset, uint32_t pba_offset));
MEMBER(struct bp_msix_host, fire, 16, void (*)(struct bp_instance *instance, uint32_t vector));
MEMBER(struct bp_msix_host, eventfd, 24, int32_t (*)(struct bp_instance *instance, uint32_t vector));

SIZE(struct bp_prop, 96);
MEMBER(struct bp_prop, name, 0, const char *);
MEMBER(struct bp_prop, type, 8, uint32_t);
MEMBER(struct bp_prop, flags, 12, uint32_t);
MEMBER(struct bp_prop, def, 16, const char *);
MEMBER(struct bp_prop, min, 24, int64_t);
MEMBER(struct bp_prop, max, 32, int64_t);
MEMBER(struct bp_prop, help, 40, const char *);
MEMBER(struct bp_prop, choices, 48, const char *const *);
MEMBER(struct bp_prop, children, 56, const struct bp_prop *);
MEMBER(struct bp_prop, reserved, 64, uint64_t [4]);

SIZE(struct bp_slot, 64);
MEMBER(struct bp_slot, name, 0, const char *);
MEMBER(struct bp_slot, interface_id, 8, const char *);
MEMBER(struct bp_slot, min, 16, uint32_t);
MEMBER(struct bp_slot, max, 20, uint32_t);
MEMBER(struct bp_slot, flags, 24, uint32_t);
MEMBER(struct bp_slot, min_size, 28, uint32_t);
MEMBER(struct bp_slot, reserved, 32, uint64_t [4]);

GROWS(struct bp_create, 40);
MEMBER(struct bp_create, size, 0, uint32_t);
MEMBER(struct bp_create, flags, 4, uint32_t);
MEMBER(struct bp_create, host, 8, const struct bp_host *);
MEMBER(struct bp_create, instance, 16, struct bp_instance *);
MEMBER(struct bp_create, id, 24, const char *);
MEMBER(struct bp_create, config, 32, const struct bp_node *);

GROWS(struct bp_class, 96);
MEMBER(struct bp_class, size, 0, uint32_t);
MEMBER(struct bp_class, kind, 4, uint32_t);
MEMBER(struct bp_class, name, 8, const char *);
MEMBER(struct bp_class, thread_model, 16, uint32_t);
MEMBER(struct bp_class, promises, 20, uint32_t);
MEMBER(struct bp_class, state_version, 24, uint32_t);
MEMBER(struct bp_class, state_min, 28, uint32_t);
MEMBER(struct bp_class, bus, 32, uint32_t);
MEMBER(struct bp_class, preferred_devfn, 36, uint32_t);
MEMBER(struct bp_class, help, 40, const char *);
MEMBER(struct bp_class, props, 48, const struct bp_prop *);
MEMBER(struct bp_class, slots, 56, const struct bp_slot *);
MEMBER(struct bp_class, provides, 64, const char *const *);
MEMBER(struct bp_class, create, 72, int32_t (*)(const struct bp_create *args, void **self));
MEMBER(struct bp_class, destroy, 80, void (*)(void *self));
MEMBER(struct bp_class, query, 88, const void * (*)(void *self, const char *interface_id));

GROWS(struct bp_plugin, 64);
MEMBER(struct bp_plugin, magic, 0, uint64_t);
MEMBER(struct bp_plugin, size, 8, uint32_t);
MEMBER(struct bp_plugin, flags, 12, uint32_t);
MEMBER(struct bp_plugin, abi_major, 16, uint32_t);
MEMBER(struct bp_plugin, abi_minor, 20, uint32_t);
MEMBER(struct bp_plugin, id, 24, const char *);
MEMBER(struct bp_plugin, version, 32, const char *);
MEMBER(struct bp_plugin, license, 40, const char *);
MEMBER(struct bp_plugin, help, 48, const char *);
MEMBER(struct bp_plugin, classes, 56, const struct bp_class *const *);

SIZE(struct bp_note_class, 56);
MEMBER(struct bp_note_class, name, 0, char [32]);
MEMBER(struct bp_note_class, kind, 32, uint32_t);
MEMBER(struct bp_note_class, thread_model, 36, uint32_t);
MEMBER(struct bp_note_class, promises, 40, uint32_t);
MEMBER(struct bp_note_class, state_version, 44, uint32_t);
MEMBER(struct bp_note_class, state_min, 48, uint32_t);
MEMBER(struct bp_note_class, reserved, 52, uint32_t);

SIZE(struct bp_note_need, 32);
MEMBER(struct bp_note_need, interface_id, 0, char [24]);
MEMBER(struct bp_note_need, min_size, 24, uint32_t);
MEMBER(struct bp_note_need, reserved, 28, uint32_t);

SIZE(struct bp_note_desc, 1296);
MEMBER(struct bp_note_desc, size, 0, uint32_t);
MEMBER(struct bp_note_desc, flags, 4, uint32_t);
MEMBER(struct bp_note_desc, abi_major, 8, uint32_t);
MEMBER(struct bp_note_desc, abi_minor, 12, uint32_t);
MEMBER(struct bp_note_desc, id, 16, char [32]);
MEMBER(struct bp_note_desc, version, 48, char [32]);
MEMBER(struct bp_note_desc, classes, 80, struct bp_note_class [BP_NOTE_MAX_CLASSES]);
MEMBER(struct bp_note_desc, needs, 528, struct bp_note_need [BP_NOTE_MAX_NEEDS]);

GROWS(struct bp_note, 1320);
MEMBER(struct bp_note, name_size, 0, uint32_t);
MEMBER(struct bp_note, desc_size, 4, uint32_t);
MEMBER(struct bp_note, type, 8, uint32_t);
MEMBER(struct bp_note, name, 12, char [12]);
MEMBER(struct bp_note, desc, 24, struct bp_note_desc);

GROWS(struct bp_host, 16);
MEMBER(struct bp_host, size, 0, uint32_t);
MEMBER(struct bp_host, flags, 4, uint32_t);
MEMBER(struct bp_host, query, 8, const void * (*)(struct bp_instance *instance, const char *interface_id));

GROWS(struct bp_region_ops, 40);
MEMBER(struct bp_region_ops, size, 0, uint32_t);
MEMBER(struct bp_region_ops, flags, 4, uint32_t);
MEMBER(struct bp_region_ops, read, 8, uint64_t (*)(void *opaque, uint64_t offset, uint32_t width));
MEMBER(struct bp_region_ops, write, 16, void (*)(void *opaque, uint64_t offset, uint32_t width, uint64_t value));
MEMBER(struct bp_region_ops, read_block, 24, void (*)(void *opaque, uint64_t offset, uint32_t width, uint32_t count, void *data));
MEMBER(struct bp_region_ops, write_block, 32, void (*)(void *opaque, uint64_t offset, uint32_t width, uint32_t count, const void *data));

GROWS(struct bp_region_args, 56);
MEMBER(struct bp_region_args, size, 0, uint32_t);
MEMBER(struct bp_region_args, flags, 4, uint32_t);
MEMBER(struct bp_region_args, id, 8, uint32_t);
MEMBER(struct bp_region_args, space, 12, uint32_t);
MEMBER(struct bp_region_args, bar, 16, uint32_t);
MEMBER(struct bp_region_args, widths, 20, uint32_t);
MEMBER(struct bp_region_args, base, 24, uint64_t);
MEMBER(struct bp_region_args, length, 32, uint64_t);
MEMBER(struct bp_region_args, ops, 40, const struct bp_region_ops *);
MEMBER(struct bp_region_args, opaque, 48, void *);

GROWS(struct bp_doorbell_args, 56);
MEMBER(struct bp_doorbell_args, size, 0, uint32_t);
MEMBER(struct bp_doorbell_args, flags, 4, uint32_t);
MEMBER(struct bp_doorbell_args, id, 8, uint32_t);
MEMBER(struct bp_doorbell_args, region, 12, uint32_t);
MEMBER(struct bp_doorbell_args, offset, 16, uint64_t);
MEMBER(struct bp_doorbell_args, value, 24, uint64_t);
MEMBER(struct bp_doorbell_args, width, 32, uint32_t);
MEMBER(struct bp_doorbell_args, loop, 36, uint32_t);
MEMBER(struct bp_doorbell_args, ring, 40, void (*)(void *opaque));
MEMBER(struct bp_doorbell_args, opaque, 48, void *);

GROWS(struct bp_region_host, 48);
MEMBER(struct bp_region_host, size, 0, uint32_t);
MEMBER(struct bp_region_host, flags, 4, uint32_t);
MEMBER(struct bp_region_host, create, 8, int32_t (*)(struct bp_instance *instance, const struct bp_region_args *args));
MEMBER(struct bp_region_host, enable, 16, int32_t (*)(struct bp_instance *instance, uint32_t id, uint32_t enabled));
MEMBER(struct bp_region_host, move, 24, int32_t (*)(struct bp_instance *instance, uint32_t id, uint64_t base));
MEMBER(struct bp_region_host, doorbell, 32, int32_t (*)(struct bp_instance *instance, const struct bp_doorbell_args *args));
MEMBER(struct bp_region_host, doorbell_remove, 40, void (*)(struct bp_instance *instance, uint32_t id));

SIZE(struct bp_scsi_request, 128);
MEMBER(struct bp_scsi_request, user, 0, uint64_t);
MEMBER(struct bp_scsi_request, cdb, 8, uint8_t [32]);
MEMBER(struct bp_scsi_request, cdb_length, 40, uint32_t);
MEMBER(struct bp_scsi_request, attribute, 44, uint32_t);
MEMBER(struct bp_scsi_request, out_iov, 48, struct bp_iovec *);
MEMBER(struct bp_scsi_request, in_iov, 56, struct bp_iovec *);
MEMBER(struct bp_scsi_request, out_count, 64, uint32_t);
MEMBER(struct bp_scsi_request, in_count, 68, uint32_t);
MEMBER(struct bp_scsi_request, out_length, 72, uint64_t);
MEMBER(struct bp_scsi_request, in_length, 80, uint64_t);
MEMBER(struct bp_scsi_request, sense, 88, void *);
MEMBER(struct bp_scsi_request, sense_size, 96, uint32_t);
MEMBER(struct bp_scsi_request, flags, 100, uint32_t);
MEMBER(struct bp_scsi_request, priority, 104, uint32_t);
MEMBER(struct bp_scsi_request, reserved, 108, uint32_t);
MEMBER(struct bp_scsi_request, reserved2, 112, uint64_t [2]);

SIZE(struct bp_scsi_completion, 48);
MEMBER(struct bp_scsi_completion, user, 0, uint64_t);
MEMBER(struct bp_scsi_completion, result, 8, int32_t);
MEMBER(struct bp_scsi_completion, status, 12, uint32_t);
MEMBER(struct bp_scsi_completion, sense_length, 16, uint32_t);
MEMBER(struct bp_scsi_completion, flags, 20, uint32_t);
MEMBER(struct bp_scsi_completion, in_residual, 24, uint64_t);
MEMBER(struct bp_scsi_completion, out_residual, 32, uint64_t);
MEMBER(struct bp_scsi_completion, reserved, 40, uint64_t);

SIZE(struct bp_scsi_management, 32);
MEMBER(struct bp_scsi_management, user, 0, uint64_t);
MEMBER(struct bp_scsi_management, function, 8, uint32_t);
MEMBER(struct bp_scsi_management, flags, 12, uint32_t);
MEMBER(struct bp_scsi_management, request, 16, uint64_t);
MEMBER(struct bp_scsi_management, reserved, 24, uint64_t);

GROWS(struct bp_scsi_client, 32);
MEMBER(struct bp_scsi_client, size, 0, uint32_t);
MEMBER(struct bp_scsi_client, flags, 4, uint32_t);
MEMBER(struct bp_scsi_client, complete, 8, void (*)(void *opaque, const struct bp_scsi_completion *completions, uint32_t count));
MEMBER(struct bp_scsi_client, managed, 16, void (*)(void *opaque, uint64_t user, int32_t result));
MEMBER(struct bp_scsi_client, event, 24, void (*)(void *opaque, uint32_t event, uint32_t detail));

GROWS(struct bp_scsi_queue_args, 56);
MEMBER(struct bp_scsi_queue_args, size, 0, uint32_t);
MEMBER(struct bp_scsi_queue_args, flags, 4, uint32_t);
MEMBER(struct bp_scsi_queue_args, depth, 8, uint32_t);
MEMBER(struct bp_scsi_queue_args, loop, 12, uint32_t);
MEMBER(struct bp_scsi_queue_args, client, 16, const struct bp_scsi_client *);
MEMBER(struct bp_scsi_queue_args, opaque, 24, void *);
MEMBER(struct bp_scsi_queue_args, initiator, 32, uint64_t);
MEMBER(struct bp_scsi_queue_args, transport_id, 40, const uint8_t *);
MEMBER(struct bp_scsi_queue_args, transport_id_length, 48, uint32_t);
MEMBER(struct bp_scsi_queue_args, reserved, 52, uint32_t);

GROWS(struct bp_scsi_info, 32);
MEMBER(struct bp_scsi_info, size, 0, uint32_t);
MEMBER(struct bp_scsi_info, flags, 4, uint32_t);
MEMBER(struct bp_scsi_info, type, 8, uint32_t);
MEMBER(struct bp_scsi_info, max_iov, 12, uint32_t);
MEMBER(struct bp_scsi_info, max_transfer, 16, uint64_t);
MEMBER(struct bp_scsi_info, optimal_io_size, 24, uint32_t);
MEMBER(struct bp_scsi_info, reserved, 28, uint32_t);

GROWS(struct bp_scsi_ops, 56);
MEMBER(struct bp_scsi_ops, size, 0, uint32_t);
MEMBER(struct bp_scsi_ops, flags, 4, uint32_t);
MEMBER(struct bp_scsi_ops, info, 8, int32_t (*)(void *self, struct bp_scsi_info *info));
MEMBER(struct bp_scsi_ops, queue_open, 16, int32_t (*)(void *self, const struct bp_scsi_queue_args *args, void **queue));
MEMBER(struct bp_scsi_ops, queue_close, 24, void (*)(void *self, void *queue));
MEMBER(struct bp_scsi_ops, submit, 32, int32_t (*)(void *self, void *queue, const struct bp_scsi_request *requests, uint32_t count));
MEMBER(struct bp_scsi_ops, manage, 40, int32_t (*)(void *self, void *queue, const struct bp_scsi_management *management));
MEMBER(struct bp_scsi_ops, drain, 48, void (*)(void *self, void *queue));

GROWS(struct bp_state_sink, 16);
MEMBER(struct bp_state_sink, size, 0, uint32_t);
MEMBER(struct bp_state_sink, flags, 4, uint32_t);
MEMBER(struct bp_state_sink, put, 8, int32_t (*)(const struct bp_state_sink *sink, uint32_t tag, const void *data, uint64_t length));

GROWS(struct bp_state_ops, 40);
MEMBER(struct bp_state_ops, size, 0, uint32_t);
MEMBER(struct bp_state_ops, flags, 4, uint32_t);
MEMBER(struct bp_state_ops, save, 8, int32_t (*)(void *self, const struct bp_state_sink *sink));
MEMBER(struct bp_state_ops, validate, 16, int32_t (*)(void *self, uint32_t version, const void *data, uint64_t length));
MEMBER(struct bp_state_ops, restore, 24, int32_t (*)(void *self, uint32_t version, const void *data, uint64_t length));
MEMBER(struct bp_state_ops, after_restore, 32, int32_t (*)(void *self));

GROWS(struct bp_timer_args, 40);
MEMBER(struct bp_timer_args, size, 0, uint32_t);
MEMBER(struct bp_timer_args, flags, 4, uint32_t);
MEMBER(struct bp_timer_args, id, 8, uint32_t);
MEMBER(struct bp_timer_args, clock, 12, uint32_t);
MEMBER(struct bp_timer_args, loop, 16, uint32_t);
MEMBER(struct bp_timer_args, reserved, 20, uint32_t);
MEMBER(struct bp_timer_args, expired, 24, void (*)(void *opaque));
MEMBER(struct bp_timer_args, opaque, 32, void *);

GROWS(struct bp_timer_host, 40);
MEMBER(struct bp_timer_host, size, 0, uint32_t);
MEMBER(struct bp_timer_host, flags, 4, uint32_t);
MEMBER(struct bp_timer_host, now, 8, uint64_t (*)(struct bp_instance *instance, uint32_t clock));
MEMBER(struct bp_timer_host, create, 16, int32_t (*)(struct bp_instance *instance, const struct bp_timer_args *args));
MEMBER(struct bp_timer_host, arm, 24, void (*)(struct bp_instance *instance, uint32_t id, uint64_t deadline_ns));
MEMBER(struct bp_timer_host, cancel, 32, void (*)(struct bp_instance *instance, uint32_t id));

VALUE(BP_ABI_MAJOR, 1ull);
VALUE(BP_BLOCK_READ, 1ull);
VALUE(BP_BLOCK_WRITE, 2ull);
VALUE(BP_BLOCK_FLUSH, 3ull);
VALUE(BP_BLOCK_DISCARD, 4ull);
VALUE(BP_BLOCK_WRITE_ZEROES, 5ull);
VALUE(BP_BLOCK_FUA, 1ull);
VALUE(BP_BLOCK_UNMAP, 2ull);
VALUE(BP_BLOCK_RECOVERABLE, 1ull);
VALUE(BP_BLOCK_READONLY, 1ull);
VALUE(BP_BLOCK_CAN_DISCARD, 2ull);
VALUE(BP_BLOCK_CAN_ZERO, 4ull);
VALUE(BP_BLOCK_CAN_FUA, 8ull);
VALUE(BP_BLOCK_ROTATIONAL, 16ull);
VALUE(BP_BLOCK_WRITE_CACHE, 32ull);
VALUE(BP_BLOCK_CAN_ZERO_DISCARD, 64ull);
VALUE(BP_BLOCK_CAN_RESIZE, 128ull);
VALUE(BP_BLOCK_REMOVABLE, 256ull);
VALUE(BP_BLOCK_EVENT_RESIZED, 1ull);
VALUE(BP_BLOCK_EVENT_MEDIA, 2ull);
VALUE(BP_CHAR_EVENT_OPENED, 1ull);
VALUE(BP_CHAR_EVENT_CLOSED, 2ull);
VALUE(BP_CHAR_EVENT_BREAK, 3ull);
VALUE(BP_CHAR_DTR, 1ull);
VALUE(BP_CHAR_RTS, 2ull);
VALUE(BP_CHAR_CTS, 4ull);
VALUE(BP_CHAR_DSR, 8ull);
VALUE(BP_CHAR_DCD, 16ull);
VALUE(BP_CHAR_RI, 32ull);
VALUE(BP_NODE_BOOL, 1ull);
VALUE(BP_NODE_INT, 2ull);
VALUE(BP_NODE_FLOAT, 3ull);
VALUE(BP_NODE_STRING, 4ull);
VALUE(BP_NODE_LIST, 5ull);
VALUE(BP_NODE_GROUP, 6ull);
VALUE(BP_REQUEST_QUIT, 1ull);
VALUE(BP_REQUEST_STOP, 2ull);
VALUE(BP_REQUEST_RESET, 3ull);
VALUE(BP_REQUEST_POWEROFF, 4ull);
VALUE(BP_OPEN_READ, 1ull);
VALUE(BP_OPEN_WRITE, 2ull);
VALUE(BP_OPEN_CREATE, 4ull);
VALUE(BP_OPEN_TRUNC, 8ull);
VALUE(BP_OPEN_DIRECT, 16ull);
VALUE(BP_OPEN_DSYNC, 32ull);
VALUE(BP_OPEN_APPEND, 64ull);
VALUE(BP_IRQ_ISA, 1ull);
VALUE(BP_IRQ_INTX, 2ull);
VALUE(BP_IRQ_GSI, 3ull);
VALUE(BP_IRQ_SHARED, 1ull);
VALUE(BP_ISADMA_VERIFY, 0ull);
VALUE(BP_ISADMA_TO_MEMORY, 1ull);
VALUE(BP_ISADMA_FROM_MEMORY, 2ull);
VALUE(BP_ISADMA_ILLEGAL, 3ull);
VALUE(BP_LIFE_PENDING, 1ull);
VALUE(BP_RESET_POWER_ON, 0ull);
VALUE(BP_RESET_SYSTEM, 1ull);
VALUE(BP_RESET_BUS, 2ull);
VALUE(BP_LOG_ERROR, 0ull);
VALUE(BP_LOG_WARN, 1ull);
VALUE(BP_LOG_INFO, 2ull);
VALUE(BP_LOG_DEBUG, 3ull);
VALUE(BP_FD_IN, 1ull);
VALUE(BP_FD_OUT, 4ull);
VALUE(BP_FD_ERR, 8ull);
VALUE(BP_FD_HUP, 16ull);
VALUE(BP_MEDIA_REMOVABLE, 1ull);
VALUE(BP_MEDIA_TRAY, 2ull);
VALUE(BP_MEDIA_OPEN, 4ull);
VALUE(BP_MEDIA_LOCKED, 8ull);
VALUE(BP_MEDIA_PRESENT, 16ull);
VALUE(BP_MEDIA_EJECT_REQUESTED, 32ull);
VALUE(BP_MEDIA_READ_ONLY, 64ull);
VALUE(BP_MEDIA_FORCE, 1ull);
VALUE(BP_MEDIA_REFUSED, 1ull);
VALUE(BP_RAM_READONLY, 1ull);
VALUE(BP_NET_MAX_IOV, 512ull);
VALUE(BP_NET_MAX_FRAME, 65553ull);
VALUE(BP_NET_MAX_DEPTH, 4096ull);
VALUE(BP_NET_MAX_QUEUES, 256ull);
VALUE(BP_NET_CSUM, 1ull);
VALUE(BP_NET_TSO4, 2ull);
VALUE(BP_NET_TSO6, 4ull);
VALUE(BP_NET_ECN, 8ull);
VALUE(BP_NET_UFO, 16ull);
VALUE(BP_NET_USO4, 32ull);
VALUE(BP_NET_USO6, 64ull);
VALUE(BP_NET_NEEDS_CSUM, 1ull);
VALUE(BP_NET_DATA_VALID, 2ull);
VALUE(BP_NET_HAS_HASH, 4ull);
VALUE(BP_NET_GSO_NONE, 0ull);
VALUE(BP_NET_GSO_TCP4, 1ull);
VALUE(BP_NET_GSO_UDP, 3ull);
VALUE(BP_NET_GSO_TCP6, 4ull);
VALUE(BP_NET_GSO_UDP_L4, 5ull);
VALUE(BP_NET_GSO_ECN, 128ull);
VALUE(BP_NET_MERGE, 1ull);
VALUE(BP_NET_MORE, 1ull);
VALUE(BP_NET_LINK_UP, 1ull);
VALUE(BP_NET_HAS_MAC, 2ull);
VALUE(BP_NET_HALF_DUPLEX, 4ull);
VALUE(BP_NET_EVENT_LINK, 1ull);
VALUE(BP_NET_EVENT_ANNOUNCE, 2ull);
VALUE(BP_PCI_BAR_IO, 1ull);
VALUE(BP_PCI_BAR_64, 2ull);
VALUE(BP_PCI_BAR_PREFETCH, 4ull);
VALUE(BP_PROP_BOOL, 1ull);
VALUE(BP_PROP_INT, 2ull);
VALUE(BP_PROP_UINT, 3ull);
VALUE(BP_PROP_SIZE, 4ull);
VALUE(BP_PROP_FLOAT, 5ull);
VALUE(BP_PROP_STRING, 6ull);
VALUE(BP_PROP_PATH, 7ull);
VALUE(BP_PROP_ENUM, 8ull);
VALUE(BP_PROP_BACKEND, 9ull);
VALUE(BP_PROP_LIST, 10ull);
VALUE(BP_PROP_GROUP, 11ull);
VALUE(BP_PROP_REQUIRED, 1ull);
VALUE(BP_PROP_PER_INSTANCE, 2ull);
VALUE(BP_PROP_RUNTIME, 4ull);
VALUE(BP_SLOT_HOTPLUG, 1ull);
VALUE(BP_KIND_DEVICE, 1ull);
VALUE(BP_KIND_BACKEND, 2ull);
VALUE(BP_BUS_NONE, 0ull);
VALUE(BP_BUS_ISA, 1ull);
VALUE(BP_BUS_PCI, 2ull);
VALUE(BP_THREADS_SERIAL, 1000ull);
VALUE(BP_THREADS_PER_QUEUE, 2000ull);
VALUE(BP_THREADS_PARALLEL, 3000ull);
VALUE(BP_PROMISE_SANDBOX, 1ull);
VALUE(BP_PROMISE_UPGRADE, 2ull);
VALUE(BP_PROMISE_DIRTY_TRACKED, 4ull);
VALUE(BP_PLUGIN_MAGIC, 3552861063635553090ull);
VALUE(BP_NOTE_TYPE, 1ull);
VALUE(BP_NOTE_MAX_CLASSES, 8ull);
VALUE(BP_NOTE_MAX_NEEDS, 24ull);
VALUE(BP_SPACE_PIO, 1ull);
VALUE(BP_SPACE_MMIO, 2ull);
VALUE(BP_SPACE_BAR, 3ull);
VALUE(BP_WIDTH_1, 1ull);
VALUE(BP_WIDTH_2, 2ull);
VALUE(BP_WIDTH_4, 4ull);
VALUE(BP_WIDTH_8, 8ull);
VALUE(BP_REGION_POSTED_WRITES, 1ull);
VALUE(BP_REGION_DISABLED, 2ull);
VALUE(BP_DOORBELL_MATCH, 1ull);
VALUE(BP_SCSI_MAX_CDB, 32ull);
VALUE(BP_SCSI_MAX_DEPTH, 4096ull);
VALUE(BP_SCSI_SIMPLE, 0ull);
VALUE(BP_SCSI_HEAD_OF_QUEUE, 1ull);
VALUE(BP_SCSI_ORDERED, 2ull);
VALUE(BP_SCSI_GOOD, 0ull);
VALUE(BP_SCSI_CHECK_CONDITION, 2ull);
VALUE(BP_SCSI_CONDITION_MET, 4ull);
VALUE(BP_SCSI_BUSY, 8ull);
VALUE(BP_SCSI_RESERVATION_CONFLICT, 24ull);
VALUE(BP_SCSI_TASK_SET_FULL, 40ull);
VALUE(BP_SCSI_TASK_ABORTED, 64ull);
VALUE(BP_SCSI_ABORT_TASK, 1ull);
VALUE(BP_SCSI_ABORT_TASK_SET, 2ull);
VALUE(BP_SCSI_CLEAR_TASK_SET, 3ull);
VALUE(BP_SCSI_UNIT_RESET, 4ull);
VALUE(BP_SCSI_NEXUS_RESET, 5ull);
VALUE(BP_SCSI_QUERY_TASK, 6ull);
VALUE(BP_SCSI_QUERY_TASK_SET, 7ull);
VALUE(BP_SCSI_EVENT_ATTENTION, 1ull);
VALUE(BP_SCSI_EVENT_GONE, 2ull);
VALUE(BP_SCSI_TYPE_DISK, 0ull);
VALUE(BP_SCSI_TYPE_CDROM, 5ull);
VALUE(BP_STATE_MUST, 32768ull);
VALUE(BP_CLOCK_VIRTUAL, 0ull);
VALUE(BP_CLOCK_MONOTONIC, 1ull);
VALUE(BP_CLOCK_WALL, 2ull);

int
main(void)
{
    static const char *const ids[][2] = {
        {BP_BLOCK_ID, "bp.block/1"},
        {BP_CHAR_ID, "bp.char/1"},
        {BP_CONFIG_ID, "bp.config/1"},
        {BP_CORE_ID, "bp.core/1"},
        {BP_IRQ_ID, "bp.irq/1"},
        {BP_ISADMA_ID, "bp.isadma/1"},
        {BP_LIFE_ID, "bp.life/1"},
        {BP_LOG_ID, "bp.log/1"},
        {BP_LOOP_ID, "bp.loop/1"},
        {BP_MEDIA_HOST_ID, "bp.media-host/1"},
        {BP_MEDIA_ID, "bp.media/1"},
        {BP_MEMORY_ID, "bp.memory/1"},
        {BP_MSIX_ID, "bp.msix/1"},
        {BP_MSI_ID, "bp.msi/1"},
        {BP_NET_ID, "bp.net/1"},
        {BP_NOTE_NAME, "Backplane"},
        {BP_PCI_ID, "bp.pci/1"},
        {BP_REGION_ID, "bp.region/1"},
        {BP_SCSI_ID, "bp.scsi/1"},
        {BP_STATE_ID, "bp.state/1"},
        {BP_TIMER_ID, "bp.timer/1"},
    };
    unsigned i, bad = 0;

    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        bad += strcmp(ids[i][0], ids[i][1]) != 0;
    }
    printf("1..1\n%sok 1 - names of 1.0\n", bad ? "not " : "");
    return bad != 0;
}
