#include "model/probe_form.h"

#include "common/text.h"
#include "model/url.h"

#include <string.h>

const struct sq_probe_form *const sq_probe_forms[] = {&sq_probe_promql_form, &sq_probe_http_form};
const size_t sq_probe_form_count = sizeof(sq_probe_forms) / sizeof(sq_probe_forms[0]);

const struct sq_probe_form *sq_probe_form_of(enum sq_probe_kind kind)
{
    size_t i = 0;
    while (i + 1 < sq_probe_form_count && sq_probe_forms[i]->kind != kind)
        i++;
    return sq_probe_forms[i];
}

const struct sq_probe_form *sq_probe_form_by_name(const char *name)
{
    for (size_t i = 0; i < sq_probe_form_count; i++)
        if (strcmp(sq_probe_forms[i]->name, name) == 0)
            return sq_probe_forms[i];
    return NULL;
}

const struct sq_probe_form *sq_probe_form_by_target(struct sq_node probe)
{
    const struct sq_probe_form *found = NULL;
    for (size_t i = 0; i < sq_probe_form_count; i++) {
        if (!sq_node_is_there(sq_node_get(probe, sq_probe_forms[i]->name)))
            continue;
        if (found != NULL)
            return NULL;
        found = sq_probe_forms[i];
    }
    return found;
}

static int read_key(const struct sq_probe_key *key, struct sq_node node, struct sq_probe *probe,
                    struct sq_error *error)
{
    struct sq_node value = sq_node_get(node, key->key);
    if (sq_node_is_there(value))
        return key->read(key->key, value, probe, error);
    if (key->required)
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' is missing; expected %s", key->key,
                            key->expected);
    return 0;
}

void sq_probe_form_read(const struct sq_probe_form *form, struct sq_node node, struct sq_probe *probe,
                        struct sq_problems *problems)
{
    struct sq_error error;
    uint32_t before = problems->error_count;
    probe->kind = form->kind;
    for (size_t i = 0; i < form->key_count; i++)
        (void)sq_problems_note(problems, read_key(&form->keys[i], node, probe, &error), &error);
    if (form->check != NULL && problems->error_count == before)
        (void)sq_problems_note(problems, form->check(node, probe, &error), &error);
}

void sq_probe_target_format(const struct sq_probe *probe, char *text, size_t size)
{
    sq_url_show(probe->target, text, size);
}

void sq_probe_tolerance_format(const struct sq_probe *probe, char *text, size_t size)
{
    text[0] = '\0';
    sq_probe_form_of(probe->kind)->tolerance_format(probe, text, size);
}

void sq_probe_value_format(const struct sq_probe *probe, const struct sq_measurement *measurement, char *text,
                           size_t size)
{
    text[0] = '\0';
    if (!measurement->has_value)
        sq_text_append(text, size, "%s", measurement->measured ? "no answer" : "not measurable");
    else
        sq_probe_form_of(probe->kind)->value_format(probe, measurement, text, size);
}
