/* 128-bit identities of experiments and of agents' lives, written as 32 hexadecimal digits. */
#ifndef SQ_COMMON_ID_H
#define SQ_COMMON_ID_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_ID_TEXT_MAX 33

struct sq_id {
    uint8_t bytes[16];
};

int sq_id_make(struct sq_id *id, struct sq_error *error); /* from getrandom(2) */
void sq_id_format(const struct sq_id *id, char text[SQ_ID_TEXT_MAX]);
int sq_id_parse(const char *text, struct sq_id *id, struct sq_error *error);
bool sq_id_equal(const struct sq_id *a, const struct sq_id *b);
bool sq_id_is_zero(const struct sq_id *id);

/* The same for an id that is a secret: how long it takes says nothing about how much of it is right. */
bool sq_id_equal_secret(const struct sq_id *a, const struct sq_id *b);

/* The boot id of this kernel (/proc/sys/kernel/random/boot_id): records of an earlier boot are recognised by
 * it. */
int sq_id_of_boot(struct sq_id *id, struct sq_error *error);

/* `size` bytes as 2 * size lower-case hexadecimal digits and a terminating zero. */
void sq_hex_format(const uint8_t *bytes, size_t size, char *text);

#endif
