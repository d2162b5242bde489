#include "cidr.h"

#include "units.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static uint8_t family_bits(uint8_t family)
{
    return family == 4 ? 32 : 128;
}

/* True if the first `bits` bits of both addresses are the same. */
static bool same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
    unsigned bytes = bits / 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
    return ((a[bytes] ^ b[bytes]) & mask) == 0;
}

static void mask_host_bits(uint8_t address[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        if (bits >= 8 * (i + 1))
            continue;
        unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
        address[i] &= (uint8_t)(0xff << (8 - kept));
    }
}

bool sq_cidr_is_valid(const struct sq_cidr *cidr)
{
    if ((cidr->family != 4 && cidr->family != 6) || cidr->prefix > family_bits(cidr->family))
        return false;
    uint8_t masked[16];
    memcpy(masked, cidr->address, sizeof masked);
    mask_host_bits(masked, cidr->prefix);
    return memcmp(masked, cidr->address, sizeof masked) == 0;
}

/* ::ffff:0:0/96 (RFC 4291, 2.5.5.2) stands for IPv4 within sockets; on the wire it is IPv4. */
static bool is_mapped(const struct sq_cidr *cidr)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return cidr->family == 6 && cidr->prefix >= 96 && memcmp(cidr->address, mapped, sizeof mapped) == 0;
}

int sq_cidr_parse(const char *text, struct sq_cidr *cidr, struct sq_error *error)
{
    static const char expected[] = "expected an address or a range such as 10.0.0.0/24 or 2001:db8::/64";
    char address[SQ_CIDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (length == 0 || length >= sizeof address)
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' is not an address; %s", text, expected);
    memcpy(address, text, length);
    address[length] = '\0';

    struct sq_cidr parsed = {0};
    if (inet_pton(AF_INET, address, parsed.address) == 1)
        parsed.family = 4;
    else if (inet_pton(AF_INET6, address, parsed.address) == 1)
        parsed.family = 6;
    else
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' is not an address; %s", text, expected);

    uint64_t prefix = family_bits(parsed.family);
    if (slash != NULL && sq_count_parse(slash + 1, prefix, &prefix, NULL) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' has no valid prefix length; expected /0 to /%d", text,
                       family_bits(parsed.family));
    parsed.prefix = (uint8_t)prefix;
    if (!sq_cidr_is_valid(&parsed)) {
        char canonical[SQ_CIDR_TEXT_MAX];
        mask_host_bits(parsed.address, parsed.prefix);
        sq_cidr_format(&parsed, canonical);
        return sq_fail(error, SQ_BAD_INPUT, "'%.60s' has bits set behind its prefix; did you mean %s?", text,
                       canonical);
    }
    if (is_mapped(&parsed))
        return sq_fail(error, SQ_BAD_INPUT,
                       "'%.60s' is an IPv4 address in IPv6 notation, which no packet carries; did you mean "
                       "%u.%u.%u.%u/%u?",
                       text, parsed.address[12], parsed.address[13], parsed.address[14], parsed.address[15],
                       parsed.prefix - 96u);
    *cidr = parsed;
    return 0;
}

void sq_cidr_format(const struct sq_cidr *cidr, char text[SQ_CIDR_TEXT_MAX])
{
    char address[INET6_ADDRSTRLEN];
    if (inet_ntop(cidr->family == 4 ? AF_INET : AF_INET6, cidr->address, address, sizeof address) == NULL)
        address[0] = '\0';
    (void)snprintf(text, SQ_CIDR_TEXT_MAX, "%s/%u", address, cidr->prefix);
}

bool sq_cidr_contains(const struct sq_cidr *outer, const struct sq_cidr *inner)
{
    return outer->family == inner->family && outer->prefix <= inner->prefix &&
           same_prefix(outer->address, inner->address, outer->prefix);
}

bool sq_cidr_overlaps(const struct sq_cidr *a, const struct sq_cidr *b)
{
    return sq_cidr_contains(a, b) || sq_cidr_contains(b, a);
}
