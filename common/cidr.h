/* Address ranges: IPv4 and IPv6 addresses with a prefix length, "10.0.0.0/8" (RFC 4632), "2001:db8::/32" (RFC
 * 4291). */
#ifndef SQ_COMMON_CIDR_H
#define SQ_COMMON_CIDR_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_CIDR_TEXT_MAX 52

/* Plain data: crosses processes as it is. Unused address bytes are zero, and so are the host bits. */
struct sq_cidr {
    uint8_t family; /* 4 or 6 */
    uint8_t prefix; /* 0 to 32 or 128 bits */
    uint8_t address[16];
};

/*
 * An address without "/n" is a single host. Set host bits ("10.0.0.1/8") are refused: they hide a slip. So
 * are IPv4 addresses in IPv6 notation ("::ffff:10.0.0.1").
 */
int sq_cidr_parse(const char *text, struct sq_cidr *cidr, struct sq_error *error);
void sq_cidr_format(const struct sq_cidr *cidr, char text[SQ_CIDR_TEXT_MAX]);

/* For ranges that came from another process: family, prefix, and unused and host bits as promised above. */
bool sq_cidr_is_valid(const struct sq_cidr *cidr);

bool sq_cidr_contains(const struct sq_cidr *outer, const struct sq_cidr *inner);
bool sq_cidr_overlaps(const struct sq_cidr *a, const struct sq_cidr *b);

#endif
