/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of QMP's commands share. */
#pragma once

#include "control/qmp_commands.h"
#include "machine/machine_backends.h"
#include "plugin/peer.h"

/* Ends of a command; a deferred one ends with qmp_call_finish(). */
void qmp_call_fail(QmpCall *call, const char *error_class, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void qmp_call_take_error(QmpCall *call, const GError *error);
void qmp_call_return(QmpCall *call, JsonNode *value); /* takes value over */
void qmp_call_return_object(QmpCall *call, JsonObject *object);
void qmp_call_return_array(QmpCall *call, JsonArray *array);
void qmp_call_finish(QmpCall *call);
/* An argument's value; the fallback if it is absent. */
const char *qmp_text(const QmpCall *call, const char *name, const char *fallback);
bool qmp_flag(const QmpCall *call, const char *name, bool fallback);
int64_t qmp_number(const QmpCall *call, const char *name, int64_t fallback);

/* A group of a machine description as JSON has it. NULL and *problem: a value no option can have.
 */
Node *qmp_node_of_json(const char *name, JsonNode *value, char **problem);

/* Storage as a backend tells of it, and the slot that "device" or "id" names (NULL: call failed).
 */
bool qmp_block_info(const Instance *backend, struct bp_block_info *info);
bool qmp_is_block_slot(const MachineSlot *slot);
MachineSlot *qmp_block_slot(QmpCall *call);
JsonObject *qmp_block_describe(Machine *machine, Instance *backend);
/* The group of options a filename and a format stand for; NULL after failing the call. */
Node *qmp_block_options(QmpCall *call, const char *id, const char *format, const char *filename,
                        bool readonly);
/* blockdev-add's arguments as a group of options; NULL after failing the call. */
Node *qmp_blockdev_options(QmpCall *call, JsonObject *arguments);
/* "raw" -> the plugin that reads it, or NULL. */
char *qmp_block_plugin(Machine *machine, const char *driver);

/* qmp_machine.c */
void qmp_query_version(QmpCall *call);
void qmp_query_status(QmpCall *call);
void qmp_query_name(QmpCall *call);
void qmp_query_uuid(QmpCall *call);
void qmp_query_commands(QmpCall *call);
void qmp_stop(QmpCall *call);
void qmp_cont(QmpCall *call);
void qmp_system_reset(QmpCall *call);
void qmp_system_powerdown(QmpCall *call);
void qmp_system_wakeup(QmpCall *call);
void qmp_quit(QmpCall *call);
/* qmp_block.c */
void qmp_query_block(QmpCall *call);
void qmp_query_named_block_nodes(QmpCall *call);
void qmp_block_resize(QmpCall *call);
void qmp_blockdev_add(QmpCall *call);
void qmp_blockdev_del(QmpCall *call);
/* qmp_media.c */
void qmp_eject(QmpCall *call);
void qmp_blockdev_open_tray(QmpCall *call);
void qmp_blockdev_close_tray(QmpCall *call);
void qmp_blockdev_insert_medium(QmpCall *call);
void qmp_blockdev_remove_medium(QmpCall *call);
void qmp_blockdev_change_medium(QmpCall *call);
/* qmp_stats.c */
void qmp_query_blockstats(QmpCall *call);
void qmp_block_set_io_throttle(QmpCall *call);
/* qmp_latency.c */
void qmp_block_latency_histogram_set(QmpCall *call);
/* Times and histograms, if somebody asked for them. */
void qmp_add_latency(const Peer *peer, JsonObject *stats);
/* qmp_guest.c */
JsonArray *qmp_pci_devices(Machine *machine);
void qmp_query_cpus_fast(QmpCall *call);
void qmp_query_pci(QmpCall *call);
void qmp_inject_nmi(QmpCall *call);
void qmp_pmemsave(QmpCall *call);
void qmp_screendump(QmpCall *call);
/* qmp_device.c: QEMU's word for an option as the plugin has it; props: the plugin's. */
char *qmp_option_name(const struct bp_prop *props, const char *name);
bool qmp_has_option(const struct bp_prop *props, const char *name);
/* A driver's plugin, or NULL; the options of its first class of a kind. */
char *qmp_find_plugin(Machine *machine, const char *driver);
const struct bp_prop *qmp_plugin_props(Machine *machine, const char *plugin, uint32_t kind);
void qmp_add_text(Node *group, const char *name, const char *text);
bool qmp_add_option(QmpCall *call, Node *group, const char *name, JsonNode *value);
void qmp_device_add(QmpCall *call);
void qmp_device_del(QmpCall *call);
/* qmp_unit.c: what device_add puts into a place of another device's, and device_del takes out. */
void qmp_unit_add(QmpCall *call, Instance *device);
MachineSlot *qmp_unit_find(Machine *machine, const char *id);
void qmp_unit_del(QmpCall *call, const MachineSlot *slot);
/* qmp_net.c */
void qmp_netdev_add(QmpCall *call);
void qmp_netdev_del(QmpCall *call);
void qmp_chardev_add(QmpCall *call);
void qmp_chardev_remove(QmpCall *call);
/* qmp_nic.c */
void qmp_set_link(QmpCall *call);
void qmp_announce_self(QmpCall *call);
void qmp_query_rx_filter(QmpCall *call);
/* qmp_inspect.c: commands that devices answer. False: none of them knows this one. */
bool qmp_inspect(QmpCall *call, const char *name);
/* Adds those there are now to a tree of names and JsonObjects. */
void qmp_inspect_add_commands(Machine *machine, GTree *commands);
/* What query-commands tells of one. */
JsonObject *qmp_describe_command(const char *name, const char *arguments, const char *help);
/* qmp_swap.c */
void qmp_backend_swap(QmpCall *call);
/* qmp_types.c */
void qmp_query_machines(QmpCall *call);
void qmp_query_chardev(QmpCall *call);
void qmp_qom_list_types(QmpCall *call);
void qmp_qom_set(QmpCall *call);
void qmp_device_list_properties(QmpCall *call);
/* qmp_monitor.c */
void qmp_human_monitor_command(QmpCall *call);
