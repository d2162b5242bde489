/* Requests from nowhere: refused with words, or valid, and the same after another trip over the wire. */
#include "common/cleanup.h"
#include "wire/wire.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sq_request request;
    struct sq_error error = {0};
    if (sq_wire_decode_request(data, size, &request, &error) != 0) {
        if (error.code == SQ_OK || error.text[0] == '\0')
            abort();
        return 0;
    }
    sq_autofree uint8_t *first = NULL;
    sq_autofree uint8_t *second = NULL;
    size_t first_length = 0;
    size_t second_length = 0;
    if (sq_request_check(&request, NULL) != 0 ||
        sq_wire_encode_request(&request, &first, &first_length, NULL) != 0 ||
        sq_wire_decode_request(first, first_length, &request, NULL) != 0 ||
        sq_wire_encode_request(&request, &second, &second_length, NULL) != 0 ||
        first_length != second_length || memcmp(first, second, first_length) != 0)
        abort();
    return 0;
}
