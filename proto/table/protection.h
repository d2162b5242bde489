/* What a host protects from every fault: read from its policy by forms/, compared with the host by the
 * faults. */
#ifndef SQ_TABLE_PROTECTION_H
#define SQ_TABLE_PROTECTION_H

#include "common/cidr.h"
#include "table/message.h"
#include "table/params.h"

#include <stdint.h>

#define SQ_PROTECTED_MAX 64

/* What the host's policy protects, whoever orders what. */
struct sq_protection {
    uint32_t process_count;
    char processes[SQ_PROTECTED_MAX][SQ_PATH_TEXT_MAX]; /* an executable's path, or "unit:NAME" */
    uint32_t interface_count;
    char interfaces[SQ_PROTECTED_MAX][SQ_INTERFACE_TEXT_MAX];
    uint32_t peer_count;
    struct sq_cidr peers[SQ_PROTECTED_MAX];
    uint32_t port_count;
    uint16_t ports[SQ_PROTECTED_MAX];
    uint64_t memory_floor_bytes; /* what memory stress has to leave available; 0: the fault's default */
};

#endif
