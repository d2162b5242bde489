#include "commands/output.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "model/ending.h"
#include "reading/experiment.h"
#include "reading/kind.h"
#include "screen/style.h"
#include "json/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "FILE:LINE: ..." or "FILE:LINE:COLUMN: ..."; a URL or a host with a port is none. */
static void add_place(json_t *problem, const char *message)
{
    size_t length = strcspn(message, ": ");
    const char *at = message + length;
    json_int_t numbers[2] = {0, 0};
    size_t count = 0;
    while (count < 2 && at[0] == ':' && isdigit((unsigned char)at[1])) {
        char *end = NULL;
        numbers[count++] = strtoll(at + 1, &end, 10);
        at = end;
    }
    if (length == 0 || count == 0 || strncmp(at, ": ", 2) != 0)
        return;
    (void)json_object_set_new(problem, "file", json_stringn(message, length));
    (void)json_object_set_new(problem, "line", json_integer(numbers[0]));
    if (count == 2)
        (void)json_object_set_new(problem, "column", json_integer(numbers[1]));
}

json_t *sq_output_problem(enum sq_code code, const char *message)
{
    /* Messages quote files, agents and arguments, which may hold escape sequences. */
    char text[SQ_ERROR_TEXT_MAX];
    (void)sq_text_copy(text, sizeof text, message);
    sq_text_make_printable(text);
    json_t *problem = json_pack("{s:s, s:o}", "code", sq_code_name(code), "message", sq_json_text(text));
    if (problem != NULL)
        add_place(problem, text);
    return problem;
}

int sq_output_text(int status)
{
    bool whole = fflush(stdout) == 0 && ferror(stdout) == 0;
    return whole || status != SQ_EXIT_COMPLETED ? status : SQ_EXIT_FAILED;
}

int sq_output_json(json_t *value, int status, const struct sq_error *error)
{
    bool whole = value != NULL;
    /* A document that says 0 and does not arrive is not believed: then the status is another one. */
    (void)json_object_set_new(value, "exit_status", json_integer(status));
    if (error != NULL)
        (void)json_object_set_new(value, "error", sq_output_problem(error->code, error->text));
    whole = whole && json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0 &&
            putchar('\n') != EOF;
    json_decref(value);
    status = sq_output_text(status);
    return whole || status != SQ_EXIT_COMPLETED ? status : SQ_EXIT_FAILED;
}

void sq_output_problems(const struct sq_options *options, const struct sq_problems *problems)
{
    bool colored = sq_style_is_wanted(options->color, stderr);
    for (uint32_t i = 0; i < problems->count; i++) {
        const struct sq_problem *problem = problems->list[i];
        int place = problem->is_warning ? (int)(problem->message - problem->error.text) : 0;
        enum sq_style style = problem->is_warning ? SQ_STYLE_WARNING : SQ_STYLE_BAD;
        (void)fprintf(stderr, "%s%.*s%s%s%s\n", sq_style_begin(colored, style), place, problem->error.text,
                      problem->is_warning ? "warning: " : "", problem->error.text + place,
                      sq_style_end(colored));
    }
    if (problems->dropped > 0)
        (void)fprintf(stderr, "and %u more problems\n", problems->dropped);
}

int sq_command_read_experiment(const struct sq_options *options, const struct sq_input *input,
                               struct sq_experiment **experiment, struct sq_error *error)
{
    sq_autoproblems struct sq_problems problems = {0};
    if (sq_experiment_examine(input, options->settings, options->setting_count, experiment, &problems) != 0) {
        (void)sq_problems_first(&problems, error);
        sq_file_kind_explain(input, SQ_FILE_EXPERIMENT, error);
        return -1;
    }
    sq_output_problems(options, &problems);
    return 0;
}

int sq_output_finish(int status, bool was_closed)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    failed = fflush(stdout) != 0 || failed;
    if (!failed && !was_closed)
        return status;
    const char *why = was_closed ? "it is closed" : errno != 0 ? strerrordesc_np(errno) : "a write failed";
    /* Who went away (`| head`) knows it. */
    if (was_closed || errno != EPIPE)
        (void)fprintf(stderr, "squall: standard output could not be written: %s\n", why);
    return status == SQ_EXIT_COMPLETED ? SQ_EXIT_FAILED : status;
}

int sq_command_fail(const struct sq_options *options, const struct sq_error *error)
{
    int status = (int)sq_exit_of(error->code);
    if (options->json)
        return sq_output_json(json_object(), status, error);
    /* Messages quote files, agents and arguments, which may hold escape sequences. */
    char text[SQ_ERROR_TEXT_MAX];
    (void)sq_text_copy(text, sizeof text, error->text);
    sq_text_make_printable(text);
    bool colored = sq_style_is_wanted(options->color, stderr);
    (void)fprintf(stderr, "%ssquall:%s %s\n", sq_style_begin(colored, SQ_STYLE_BAD), sq_style_end(colored),
                  text);
    return status;
}
