#include "commands/output.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "model/ending.h"
#include "screen/style.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int sq_output_json(json_t *value)
{
    if (value == NULL)
        return -1;
    int result = json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(value);
    if (result != 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        return -1;
    return 0;
}

int sq_command_fail(const struct sq_options *options, const struct sq_error *error)
{
    int status = (int)sq_exit_of(error->code);
    /* Messages quote files, agents and arguments, which may hold escape sequences. */
    char text[SQ_ERROR_TEXT_MAX];
    (void)sq_text_copy(text, sizeof text, error->text);
    sq_text_make_printable(text);
    if (options->json) {
        (void)sq_output_json(json_pack("{s:{s:s, s:o}, s:i}", "error", "code", sq_code_name(error->code),
                                       "message", sq_json_text(text), "exit", status));
        return status;
    }
    bool colored = sq_style_is_wanted(options->color, stderr);
    (void)fprintf(stderr, "%ssquall:%s %s\n", sq_style_begin(colored, SQ_STYLE_BAD), sq_style_end(colored),
                  text);
    return status;
}
