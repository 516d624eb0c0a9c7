/* SPDX-License-Identifier: Apache-2.0 */
/* Services, messages and options: see <backplane/sdk/services.h>. */
#include <backplane/sdk/services.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 1024

void
bp_services_init(struct bp_services *services, const struct bp_host *host,
                 struct bp_instance *instance)
{
    memset(services, 0, sizeof(*services));
    services->host = host;
    services->instance = instance;
    services->log = host->query(instance, BP_LOG_ID);
    services->config = host->query(instance, BP_CONFIG_ID);
    services->memory = host->query(instance, BP_MEMORY_ID);
    services->region = host->query(instance, BP_REGION_ID);
    services->irq = host->query(instance, BP_IRQ_ID);
    services->pci = host->query(instance, BP_PCI_ID);
    services->msi = host->query(instance, BP_MSI_ID);
    services->msix = host->query(instance, BP_MSIX_ID);
    services->isadma = host->query(instance, BP_ISADMA_ID);
    services->timer = host->query(instance, BP_TIMER_ID);
    services->loop = host->query(instance, BP_LOOP_ID);
    services->core = host->query(instance, BP_CORE_ID);
    services->media = host->query(instance, BP_MEDIA_HOST_ID);
}

uint32_t
bp_same_id(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

void
bp_log(const struct bp_services *services, uint32_t level, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    int length;

    if (services->log == NULL || !services->log->enabled(services->instance, level)) {
        return;
    }
    va_start(args, format);
    length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length > 0) {
        services->log->write(services->instance, level, text,
                             (uint64_t)(length < TEXT_MAX ? length : TEXT_MAX - 1));
    }
}

int32_t
bp_fail(const struct bp_services *services, int32_t code, const struct bp_node *node,
        const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (services->log != NULL) {
        services->log->error(services->instance, code, node, text);
    }
    return code;
}

const struct bp_node *
bp_option(const struct bp_services *services, const struct bp_node *group, const char *name)
{
    if (services->config == NULL || group == NULL) {
        return NULL;
    }
    return services->config->child(services->instance, group, name);
}

uint64_t
bp_option_u64(const struct bp_services *services, const struct bp_node *group, const char *name,
              uint64_t fallback)
{
    const struct bp_node *node = bp_option(services, group, name);
    uint64_t value;

    if (node == NULL || services->config->get_u64(services->instance, node, &value) != 0) {
        return fallback;
    }
    return value;
}

int64_t
bp_option_i64(const struct bp_services *services, const struct bp_node *group, const char *name,
              int64_t fallback)
{
    const struct bp_node *node = bp_option(services, group, name);
    int64_t value;

    if (node == NULL || services->config->get_i64(services->instance, node, &value) != 0) {
        return fallback;
    }
    return value;
}

double
bp_option_f64(const struct bp_services *services, const struct bp_node *group, const char *name,
              double fallback)
{
    const struct bp_node *node = bp_option(services, group, name);
    double value;

    if (node == NULL || services->config->get_f64(services->instance, node, &value) != 0) {
        return fallback;
    }
    return value;
}

uint32_t
bp_option_bool(const struct bp_services *services, const struct bp_node *group, const char *name,
               uint32_t fallback)
{
    const struct bp_node *node = bp_option(services, group, name);
    uint32_t value;

    if (node == NULL || services->config->get_bool(services->instance, node, &value) != 0) {
        return fallback;
    }
    return value;
}

const char *
bp_option_str(const struct bp_services *services, const struct bp_node *group, const char *name,
              const char *fallback)
{
    const struct bp_node *node = bp_option(services, group, name);
    const char *value;

    value = node == NULL ? NULL : services->config->get_str(services->instance, node);
    return value == NULL ? fallback : value;
}

uint32_t
bp_option_choice(const struct bp_services *services, const struct bp_node *group, const char *name,
                 const char *const *choices, uint32_t fallback)
{
    const char *text = bp_option_str(services, group, name, NULL);

    for (uint32_t i = 0; text != NULL && choices[i] != NULL; i++) {
        if (strcmp(text, choices[i]) == 0) {
            return i;
        }
    }
    return fallback;
}
