#include "reading/input.h"

#include "common/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sq_input_read(const char *path, struct sq_input *input, struct sq_error *error)
{
    static bool stdin_is_read;
    bool is_stdin = strcmp(path, "-") == 0;
    if (is_stdin && stdin_is_read)
        return sq_fail(error, SQ_BAD_INPUT, "standard input ('-') stands here twice, and can be read once");
    stdin_is_read = stdin_is_read || is_stdin;
    *input = (struct sq_input){.path = strdup(is_stdin ? "<stdin>" : path)};
    struct stat status;
    input->is_stream = is_stdin || stat(path, &status) != 0 || !S_ISREG(status.st_mode);
    if (input->path == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    if ((is_stdin ? sq_file_read_fd(STDIN_FILENO, input->path, SQ_INPUT_BYTES_MAX, &input->text,
                                    &input->length, error)
                  : sq_file_read(path, SQ_INPUT_BYTES_MAX, &input->text, &input->length, error)) == 0)
        return 0;
    if (error != NULL)
        error->code = SQ_BAD_INPUT;
    sq_input_free(input);
    return -1;
}

void sq_input_free(struct sq_input *input)
{
    free(input->path);
    free(input->text);
    *input = (struct sq_input){0};
}

int sq_input_document(const struct sq_input *input, struct sq_document **document, struct sq_error *error)
{
    if (input->length > SQ_DOCUMENT_BYTES_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s is larger than %u bytes, the most that is read", input->path,
                       SQ_DOCUMENT_BYTES_MAX);
    return sq_document_parse(input->path, input->text, input->length, document, error);
}
