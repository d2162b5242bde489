/* The parameter tables of the stress fault kinds. */
#include "table/params.h"

#include "common/clock.h"
#include "common/units.h"

static const struct sq_param cpu_params[] = {
    {.key = "percent",
     .type = SQ_PARAM_PERCENT,
     .offset = offsetof(struct sq_fault_spec, cpu.percent),
     .least = 0.1, /* below that the stressor's own keeping of time would be most of it */
     .most = 100,
     .required = true,
     .help = "how much of each chosen core's time to use"},
    {.key = "cores",
     .type = SQ_PARAM_CORES,
     .offset = offsetof(struct sq_fault_spec, cpu.cores),
     .standard = "all",
     .help = "which cores: all that are online, the first so many of them, or these"},
};

/* Two on one core would not add up to what either of them asks. */
static bool cpu_stresses_collide(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    return sq_cores_overlap(&a->cpu.cores, &b->cpu.cores);
}

const struct sq_fault_info sq_cpu_stress_info = {
    .kind = SQ_CPU_STRESS,
    .name = "cpu.stress",
    .help = "use up part of the time of some processor cores",
    .resource = SQ_RESOURCE_CPU,
    .params = cpu_params,
    .param_count = sizeof cpu_params / sizeof cpu_params[0],
    .collides = cpu_stresses_collide,
};

#define SIZE_LEAST 4096.0             /* one page */
#define SIZE_MOST  1125899906842624.0 /* 1 PiB: more than any host has, and exact as a double */

static const struct sq_param memory_params[] = {
    {.key = "bytes",
     .type = SQ_PARAM_SIZE,
     .offset = offsetof(struct sq_fault_spec, memory.bytes),
     .least = SIZE_LEAST,
     .most = SIZE_MOST,
     .help = "how much memory to hold, resident"},
    {.key = "percent",
     .type = SQ_PARAM_PERCENT,
     .offset = offsetof(struct sq_fault_spec, memory.percent),
     .least = 0.01,
     .most = 100,
     .help = "how much to hold, in per cent of all the memory that the host has"},
    {.key = "leave",
     .type = SQ_PARAM_SIZE,
     .offset = offsetof(struct sq_fault_spec, memory.leave_bytes),
     .least = SIZE_LEAST,
     .most = SIZE_MOST,
     .help = "hold as much as leaves so much available, as of when the fault is prepared"},
    {.key = "rate",
     .type = SQ_PARAM_SIZE,
     .offset = offsetof(struct sq_fault_spec, memory.rate_bytes),
     .least = SIZE_LEAST,
     .most = SIZE_MOST,
     .help = "how much to grow in each second; without it, as fast as the host can"},
};

static int check_memory(const struct sq_fault_spec *spec, const char **culprit, struct sq_error *error)
{
    const struct sq_memory_stress *memory = &spec->memory;
    bool has_percent = memory->percent > 0;
    int given = (memory->bytes != 0) + has_percent + (memory->leave_bytes != 0);
    if (given == 0)
        return sq_fail(error, SQ_BAD_INPUT,
                       "no amount of memory is given; expected one of 'bytes', 'percent' and 'leave'");
    if (given == 1)
        return 0;
    *culprit = memory->leave_bytes != 0 ? "leave" : "percent";
    return sq_fail(error, SQ_BAD_INPUT, "'%s' and '%s' exclude each other",
                   memory->bytes != 0 ? "bytes" : "percent", *culprit);
}

static int check_memory_duration(const struct sq_fault_spec *spec, uint64_t duration_ns, const char **culprit,
                                 struct sq_error *error)
{
    const struct sq_memory_stress *memory = &spec->memory;
    if (memory->bytes == 0 || memory->rate_bytes == 0)
        return 0;
    double seconds = (double)memory->bytes / (double)memory->rate_bytes;
    if (seconds <= (double)duration_ns / (double)SQ_NS_PER_SECOND)
        return 0;
    char bytes[SQ_UNIT_TEXT_MAX];
    char rate[SQ_UNIT_TEXT_MAX];
    char duration[SQ_UNIT_TEXT_MAX];
    sq_size_format(memory->bytes, bytes);
    sq_size_format(memory->rate_bytes, rate);
    sq_duration_format(duration_ns, duration);
    *culprit = "rate";
    return sq_fail(
        error, SQ_BAD_INPUT,
        "growing by %s a second it takes %.4gs to hold %s, which goes beyond the fault's duration of "
        "%s; expected a longer duration or a higher rate",
        rate, seconds, bytes, duration);
}

/* They would count on the same memory. */
static bool memory_stresses_collide(const struct sq_fault_spec *a, const struct sq_fault_spec *b)
{
    (void)a;
    (void)b;
    return true;
}

const struct sq_fault_info sq_memory_stress_info = {
    .kind = SQ_MEMORY_STRESS,
    .name = "memory.stress",
    .help = "hold part of the host's memory",
    .resource = SQ_RESOURCE_MEMORY,
    .params = memory_params,
    .param_count = sizeof memory_params / sizeof memory_params[0],
    .check = check_memory,
    .check_duration = check_memory_duration,
    .collides = memory_stresses_collide,
};
