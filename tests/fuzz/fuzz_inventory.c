/* Inventories from nowhere, squall's own and file_sd: an error, or hosts that all have a name and a canonical
 * URL. */
#include "model/url.h"
#include "reading/inventory.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_autoinventory struct sq_inventory *inventory = NULL;
    struct sq_error error = {0};
    if (sq_inventory_parse("fuzz", (const char *)data, size, &inventory, &error) != 0) {
        if (error.code == SQ_OK || error.text[0] == '\0' || inventory != NULL)
            abort();
        return 0;
    }
    if (inventory->host_count == 0)
        abort();
    for (uint32_t i = 0; i < inventory->host_count; i++) {
        char again[SQ_AGENT_URL_MAX];
        const struct sq_host *host = &inventory->hosts[i];
        if (host->name[0] == '\0' || sq_agent_url_parse(host->agent, again, NULL) != 0 ||
            strcmp(again, host->agent) != 0)
            abort();
    }
    return 0;
}
