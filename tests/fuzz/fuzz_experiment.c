/* Experiment files from nowhere: whatever the bytes, an error or an experiment whose times and orders can be
 * read. */
#include "planning/plan.h"
#include "reading/experiment.h"
#include "reading/inventory.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char hosts[] = "hosts:\n"
                            "- {name: web1, agent: 'ipc:///run/1.sock', labels: {role: web, zone: a}}\n"
                            "- {name: web2, agent: 'ipc:///run/2.sock', labels: {role: web, zone: b}}\n"
                            "- {name: web3, agent: 'ipc:///run/3.sock', labels: {role: web, zone: c}}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_autoexperiment struct sq_experiment *experiment = NULL;
    struct sq_error error = {0};
    if (sq_experiment_parse("fuzz", (const char *)data, size, NULL, 0, &experiment, &error) != 0) {
        if (error.code == SQ_OK || error.text[0] == '\0' || experiment != NULL)
            abort();
        return 0;
    }
    sq_autoinventory struct sq_inventory *inventory = NULL;
    if (sq_inventory_parse("hosts", hosts, strlen(hosts), &inventory, NULL) != 0)
        abort();
    sq_autoplan struct sq_plan *plan = NULL;
    if (sq_plan_make(experiment, inventory, &plan, &error) != 0)
        return 0;
    struct sq_fault_order *orders = calloc(SQ_FAULTS_MAX, sizeof *orders);
    for (uint32_t i = 0; orders != NULL && i < plan->host_count; i++) {
        uint32_t count;
        sq_plan_orders(plan, i, orders, &count);
        for (uint32_t j = 0; j < count; j++)
            if (sq_spec_check(&orders[j].spec, NULL, NULL) != 0 ||
                orders[j].duration_ns < SQ_DURATION_MIN_NS || orders[j].duration_ns > SQ_DURATION_MAX_NS)
                abort();
    }
    free(orders);
    return 0;
}
