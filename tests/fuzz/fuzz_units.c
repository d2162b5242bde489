/* Numbers and addresses as people write them: an error, or a value that is written back and read again the
 * same. */
#include "common/cidr.h"
#include "common/id.h"
#include "common/text.h"
#include "common/units.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(const struct sq_error *error)
{
    require(error->code == SQ_BAD_INPUT && error->text[0] != '\0');
}

static void try_duration(const char *text)
{
    uint64_t value;
    uint64_t again;
    char written[SQ_UNIT_TEXT_MAX];
    struct sq_error error = {0};
    if (sq_duration_parse(text, &value, &error) != 0) {
        check_error(&error);
        return;
    }
    sq_duration_format(value, written);
    require(sq_duration_parse(written, &again, NULL) == 0 && again == value);
    sq_duration_format_rounded(value, written);
    require(strlen(written) < sizeof written);
}

static void try_size(const char *text)
{
    uint64_t value;
    uint64_t again;
    char written[SQ_UNIT_TEXT_MAX];
    struct sq_error error = {0};
    if (sq_size_parse(text, &value, &error) != 0) {
        check_error(&error);
        return;
    }
    sq_size_format(value, written);
    require(sq_size_parse(written, &again, NULL) == 0 && again == value);
}

static void try_percent(const char *text)
{
    double value;
    double again;
    char written[SQ_UNIT_TEXT_MAX];
    struct sq_error error = {0};
    if (sq_percent_parse(text, &value, &error) != 0) {
        check_error(&error);
        return;
    }
    require(value >= 0 && value <= 100);
    sq_percent_format(value, written);
    require(sq_percent_parse(written, &again, NULL) == 0);
    /* 25 decimals are written; what is smaller than they can say loses digits. */
    require(again == value || value < 1e-8);
}

static void try_cidr(const char *text)
{
    struct sq_cidr value;
    struct sq_cidr again;
    char written[SQ_CIDR_TEXT_MAX];
    struct sq_error error = {0};
    if (sq_cidr_parse(text, &value, &error) != 0) {
        check_error(&error);
        return;
    }
    require(sq_cidr_is_valid(&value) && sq_cidr_contains(&value, &value));
    sq_cidr_format(&value, written);
    require(sq_cidr_parse(written, &again, NULL) == 0 && memcmp(&value, &again, sizeof value) == 0);
}

static void try_id(const char *text)
{
    struct sq_id id;
    char written[SQ_ID_TEXT_MAX];
    struct sq_error error = {0};
    if (sq_id_parse(text, &id, &error) != 0) {
        check_error(&error);
        return;
    }
    sq_id_format(&id, written);
    require(strcmp(text, written) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    uint64_t count;
    if (sq_count_parse(text, UINT32_MAX, &count, NULL) == 0)
        require(count <= UINT32_MAX);
    try_duration(text);
    try_size(text);
    try_percent(text);
    try_cidr(text);
    try_id(text);
    sq_text_make_printable(text);
    require(strlen(text) <= size);
    free(text);
    return 0;
}
