/*
 * The inventory: which hosts there are, how their agents are reached, where Prometheus is. YAML as in
 * docs/inventory.md, or Prometheus file_sd (JSON or YAML), the very file that Prometheus reads.
 */
#ifndef SQ_MODEL_INVENTORY_H
#define SQ_MODEL_INVENTORY_H

#include "common/error.h"
#include "model/experiment.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define SQ_LABELS_MAX    24
#define SQ_AGENT_URL_MAX 288 /* scheme, a name with a trailing dot, a port */

struct sq_host {
    char name[SQ_HOST_NAME_MAX];  /* also the name its certificate must carry */
    char agent[SQ_AGENT_URL_MAX]; /* tls+tcp://address:port or ipc:///path */
    uint32_t label_count;
    struct sq_setting *labels; /* owned by the inventory */
    size_t line;
};

#define SQ_INVENTORY_LOCAL "--local" /* the path of the one that --local makes for a single command */

struct sq_inventory {
    char path[SQ_PATH_TEXT_MAX];
    char prometheus_url[SQ_PATH_TEXT_MAX]; /* empty: none */
    char runs[PATH_MAX];                   /* the folder of run records; empty: not said */
    struct sq_access *prometheus_access;   /* what goes with requests to it; NULL: nothing; owned */
    char tls_certificate[PATH_MAX];        /* relative paths are taken from the inventory's folder */
    char tls_key[PATH_MAX];
    char tls_agents[PATH_MAX]; /* the CA that signs agents */
    uint32_t host_count;
    struct sq_host *hosts; /* owned */
};

void sq_inventory_free(struct sq_inventory *inventory);
void sq_inventory_cleanup(struct sq_inventory **inventory);
#define sq_autoinventory __attribute__((cleanup(sq_inventory_cleanup)))

const char *sq_host_label(const struct sq_host *host, const char *name); /* NULL: no such label */

/* 1 to SQ_HOST_NAME_MAX - 1 letters, digits, '.', '-' and '_'. */
bool sq_host_name_is_valid(const char *name);

#endif
