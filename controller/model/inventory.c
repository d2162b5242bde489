#include "model/inventory.h"

#include <stdlib.h>
#include <string.h>

void sq_inventory_free(struct sq_inventory *inventory)
{
    if (inventory == NULL)
        return;
    for (uint32_t i = 0; inventory->hosts != NULL && i < inventory->host_count; i++)
        free(inventory->hosts[i].labels);
    sq_access_free(inventory->prometheus_access);
    free(inventory->hosts);
    free(inventory);
}

void sq_inventory_cleanup(struct sq_inventory **inventory)
{
    sq_inventory_free(*inventory);
}

const char *sq_host_label(const struct sq_host *host, const char *name)
{
    for (uint32_t i = 0; i < host->label_count; i++)
        if (strcmp(host->labels[i].name, name) == 0)
            return host->labels[i].value;
    return NULL;
}

bool sq_host_name_is_valid(const char *name)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    /* Dots and dashes alone are nobody's name. */
    return name[strspn(name, ".-_")] != '\0' && strlen(name) < SQ_HOST_NAME_MAX &&
           name[strspn(name, characters)] == '\0';
}
