/*
 * Fault parameters: lines "key value" set one after the other as an experiment does, and a whole spec of raw
 * bytes as a broken peer might send; the first byte picks which. What passes sq_spec_check is in range and
 * reads back the same.
 */
#include "table/message.h"
#include "table/params.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sq_fault_spec spec;
static struct sq_fault_spec copy;
static struct sq_request request;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_promises(void)
{
    if (spec.kind == SQ_PROCESS_KILL) {
        require(sq_signal_is_allowed(spec.kill.signal));
        require(spec.kill.count == 0 || spec.kill.percent == 0);
        require(spec.kill.percent >= 0 && spec.kill.percent <= 100 && spec.kill.count <= 10000);
    } else if (spec.kind == SQ_NETWORK_PARTITION) {
        require(spec.partition.selector.to_count >= 1 && spec.partition.selector.to_count <= SQ_PEERS_MAX);
        require(spec.partition.selector.except_count <= SQ_EXCEPT_MAX);
    }
    (void)sq_spec_collides(&spec, &spec);
}

/* Every parameter is written as text and read into a fresh spec. */
static void check_reads_back(const struct sq_fault_info *info)
{
    char text[SQ_PARAM_TEXT_MAX];
    sq_spec_init(&copy, info);
    for (size_t p = 0; p < info->param_count; p++) {
        const struct sq_param *param = &info->params[p];
        if (param->type == SQ_PARAM_CIDRS) {
            for (size_t i = 0; sq_param_format_item(&spec, param, i, text, sizeof text); i++)
                require(sq_spec_set(&copy, param, text, NULL) == 0);
        } else if (sq_param_format(&spec, param, text, sizeof text)) {
            require(sq_spec_set(&copy, param, text, NULL) == 0);
        }
    }
    require(memcmp(&spec, &copy, sizeof spec) == 0);
}

static void set_lines(const struct sq_fault_info *info, char *text)
{
    sq_spec_init(&spec, info);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *value = line;
        const char *key = strsep(&value, " ");
        const struct sq_param *param = sq_param_by_key(info, key);
        struct sq_error error = {0};
        if (param == NULL || value == NULL)
            continue;
        /* An entry of a list, as in a file, or the whole. */
        bool is_entry = value[0] == '[';
        if ((is_entry ? sq_spec_set_item(&spec, param, value + 1, &error)
                      : sq_spec_set(&spec, param, value, &error)) != 0)
            require(error.code == SQ_BAD_INPUT && error.text[0] != '\0');
    }
    const char *culprit = NULL;
    struct sq_error error = {0};
    if (sq_spec_check(&spec, &culprit, &error) != 0) {
        require(error.code == SQ_BAD_INPUT && (culprit == NULL || sq_param_by_key(info, culprit) != NULL));
        return;
    }
    for (uint64_t duration_ns = 1; duration_ns != 0; duration_ns <<= 1)
        if (sq_spec_check_duration(&spec, duration_ns, &culprit, &error) != 0)
            require(error.code == SQ_BAD_INPUT && sq_param_by_key(info, culprit) != NULL);
    check_promises();
    check_reads_back(info);
}

static void take_raw(const uint8_t *data, size_t size)
{
    memset(&spec, size > 0 ? data[0] : 0, sizeof spec);
    memcpy(&spec, data, size < sizeof spec ? size : sizeof spec);
    if (sq_spec_check(&spec, NULL, NULL) == 0)
        check_promises();
    memset(&request, 0, sizeof request);
    memcpy(&request, data, size < sizeof request ? size : sizeof request);
    request.faults[0].spec = spec;
    (void)sq_request_check(&request, NULL);
    request.version = SQ_PROTOCOL_VERSION;
    request.verb = SQ_VERB_PREVIEW;
    request.fault_count = 1;
    (void)sq_request_check(&request, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    if (data[0] == 0xff)
        take_raw(data + 1, size - 1);
    else
        set_lines(sq_fault_table[data[0] % sq_fault_table_count], text);
    free(text);
    return 0;
}
