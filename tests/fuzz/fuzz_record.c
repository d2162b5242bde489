/*
 * A run record as a crash or a stranger may leave it: reading it, summing it up and reporting it survive
 * every byte sequence, the text steers no terminal, and the document is JSON that is read back to the same.
 */
#include "common/cleanup.h"
#include "reports/report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        require((unsigned char)text[i] >= 0x20 || text[i] == '\n');
}

/* The text and the document of a record; NULL: it is none. */
static char *report(const void *data, size_t size, size_t *document_size)
{
    static const struct sq_report_style plain = {"", "", "", "", ""};
    struct sq_error error;
    struct sq_record_reader *reader = NULL;
    struct sq_summary *summary = NULL;
    char *document = NULL;
    sq_autofree char *text = NULL;
    size_t text_size = 0;
    FILE *input = fmemopen((void *)(uintptr_t)data, size, "r");
    if (input == NULL || sq_record_reader_open_stream(input, "record", &reader, &error) != 0)
        return NULL;
    require(sq_summary_read(reader, &summary, &error) == 0);
    require(summary->kept <= SQ_SUMMARY_BYTES_MAX && summary->probe_count <= SQ_PROBES_MAX);
    struct sq_report about = {.summary = summary, .record_path = "record"};
    FILE *stream = open_memstream(&text, &text_size);
    sq_report_text(&about, &plain, stream);
    (void)fclose(stream);
    check_text(text, text_size);
    stream = open_memstream(&document, document_size);
    require(sq_report_json(&about, reader, stream, &error) == 0);
    (void)fclose(stream);
    sq_summary_free(summary);
    sq_record_reader_close(reader);
    return document;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t first_size = 0;
    size_t second_size = 0;
    if (size == 0)
        return 0;
    sq_autofree char *first = report(data, size, &first_size);
    if (first == NULL)
        return 0;
    sq_autofree char *second = report(first, first_size, &second_size);
    json_error_t problem;
    json_t *root = json_loadb(first, first_size, 0, &problem);
    require(root != NULL && second != NULL && second_size > 0);
    json_decref(root);
    return 0;
}
