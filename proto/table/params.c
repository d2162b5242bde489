#include "table/params.h"

#include "common/nearest.h"
#include "common/text.h"
#include "common/units.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const struct sq_fault_info *const sq_fault_table[] = {
    &sq_network_partition_info, &sq_process_kill_info, &sq_network_latency_info,
    &sq_network_loss_info,      &sq_cpu_stress_info,   &sq_memory_stress_info,
};
const size_t sq_fault_table_count = sizeof sq_fault_table / sizeof sq_fault_table[0];
_Static_assert(sizeof sq_fault_table / sizeof sq_fault_table[0] == SQ_FAULT_KIND_MAX,
               "a table for every kind");

const struct sq_fault_info *sq_fault_by_kind(enum sq_fault_kind kind)
{
    for (size_t i = 0; i < sq_fault_table_count; i++)
        if (sq_fault_table[i]->kind == kind)
            return sq_fault_table[i];
    return NULL;
}

const struct sq_fault_info *sq_fault_by_name(const char *name)
{
    for (size_t i = 0; i < sq_fault_table_count; i++)
        if (strcmp(sq_fault_table[i]->name, name) == 0)
            return sq_fault_table[i];
    return NULL;
}

int sq_fault_name_fail(const char *name, struct sq_error *error)
{
    const char *names[SQ_FAULT_KIND_MAX];
    char list[300] = "";
    for (size_t i = 0; i < sq_fault_table_count; i++) {
        names[i] = sq_fault_table[i]->name;
        sq_text_append(list, sizeof list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const char *nearest = sq_nearest(name, names, sq_fault_table_count);
    if (nearest != NULL)
        return sq_fail(error, SQ_BAD_INPUT, "unknown fault '%.60s'; did you mean '%s'?", name, nearest);
    return sq_fail(error, SQ_BAD_INPUT, "unknown fault '%.60s'; expected one of %s", name, list);
}

const struct sq_param *sq_param_by_key(const struct sq_fault_info *info, const char *key)
{
    for (size_t i = 0; i < info->param_count; i++)
        if (strcmp(info->params[i].key, key) == 0)
            return &info->params[i];
    return NULL;
}

static void *field(struct sq_fault_spec *spec, size_t offset)
{
    return (char *)spec + offset;
}

static const void *const_field(const struct sq_fault_spec *spec, size_t offset)
{
    return (const char *)spec + offset;
}

/* Fields are read and written by memcpy: the table's offsets say nothing of alignment to the compiler. */
#define READ(spec, offset_, type)                                                                            \
    __extension__({                                                                                          \
        type value_;                                                                                         \
        memcpy(&value_, const_field(spec, offset_), sizeof value_);                                          \
        value_;                                                                                              \
    })
#define WRITE(spec, offset_, value_) memcpy(field(spec, offset_), &(value_), sizeof(value_))

void sq_spec_init(struct sq_fault_spec *spec, const struct sq_fault_info *info)
{
    memset(spec, 0, sizeof *spec);
    spec->kind = info->kind;
    for (size_t i = 0; i < info->param_count; i++)
        if (info->params[i].standard != NULL)
            (void)sq_spec_set(spec, &info->params[i], info->params[i].standard, NULL);
}

static size_t choice_count(const struct sq_param *param)
{
    size_t count = 0;
    while (param->choices[count] != NULL)
        count++;
    return count;
}

static int set_choice(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                      struct sq_error *error)
{
    size_t count = choice_count(param);
    char list[200] = "";
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(param->choices[i], text) == 0) {
            uint32_t value = i + 1;
            WRITE(spec, param->offset, value);
            return 0;
        }
        sq_text_append(list, sizeof list, "%s%s", i == 0 ? "" : ", ", param->choices[i]);
    }
    return sq_fail(error, SQ_BAD_INPUT, "'%.60s' is not a value of '%s'; expected one of %s", text,
                   param->key, list);
}

/* A slip, and each entry costs. That one range holds another is fine. */
static int fail_twice(const struct sq_param *param, const struct sq_cidr *cidr, struct sq_error *error)
{
    char text[SQ_CIDR_TEXT_MAX];
    sq_cidr_format(cidr, text);
    return sq_fail(error, SQ_BAD_INPUT, "'%s' names %s twice", param->key, text);
}

static int set_cidr(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                    struct sq_error *error)
{
    uint32_t count = READ(spec, param->count_offset, uint32_t);
    if (count >= (uint32_t)param->most)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' has more than %.0f entries", param->key, param->most);
    struct sq_cidr cidr;
    if (sq_cidr_parse(text, &cidr, error) != 0)
        return sq_fail_in(error, "'%s'", param->key);
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(const_field(spec, param->offset + i * sizeof cidr), &cidr, sizeof cidr) == 0)
            return fail_twice(param, &cidr, error);
    WRITE(spec, param->offset + count * sizeof cidr, cidr);
    count++;
    WRITE(spec, param->count_offset, count);
    return 0;
}

static int set_text(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                    struct sq_error *error)
{
    size_t length = strlen(text);
    if (length >= param->size)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is longer than %zu bytes", param->key, param->size - 1);
    if (length == 0)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is empty", param->key);
    char *target = field(spec, param->offset);
    memset(target, 0, param->size);
    memcpy(target, text, length);
    return 0;
}

/* A range in the unit in which people write it. */
static void format_bound(const struct sq_param *param, double bound, char text[SQ_UNIT_TEXT_MAX])
{
    if (param->type == SQ_PARAM_DURATION)
        sq_duration_format((uint64_t)bound, text);
    else if (param->type == SQ_PARAM_SIZE)
        sq_size_format((uint64_t)bound, text);
    else if (param->type == SQ_PARAM_PERCENT)
        sq_percent_format(bound, text);
    else
        (void)snprintf(text, SQ_UNIT_TEXT_MAX, "%.0f", bound);
}

static int check_range(const struct sq_param *param, double value, struct sq_error *error)
{
    if (value >= param->least && value <= param->most)
        return 0;
    char least[SQ_UNIT_TEXT_MAX];
    char most[SQ_UNIT_TEXT_MAX];
    format_bound(param, param->least, least);
    format_bound(param, param->most, most);
    return sq_fail(error, SQ_BAD_INPUT, "'%s' is out of range; expected %s to %s", param->key, least, most);
}

static int set_number(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                      struct sq_error *error)
{
    uint64_t number = 0;
    double percent = 0;
    int result;
    switch (param->type) {
    case SQ_PARAM_PERCENT:
        result = sq_percent_parse(text, &percent, error);
        break;
    case SQ_PARAM_DURATION:
        result = sq_duration_parse(text, &number, error);
        break;
    case SQ_PARAM_SIZE:
        result = sq_size_parse(text, &number, error);
        break;
    default:
        result = sq_count_parse(text, param->type == SQ_PARAM_SEED ? UINT64_MAX : UINT32_MAX, &number, error);
    }
    if (result != 0)
        return sq_fail_in(error, "'%s'", param->key);
    double value = param->type == SQ_PARAM_PERCENT ? percent : (double)number;
    if (param->type != SQ_PARAM_SEED && check_range(param, value, error) != 0)
        return -1;
    uint32_t narrow = (uint32_t)number;
    if (param->type == SQ_PARAM_PERCENT)
        WRITE(spec, param->offset, percent);
    else if (param->type == SQ_PARAM_COUNT)
        WRITE(spec, param->offset, narrow);
    else
        WRITE(spec, param->offset, number);
    return 0;
}

static int set_cores(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                     int (*read)(const char *text, struct sq_cores *cores, struct sq_error *error),
                     struct sq_error *error)
{
    struct sq_cores cores = READ(spec, param->offset, struct sq_cores);
    if (read(text, &cores, error) != 0)
        return sq_fail_in(error, "'%s'", param->key);
    WRITE(spec, param->offset, cores);
    return 0;
}

int sq_spec_set_item(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                     struct sq_error *error)
{
    if (param->type == SQ_PARAM_CORES)
        return set_cores(spec, param, text, sq_cores_add, error);
    return sq_spec_set(spec, param, text, error);
}

bool sq_param_takes_list(const struct sq_param *param)
{
    return param->type == SQ_PARAM_CIDRS || param->type == SQ_PARAM_CORES;
}

int sq_spec_set(struct sq_fault_spec *spec, const struct sq_param *param, const char *text,
                struct sq_error *error)
{
    switch (param->type) {
    case SQ_PARAM_CHOICE:
        return set_choice(spec, param, text, error);
    case SQ_PARAM_TEXT:
        return set_text(spec, param, text, error);
    case SQ_PARAM_CIDRS:
        return set_cidr(spec, param, text, error);
    case SQ_PARAM_SIGNAL: {
        uint32_t number;
        if (sq_signal_parse(text, &number, error) != 0)
            return -1;
        WRITE(spec, param->offset, number);
        return 0;
    }
    case SQ_PARAM_CORES:
        return set_cores(spec, param, text, sq_cores_parse, error);
    default:
        return set_number(spec, param, text, error);
    }
}

#define PLACES (2 * SQ_PEERS_MAX)

static uint32_t place_of(const struct sq_cidr *cidr)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    const uint8_t *bytes = (const uint8_t *)cidr;
    for (size_t i = 0; i < sizeof *cidr; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash ^ hash >> 16) % PLACES;
}

/*
 * Through a table of places, since what comes from afar may have as many entries as there can be. qsort would
 * do, but asks for the size of the machine's memory, which the sandbox of the front does not allow.
 */
static int check_twice(const struct sq_fault_spec *spec, const struct sq_param *param, uint32_t count,
                       struct sq_error *error)
{
    uint16_t places[PLACES] = {0}; /* 1 + the entry that stands there */
    _Static_assert(sizeof(struct sq_cidr) == 18, "no padding: compared and hashed as bytes");
    for (uint32_t i = 0; i < count && i < SQ_PEERS_MAX; i++) {
        struct sq_cidr cidr = READ(spec, param->offset + i * sizeof cidr, struct sq_cidr);
        uint32_t place = place_of(&cidr);
        for (; places[place] != 0; place = (place + 1) % PLACES)
            if (memcmp(const_field(spec, param->offset + (places[place] - 1u) * sizeof cidr), &cidr,
                       sizeof cidr) == 0)
                return fail_twice(param, &cidr, error);
        places[place] = (uint16_t)(i + 1);
    }
    return 0;
}

static int check_cidrs(const struct sq_fault_spec *spec, const struct sq_param *param, struct sq_error *error)
{
    uint32_t count = READ(spec, param->count_offset, uint32_t);
    if (count > (uint32_t)param->most)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' has more than %.0f entries", param->key, param->most);
    if (count == 0 && param->required)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is missing", param->key);
    for (uint32_t i = 0; i < count; i++) {
        struct sq_cidr cidr = READ(spec, param->offset + i * sizeof cidr, struct sq_cidr);
        if (!sq_cidr_is_valid(&cidr))
            return sq_fail(error, SQ_BAD_INPUT, "entry %u of '%s' is not an address range", i + 1,
                           param->key);
    }
    return check_twice(spec, param, count, error);
}

static int check_text(const struct sq_fault_spec *spec, const struct sq_param *param, struct sq_error *error)
{
    const char *text = const_field(spec, param->offset);
    if (!sq_text_is_terminated(text, param->size))
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is longer than %zu bytes", param->key, param->size - 1);
    if (text[0] == '\0' && param->required)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is missing", param->key);
    return 0;
}

/* An optional number that is zero was not given, and has no range to keep. */
static int check_number(const struct sq_param *param, double value, struct sq_error *error)
{
    if (value == 0 && !param->required)
        return 0;
    if (value == 0)
        return sq_fail(error, SQ_BAD_INPUT, "'%s' is missing", param->key);
    return check_range(param, value, error);
}

static int check_param(const struct sq_fault_spec *spec, const struct sq_param *param, struct sq_error *error)
{
    switch (param->type) {
    case SQ_PARAM_CHOICE: {
        uint32_t value = READ(spec, param->offset, uint32_t);
        if (value == 0 || value > choice_count(param))
            return sq_fail(error, SQ_BAD_INPUT, "'%s' has no valid value", param->key);
        return 0;
    }
    case SQ_PARAM_TEXT:
        return check_text(spec, param, error);
    case SQ_PARAM_CIDRS:
        return check_cidrs(spec, param, error);
    case SQ_PARAM_COUNT:
        return check_number(param, READ(spec, param->offset, uint32_t), error);
    case SQ_PARAM_PERCENT:
        return check_number(param, READ(spec, param->offset, double), error);
    case SQ_PARAM_DURATION:
    case SQ_PARAM_SIZE:
        return check_number(param, (double)READ(spec, param->offset, uint64_t), error);
    case SQ_PARAM_SIGNAL:
        if (!sq_signal_is_allowed(READ(spec, param->offset, uint32_t)))
            return sq_fail(error, SQ_BAD_INPUT, "'%s' is not a signal that may be sent", param->key);
        return 0;
    case SQ_PARAM_CORES: {
        struct sq_cores cores = READ(spec, param->offset, struct sq_cores);
        return sq_cores_check(&cores, error) == 0 ? 0 : sq_fail_in(error, "'%s'", param->key);
    }
    case SQ_PARAM_SEED:
        return 0;
    }
    return sq_fail(error, SQ_INTERNAL, "'%s' has an unknown type", param->key);
}

int sq_spec_check(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    const char *ignored;
    if (culprit == NULL)
        culprit = &ignored;
    *culprit = NULL;
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    if (info == NULL)
        return sq_fail(error, SQ_BAD_INPUT, "fault kind %d is unknown here", (int)spec->kind);
    for (size_t i = 0; i < info->param_count; i++) {
        if (check_param(spec, &info->params[i], error) != 0) {
            *culprit = info->params[i].key;
            return -1;
        }
    }
    return info->check == NULL ? 0 : info->check(spec, culprit, error);
}

int sq_spec_check_duration(const struct sq_fault_spec *spec, uint64_t duration_ns, const char **culprit,
                           struct sq_error *error)
{
    const char *ignored;
    if (culprit == NULL)
        culprit = &ignored;
    *culprit = NULL;
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    if (info == NULL || info->check_duration == NULL)
        return 0;
    return info->check_duration(spec, duration_ns, culprit, error);
}

bool sq_param_format_item(const struct sq_fault_spec *spec, const struct sq_param *param, size_t i,
                          char *text, size_t size)
{
    if (param->type != SQ_PARAM_CIDRS || i >= READ(spec, param->count_offset, uint32_t))
        return false;
    struct sq_cidr cidr = READ(spec, param->offset + i * sizeof cidr, struct sq_cidr);
    char formatted[SQ_CIDR_TEXT_MAX];
    sq_cidr_format(&cidr, formatted);
    (void)sq_text_copy(text, size, formatted);
    return true;
}

static bool format_list(const struct sq_fault_spec *spec, const struct sq_param *param, char *text,
                        size_t size)
{
    char item[SQ_CIDR_TEXT_MAX];
    text[0] = '\0';
    for (size_t i = 0; sq_param_format_item(spec, param, i, item, sizeof item); i++)
        sq_text_append(text, size, "%s%s", i == 0 ? "" : ", ", item);
    return text[0] != '\0';
}

bool sq_param_format(const struct sq_fault_spec *spec, const struct sq_param *param, char *text, size_t size)
{
    char number[SQ_UNIT_TEXT_MAX] = "";
    switch (param->type) {
    case SQ_PARAM_CIDRS:
        return format_list(spec, param, text, size);
    case SQ_PARAM_TEXT:
        (void)sq_text_copy(text, size, const_field(spec, param->offset));
        return text[0] != '\0';
    case SQ_PARAM_CHOICE: {
        uint32_t value = READ(spec, param->offset, uint32_t);
        if (value == 0 || value > choice_count(param))
            return false;
        (void)sq_text_copy(text, size, param->choices[value - 1]);
        return true;
    }
    case SQ_PARAM_CORES: {
        struct sq_cores cores = READ(spec, param->offset, struct sq_cores);
        return sq_cores_format(&cores, text, size);
    }
    case SQ_PARAM_SIGNAL:
        (void)sq_text_copy(text, size, sq_signal_name(READ(spec, param->offset, uint32_t)));
        return READ(spec, param->offset, uint32_t) != 0;
    case SQ_PARAM_COUNT:
        (void)snprintf(number, sizeof number, "%" PRIu32, READ(spec, param->offset, uint32_t));
        break;
    case SQ_PARAM_SEED:
        (void)snprintf(number, sizeof number, "%" PRIu64, READ(spec, param->offset, uint64_t));
        break;
    case SQ_PARAM_PERCENT:
        sq_percent_format(READ(spec, param->offset, double), number);
        break;
    case SQ_PARAM_DURATION:
        sq_duration_format(READ(spec, param->offset, uint64_t), number);
        break;
    case SQ_PARAM_SIZE:
        sq_size_format(READ(spec, param->offset, uint64_t), number);
        break;
    }
    (void)sq_text_copy(text, size, number);
    bool is_zero = number[0] == '0' && strpbrk(number, "123456789") == NULL;
    return param->type == SQ_PARAM_SEED || param->required || !is_zero;
}

/* Anything else than what an agent that does not know the parameter would do. */
static bool is_given(const struct sq_fault_spec *spec, const struct sq_param *param)
{
    char text[SQ_PARAM_TEXT_MAX];
    if (!sq_param_format(spec, param, text, sizeof text))
        return false;
    return param->standard == NULL || strcmp(text, param->standard) != 0;
}

int sq_spec_check_version_of(const struct sq_fault_info *info, const struct sq_fault_spec *spec,
                             uint32_t version, struct sq_error *error)
{
    if (version < info->since)
        return sq_fail(error, SQ_UNABLE,
                       "the agent speaks protocol version %u and knows no %s, which came with version %u; "
                       "update squalld on that host",
                       version, info->name, info->since);
    for (size_t i = 0; i < info->param_count; i++)
        if (version < info->params[i].since && is_given(spec, &info->params[i]))
            return sq_fail(error, SQ_UNABLE,
                           "the agent speaks protocol version %u and knows no '%s' of %s, which came with "
                           "version %u; update squalld on that host",
                           version, info->params[i].key, info->name, info->params[i].since);
    return 0;
}

int sq_spec_check_version(const struct sq_fault_spec *spec, uint32_t version, struct sq_error *error)
{
    const struct sq_fault_info *info = sq_fault_by_kind(spec->kind);
    return info == NULL ? 0 : sq_spec_check_version_of(info, spec, version, error);
}

bool sq_spec_collides(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    const struct sq_fault_info *info = sq_fault_by_kind(a->kind);
    const struct sq_fault_info *other = sq_fault_by_kind(b->kind);
    return info != NULL && other != NULL && info->resource == other->resource && info->collides != NULL &&
           info->collides(a, b);
}

/* The signals of signal(7) that end a process or that it may handle; the stopping ones are left out on
 * purpose. */
static const struct {
    const char *name;
    uint32_t number;
} signals[] = {
    {"KILL", SIGKILL}, {"TERM", SIGTERM}, {"INT", SIGINT},   {"HUP", SIGHUP},   {"QUIT", SIGQUIT},
    {"ABRT", SIGABRT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"SEGV", SIGSEGV}, {"BUS", SIGBUS},
    {"FPE", SIGFPE},   {"ILL", SIGILL},   {"ALRM", SIGALRM}, {"PIPE", SIGPIPE},
};
#define SIGNALS (sizeof signals / sizeof signals[0])

int sq_signal_parse(const char *text, uint32_t *number, struct sq_error *error)
{
    const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
    uint64_t wanted = 0;
    bool by_number = sq_count_parse(text, 64, &wanted, NULL) == 0;
    for (size_t i = 0; i < SIGNALS; i++) {
        if (by_number ? signals[i].number == wanted : strcmp(signals[i].name, name) == 0) {
            *number = signals[i].number;
            return 0;
        }
    }
    char list[200] = "";
    for (size_t i = 0; i < SIGNALS; i++)
        sq_text_append(list, sizeof list, "%s%s", i == 0 ? "" : ", ", signals[i].name);
    return sq_fail(error, SQ_BAD_INPUT, "'%.30s' is not a signal that may be sent; expected one of %s", text,
                   list);
}

const char *sq_signal_name(uint32_t number)
{
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number)
            return signals[i].name;
    return "none";
}

bool sq_signal_is_allowed(uint32_t number)
{
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number)
            return true;
    return false;
}
