#include "planning/plan_file.h"

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/id.h"
#include "common/output.h"
#include "common/secret.h"
#include "common/text.h"
#include "planning/plan_json.h"
#include "reading/experiment.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>

#define FORMAT      "squall plan 2" /* 1 had durations as texts */
#define FORMAT_WORD "squall plan "
#define FILE_MODE   0600 /* the experiment's text is in it */

/* A copy in which 30 and 30.0 are the same: which of them stands in a file is its writer's taste. */
static json_t *canonical(json_t *content)
{
    sq_autofree char *text = json_dumps(content, JSON_COMPACT);
    return text != NULL ? json_loads(text, JSON_DECODE_INT_AS_REAL, NULL) : NULL;
}

/* The hash of everything but the hash: compact, keys sorted, so that layout does not matter. */
static int hash(json_t *content, char sha256[SQ_SHA256_TEXT_MAX], struct sq_error *error)
{
    json_t *copy = canonical(content);
    if (copy == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    (void)json_object_del(copy, "sha256");
    sq_autofree char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(copy);
    uint8_t digest[32];
    if (text == NULL || mbedtls_sha256_ret((const unsigned char *)text, strlen(text), digest, 0) != 0)
        return sq_fail(error, SQ_SYSTEM, "cannot hash the plan: out of memory");
    sq_hex_format(digest, sizeof(digest), sha256);
    return 0;
}

/* {"format": "squall plan ..., as we write it: what a person has laid out anew is not ours to replace. */
static bool is_own_plan(const char *beginning, size_t length)
{
    static const char *const words[] = {"{", "\"format\"", ":", "\"", FORMAT_WORD};
    (void)length;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        beginning += strspn(beginning, " \t\r\n");
        if (strncmp(beginning, words[i], strlen(words[i])) != 0)
            return false;
        beginning += strlen(words[i]);
    }
    return true;
}

static const struct sq_output_form plan_form = {.what = "plan", .mode = FILE_MODE, .is_own = is_own_plan};

int sq_plan_file_check_path(const char *path, struct sq_error *error)
{
    return sq_output_check(path, &plan_form, error);
}

static json_t *settings_json(const struct sq_setting *settings, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_pack("{s:o, s:o}", "name", sq_json_text(settings[i].name),
                                                    "value", sq_json_text(settings[i].value)));
    return list;
}

/* A plan holds the experiment whole; with "***" in the place of a password it would measure something else.
 */
static int check_secrets(const char *experiment_text, const struct sq_setting *settings,
                         uint32_t setting_count, struct sq_error *error)
{
    bool found = sq_secret_is_in(experiment_text);
    for (uint32_t i = 0; i < setting_count && !found; i++)
        found = sq_secret_is_in(settings[i].value);
    if (!found)
        return 0;
    return sq_fail(
        error, SQ_BAD_INPUT,
        "the experiment holds a password or a token, which is not written to a plan: let its probe "
        "take it from a file or the environment (docs/probes/http.md), or run the experiment itself");
}

int sq_plan_file_write(const char *path, const struct sq_plan *plan, bool offline,
                       const char *experiment_text, const struct sq_setting *settings, uint32_t setting_count,
                       char sha256[SQ_SHA256_TEXT_MAX], struct sq_error *error)
{
    char made[SQ_TIMESTAMP_MAX];
    char digest[SQ_SHA256_TEXT_MAX];
    if (check_secrets(experiment_text, settings, setting_count, error) != 0)
        return -1;
    sq_timestamp_format(sq_real_ns(), made);
    json_t *content = json_pack(
        "{s:s, s:s, s:s, s:b, s:{s:o, s:o, s:o}, s:{s:o}, s:o}", "format", FORMAT, "squall", SQ_VERSION,
        "made", made, "offline", (int)offline, "experiment", "path", sq_json_text(plan->experiment->path),
        "settings", settings_json(settings, setting_count), "text", sq_json_text(experiment_text),
        "inventory", "path", sq_json_text(plan->inventory->path), "plan", sq_plan_json(plan, NULL));
    if (content == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    int status = hash(content, digest, error);
    sq_autofree char *text = NULL;
    if (status == 0) {
        (void)json_object_set_new(content, "sha256", json_string(digest));
        text = json_dumps(content, JSON_INDENT(2));
        status = text != NULL ? sq_output_write_file(path, &plan_form, text, strlen(text), error)
                              : sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    json_decref(content);
    if (status == 0 && sha256 != NULL)
        memcpy(sha256, digest, sizeof(digest));
    return status;
}

bool sq_plan_file_is(const struct sq_input *input)
{
    if (input->text[strspn(input->text, " \t\r\n")] != '{')
        return false;
    json_t *content = json_loadb(input->text, input->length, 0, NULL);
    const char *format = json_string_value(json_object_get(content, "format"));
    bool is_plan = content == NULL ? strstr(input->text, "\"" FORMAT_WORD) != NULL /* a torn one */
                                   : format != NULL && strncmp(format, FORMAT_WORD, strlen(FORMAT_WORD)) == 0;
    json_decref(content);
    return is_plan;
}

/* A text of an object that has to be there. NULL with the error filled in. */
static const char *text_of(json_t *object, const char *key, const char *path, struct sq_error *error)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL)
        (void)sq_fail(error, SQ_BAD_INPUT, "%s: not a whole plan: the text '%s' is missing", path, key);
    return text;
}

static int take_settings(struct sq_plan_file *file, json_t *settings, const char *path,
                         struct sq_error *error)
{
    if (!json_is_array(settings) || json_array_size(settings) > SQ_PARAMETERS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s: not a whole plan: 'settings' must be a list of at most %d",
                       path, SQ_PARAMETERS_MAX);
    for (size_t i = 0; i < json_array_size(settings); i++) {
        const char *name = text_of(json_array_get(settings, i), "name", path, error);
        const char *value = name != NULL ? text_of(json_array_get(settings, i), "value", path, error) : NULL;
        if (value == NULL)
            return -1;
        struct sq_setting *setting = &file->settings[file->setting_count++];
        if (!sq_text_copy(setting->name, sizeof(setting->name), name) ||
            !sq_text_copy(setting->value, sizeof(setting->value), value))
            return sq_fail(error, SQ_BAD_INPUT, "%s: the setting '%.64s' is too long", path, name);
    }
    return 0;
}

static int take_content(struct sq_plan_file *file, const char *path, struct sq_error *error)
{
    json_t *content = file->content;
    const char *format = json_string_value(json_object_get(content, "format"));
    if (format != NULL && strncmp(format, FORMAT_WORD, strlen(FORMAT_WORD)) == 0 &&
        strcmp(format, FORMAT) != 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "%s: another version of squall made this plan (its format is \"%.64s\", here \"%s\"): "
                       "make it again from the experiment with `squall plan -o`",
                       path, format, FORMAT);
    if (format == NULL || strcmp(format, FORMAT) != 0)
        return sq_fail(error, SQ_BAD_INPUT, "%s: expected a file of format \"%s\", found \"%.64s\"", path,
                       FORMAT, format != NULL ? format : "");
    const char *promised = text_of(content, "sha256", path, error);
    if (promised == NULL || hash(content, file->sha256, error) != 0)
        return -1;
    if (strcmp(promised, file->sha256) != 0)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "%s: the plan was changed after it was made (its SHA-256 is %s, not %.64s): make it again with "
            "`squall plan -o`",
            path, file->sha256, promised);
    json_t *experiment = json_object_get(content, "experiment");
    file->experiment_path = text_of(experiment, "path", path, error);
    if (file->experiment_path == NULL)
        return -1;
    file->experiment_text = text_of(experiment, "text", path, error);
    if (file->experiment_text == NULL)
        return -1;
    file->inventory_path = text_of(json_object_get(content, "inventory"), "path", path, error);
    if (file->inventory_path == NULL)
        return -1;
    file->offline = !json_is_false(json_object_get(content, "offline"));
    if (!json_is_array(json_object_get(json_object_get(content, "plan"), "hosts")))
        return sq_fail(error, SQ_BAD_INPUT, "%s: not a whole plan: its list of hosts is missing", path);
    return take_settings(file, json_object_get(experiment, "settings"), path, error);
}

int sq_plan_file_load(const struct sq_input *input, struct sq_plan_file **result, struct sq_error *error)
{
    struct sq_plan_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    json_error_t problem;
    file->content =
        json_loadb(input->text, input->length, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &problem);
    int status = file->content != NULL ? take_content(file, input->path, error)
                                       : sq_fail(error, SQ_BAD_INPUT, "%s:%d:%d: not a plan: %s", input->path,
                                                 problem.line, problem.column, problem.text);
    if (status != 0) {
        sq_plan_file_free(file);
        return -1;
    }
    *result = file;
    return 0;
}

void sq_plan_file_free(struct sq_plan_file *file)
{
    if (file == NULL)
        return;
    json_decref(file->content);
    free(file);
}

void sq_plan_file_cleanup(struct sq_plan_file **file)
{
    sq_plan_file_free(*file);
}

int sq_plan_file_experiment(const struct sq_plan_file *file, struct sq_experiment **experiment,
                            struct sq_error *error)
{
    return sq_experiment_parse(file->experiment_path, file->experiment_text, strlen(file->experiment_text),
                               file->settings, file->setting_count, experiment, error);
}

/* ---- Comparing ---- */

/* Differences as they are found; one text that grows. */
struct differences {
    char *text;
    size_t length;
    FILE *stream;
    uint32_t count;
    bool offline; /* no agent promised anything: only hosts and orders are compared */
    bool local;   /* both by --local, whose agent has another URL every time */
};

static const char *name_of(json_t *host)
{
    const char *name = json_string_value(json_object_get(host, "name"));
    return name != NULL ? name : "?";
}

static json_t *host_by_name(json_t *hosts, const char *name)
{
    for (size_t i = 0; i < json_array_size(hosts); i++)
        if (strcmp(name_of(json_array_get(hosts, i)), name) == 0)
            return json_array_get(hosts, i);
    return NULL;
}

static void differ(struct differences *differences, const char *host, const char *what, const char *detail)
{
    differences->count++;
    (void)fprintf(differences->stream, "%s: %s%s\n", host, what, detail);
}

static bool has_line(json_t *lines, json_t *line)
{
    for (size_t i = 0; i < json_array_size(lines); i++)
        if (json_equal(json_array_get(lines, i), line))
            return true;
    return false;
}

/* Lines of `one` that are not in `other`: what is touched, spared or warned of is part of the promise, notes
 * are not. */
static void compare_lines(struct differences *differences, const char *host, json_t *one, json_t *other,
                          const char *which)
{
    for (size_t i = 0; i < json_array_size(one); i++) {
        json_t *line = json_array_get(one, i);
        const char *kind = json_string_value(json_object_get(line, "kind"));
        const char *text = json_string_value(json_object_get(line, "text"));
        if (kind == NULL || text == NULL || strcmp(kind, sq_line_kind_name(SQ_LINE_NOTE)) == 0 ||
            has_line(other, line))
            continue;
        char what[128];
        (void)snprintf(what, sizeof(what), "%s%s ", which, kind);
        differ(differences, host, what, text);
    }
}

static void compare_host(struct differences *differences, json_t *promised, json_t *now)
{
    const char *host = name_of(promised);
    const char *was = json_string_value(json_object_get(promised, "agent"));
    if (!differences->local && !json_equal(json_object_get(promised, "agent"), json_object_get(now, "agent")))
        differ(differences, host, "its agent's URL is another one now; the plan says ",
               was != NULL ? was : "?");
    json_t *then_faults = json_object_get(promised, "faults");
    json_t *now_faults = json_object_get(now, "faults");
    if (json_array_size(then_faults) != json_array_size(now_faults)) {
        differ(differences, host, "another number of faults", "");
        return;
    }
    static const char *const ordered[] = {"step", "name", "fault", "duration_s", "with"};
    for (size_t i = 0; i < json_array_size(then_faults); i++) {
        json_t *then_fault = json_array_get(then_faults, i);
        json_t *now_fault = json_array_get(now_faults, i);
        for (size_t k = 0; k < sizeof(ordered) / sizeof(ordered[0]); k++)
            if (!json_equal(json_object_get(then_fault, ordered[k]), json_object_get(now_fault, ordered[k])))
                differ(differences, host, "a fault is ordered otherwise: ", ordered[k]);
        if (differences->offline)
            continue;
        json_t *then_lines = json_object_get(then_fault, "preview");
        json_t *now_lines = json_object_get(now_fault, "preview");
        compare_lines(differences, host, then_lines, now_lines, "no longer: ");
        compare_lines(differences, host, now_lines, then_lines, "new: ");
        if (!json_equal(json_object_get(then_fault, "lines_dropped"),
                        json_object_get(now_fault, "lines_dropped")))
            differ(differences, host, "another number of things beyond those listed", "");
    }
}

static void compare_plans(struct differences *differences, json_t *promised, json_t *now)
{
    static const char *const whole[] = {"title", "length_s", "lease_s"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        if (!json_equal(json_object_get(promised, whole[i]), json_object_get(now, whole[i])))
            differ(differences, "the experiment", "another ", whole[i]);
    json_t *then_hosts = json_object_get(promised, "hosts");
    json_t *now_hosts = json_object_get(now, "hosts");
    for (size_t i = 0; i < json_array_size(then_hosts); i++) {
        json_t *host = json_array_get(then_hosts, i);
        json_t *same = host_by_name(now_hosts, name_of(host));
        if (same == NULL)
            differ(differences, name_of(host), "no longer among the targets", "");
        else
            compare_host(differences, host, same);
    }
    for (size_t i = 0; i < json_array_size(now_hosts); i++)
        if (host_by_name(then_hosts, name_of(json_array_get(now_hosts, i))) == NULL)
            differ(differences, name_of(json_array_get(now_hosts, i)),
                   "would be hit now, and is not in the plan", "");
}

int sq_plan_file_compare(const struct sq_plan_file *file, const struct sq_plan *plan, char **text,
                         struct sq_error *error)
{
    *text = NULL;
    struct differences differences = {.offline = file->offline,
                                      .local = strcmp(file->inventory_path, SQ_INVENTORY_LOCAL) == 0 &&
                                               strcmp(plan->inventory->path, SQ_INVENTORY_LOCAL) == 0};
    differences.stream = open_memstream(&differences.text, &differences.length);
    json_t *written = sq_plan_json(plan, NULL);
    json_t *now = written != NULL ? canonical(written) : NULL;
    json_decref(written);
    if (differences.stream == NULL || now == NULL) {
        json_decref(now);
        if (differences.stream != NULL)
            (void)fclose(differences.stream);
        free(differences.text);
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    compare_plans(&differences, json_object_get(file->content, "plan"), now);
    json_decref(now);
    if (fclose(differences.stream) != 0) {
        free(differences.text);
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    }
    if (differences.count == 0) {
        free(differences.text);
        return 0;
    }
    *text = differences.text;
    return sq_fail(
        error, SQ_CONFLICT,
        "the hosts are no longer as the plan found them (%u difference%s): look at them and plan again",
        differences.count, differences.count == 1 ? "" : "s");
}
