/* What the two inventory formats share while they are read; internal to the inventory. */
#ifndef SQ_READING_INVENTORY_READER_H
#define SQ_READING_INVENTORY_READER_H

#include "common/document.h"
#include "common/problems.h"
#include "model/inventory.h"

#define SQ_INVENTORY_FILES_MAX 65 /* the inventory and its file_sd files */

/* Where a host stands: lines alone would not do, since file_sd files come from beside the inventory. */
struct sq_host_place {
    uint32_t file;
    size_t line;
    size_t column;
};

struct sq_inventory_reader {
    struct sq_inventory *inventory;
    struct sq_problems *problems; /* everything that is wrong goes there, and reading goes on */
    const char *base; /* relative paths are taken from the folder of this; empty: from the current one */
    bool on_disk;     /* what the paths name is looked at */
    struct sq_host_place *places; /* one per host */
    uint32_t capacity;
    uint32_t file_count;
    char (*files)[SQ_PATH_TEXT_MAX]; /* room for SQ_INVENTORY_FILES_MAX */
};

/*
 * Append a host of the file read last: name and URL are checked, the URL made canonical. `labels` is a map, a
 * scalar that stands for none, or not there. `node` is where it stands.
 */
int sq_reader_add_host(struct sq_inventory_reader *reader, struct sq_node node, const char *name,
                       const char *agent, struct sq_node labels, struct sq_error *error);

/* Read the groups of a file_sd document. */
void sq_file_sd_read(struct sq_inventory_reader *reader, struct sq_node root);

#endif
