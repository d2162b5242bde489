#include "kernel/classifier.h"

#include "kernel/boot_clock.h"

#include "common/cleanup.h"
#include "common/text.h"

#include "bpf_program/classifier.h"
#include "classifier.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Attach types of Linux 6.6, which the headers of older systems do not name. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47

/* The last thing libbpf complained about, for the error message: it reports reasons through a callback alone.
 */
static _Thread_local char complaint[200];

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level,
                                                                const char *format, va_list arguments)
{
    if (level != LIBBPF_WARN)
        return 0;
    char text[sizeof complaint];
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    if (complaint[0] == '\0') /* the first one is nearest to the cause */
        memcpy(complaint, text, sizeof complaint);
    return 0;
}

static int fail_load(struct sq_error *error, int number)
{
    if (number == EPERM || number == EACCES)
        return sq_fail(
            error, SQ_UNABLE,
            "the kernel refused to load the classifier; squalld needs CAP_BPF and CAP_NET_ADMIN (%s)",
            complaint[0] != '\0' ? complaint : strerror(number));
    return sq_fail(
        error, SQ_UNABLE,
        "the kernel cannot load the classifier: %s (%s); it needs CONFIG_BPF_SYSCALL and Linux 5.8 or later",
        strerror(number), complaint[0] != '\0' ? complaint : "no further reason");
}

/* ---- the marks of the peers: see bpf/classifier.h ---- */

/* The first bits of an address, in the byte order that it has in memory. */
static void make_mask(uint8_t prefix, uint8_t *mask, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned bits = prefix > i * 8 ? prefix - (unsigned)i * 8 : 0;
        mask[i] = (uint8_t)(bits >= 8 ? 0xffu : 0xff00u >> bits);
    }
}

static void choose_masks(const struct sq_cidr_list *peers, struct sq_classifier_constants *constants)
{
    uint8_t shortest4 = 32;
    uint8_t shortest6 = 128;
    uint32_t mask4;
    for (size_t i = 0; i < peers->count; i++) {
        uint8_t *shortest = peers->ranges[i].family == 4 ? &shortest4 : &shortest6;
        if (peers->ranges[i].prefix < *shortest)
            *shortest = peers->ranges[i].prefix;
    }
    make_mask(shortest4, (uint8_t *)&mask4, sizeof mask4);
    make_mask(shortest6, (uint8_t *)constants->mask6, sizeof constants->mask6);
    constants->mask4 = mask4;
}

static void mark(const struct sq_cidr *peer, const struct sq_classifier_constants *constants, __u8 *marks)
{
    uint32_t word;
    uint64_t words[2];
    memcpy(&word, peer->address, sizeof word);
    memcpy(words, peer->address, sizeof words);
    uint64_t place = peer->family == 4 ? sq_classifier_mark_place(word & constants->mask4, 0)
                                       : sq_classifier_mark_place(words[0] & constants->mask6[0],
                                                                  words[1] & constants->mask6[1]);
    marks[place] = 1;
}

static int add_range(const struct bpf_map *map4, const struct bpf_map *map6, const struct sq_cidr *range,
                     uint8_t value)
{
    if (range->family == 4) {
        struct sq_prefix4 key = {.bits = range->prefix};
        memcpy(key.address, range->address, sizeof key.address);
        return bpf_map_update_elem(bpf_map__fd(map4), &key, &value, BPF_ANY);
    }
    struct sq_prefix6 key = {.bits = range->prefix};
    memcpy(key.address, range->address, sizeof key.address);
    return bpf_map_update_elem(bpf_map__fd(map6), &key, &value, BPF_ANY);
}

static int add_peers(const struct sq_classifier *classifier, const struct sq_cidr_list *peers)
{
    int result = 0;
    for (size_t i = 0; i < peers->count && result == 0; i++)
        result = add_range(classifier->maps.peers4, classifier->maps.peers6, &peers->ranges[i], 1);
    return result;
}

static bool is_within(const struct sq_cidr_list *list, const struct sq_cidr *range)
{
    for (size_t i = 0; i < list->count; i++)
        if (sq_cidr_contains(&list->ranges[i], range))
            return true;
    return false;
}

/* The kernel finds the narrowest range alone, which has to say what the wider ones do. */
static int add_exempt(const struct sq_classifier *classifier, const struct sq_classifier_config *config)
{
    const struct sq_cidr_list *const lists[] = {&config->except, &config->protected, &config->own};
    int result = 0;
    for (size_t j = 0; j < sizeof lists / sizeof lists[0]; j++) {
        for (size_t i = 0; i < lists[j]->count && result == 0; i++) {
            const struct sq_cidr *range = &lists[j]->ranges[i];
            bool other = lists[j] != &config->own && is_within(&config->protected, range);
            result = add_range(classifier->maps.exempt4, classifier->maps.exempt6, range,
                               SQ_CLASSIFIER_EXEMPT_PEER | (other ? SQ_CLASSIFIER_EXEMPT_OTHER : 0));
        }
    }
    return result;
}

static int add_session(const struct sq_classifier *classifier, const struct sq_classifier_session *session)
{
    const uint8_t present = 1;
    struct sq_session key = {.family = session->peer.family, .agent_port = session->local_port};
    memcpy(key.address, session->peer.address, sizeof key.address);
    return bpf_map_update_elem(bpf_map__fd(classifier->maps.sessions), &key, &present, BPF_ANY);
}

/* ---- whose packets the detours take: one map for all classifiers ---- */

static int detours = -1;
static unsigned detours_users;

/* Before the programs are loaded: the map that the others have. */
static int share_detours(const struct sq_classifier *classifier)
{
    return detours < 0 ? 0 : bpf_map__reuse_fd(classifier->maps.detours, detours);
}

static int keep_detours(const struct sq_classifier *classifier)
{
    if (detours < 0)
        detours = fcntl(bpf_map__fd(classifier->maps.detours), F_DUPFD_CLOEXEC, 3);
    if (detours < 0)
        return -1;
    detours_users++;
    return 0;
}

static void leave_detours(void)
{
    if (--detours_users > 0)
        return;
    (void)close(detours);
    detours = -1;
}

/* An IFB's number is used again: what it said before is overwritten as a whole. */
static int note_detour(const struct sq_classifier *classifier, const struct sq_classifier_config *config)
{
    const uint32_t number = config->detour_out & 0xffff;
    struct sq_classifier_detour detour = {{0}};
    if (config->detour_out >> 16 != SQ_CLASSIFIER_DETOUR_MARK)
        return 0;
    for (size_t i = 0; i < config->device_count; i++)
        detour.devices[i] = config->devices[i];
    return bpf_map_update_elem(bpf_map__fd(classifier->maps.detours), &number, &detour, BPF_ANY);
}

static int fill(struct sq_classifier *classifier, const struct sq_classifier_config *config)
{
    const uint8_t present = 1;
    int result = add_peers(classifier, &config->peers);
    for (size_t i = 0; i < config->peers.count; i++)
        mark(&config->peers.ranges[i], &classifier->rodata->constants, classifier->bss->shared.marks);
    if (result == 0)
        result = add_exempt(classifier, config);
    for (size_t i = 0; i < config->port_count && result == 0; i++) {
        const uint64_t port = config->ports[i];
        result = bpf_map_update_elem(bpf_map__fd(classifier->maps.protected_ports), &port, &present, BPF_ANY);
    }
    for (size_t i = 0; i < config->session_count && result == 0; i++)
        result = add_session(classifier, &config->sessions[i]);
    return result == 0 ? note_detour(classifier, config) : result;
}

/* The programs as BPF C names them, by side. */
struct pair {
    struct bpf_program *program[SQ_CLASSIFIER_DIRECTIONS];
};

#define PAIRS (SQ_CLASSIFIER_PROGRAMS / SQ_CLASSIFIER_DIRECTIONS)

/* Bit 0: for Ethernet frames alone, bit 1: loses by chance. */
static void list_pairs(const struct sq_classifier *classifier, struct pair pairs[PAIRS])
{
    pairs[0] = (struct pair){{classifier->progs.sq_in, classifier->progs.sq_out}};
    pairs[1] = (struct pair){{classifier->progs.sq_in_ethernet, classifier->progs.sq_out_ethernet}};
    pairs[2] = (struct pair){{classifier->progs.sq_lose_in, classifier->progs.sq_lose_out}};
    pairs[3] = (struct pair){{classifier->progs.sq_lose_in_eth, classifier->progs.sq_lose_out_eth}};
}

/* Of the pairs of programs only the one that fits is loaded. */
static void choose_programs(struct sq_classifier *classifier, bool ethernet, bool loses)
{
    struct pair pairs[PAIRS];
    list_pairs(classifier, pairs);
    for (int i = 0; i < PAIRS; i++)
        for (int side = 0; side < SQ_CLASSIFIER_DIRECTIONS; side++)
            (void)bpf_program__set_autoload(pairs[i].program[side],
                                            i == (ethernet ? 1 : 0) + (loses ? 2 : 0));
}

static int program_of(const struct sq_classifier *classifier, enum sq_classifier_direction direction)
{
    struct pair pairs[PAIRS];
    list_pairs(classifier, pairs);
    int i = 0;
    while (i < PAIRS - 1 && !bpf_program__autoload(pairs[i].program[direction]))
        i++;
    return bpf_program__fd(pairs[i].program[direction]);
}

static int load(struct sq_classifier *classifier, const struct sq_classifier_config *config)
{
    classifier->rodata->constants = (struct sq_classifier_constants){
        /* Direct action, or "match" and "no match" of a filter whose own action (mirred to an IFB) does the
         * rest. */
        .verdict_hit = config->redirects ? -1
                       : config->for_tcx ? TC_ACT_SHOT
                                         : TC_ACT_STOLEN,
        .verdict_miss = config->redirects ? 0 : TC_ACT_UNSPEC,
        .redirects = config->redirects,
        .redirects_nowhere = config->for_tcx,
        .has_ports = config->port_count > 0 || config->session_count > 0,
        .has_exempt = config->except.count + config->protected.count > 0,
        .has_protected = config->protected.count > 0,
        .detour_out = config->detour_out,
        .session_count = (uint32_t)config->session_count,
        .loopback = (config->loopback_in ? 1u << SQ_CLASSIFIER_IN : 0) |
                    (config->loopback_out ? 1u << SQ_CLASSIFIER_OUT : 0),
        .loss_seed = config->lose_seed,
        .loss_threshold = (uint64_t)(config->lose_percent / 100 * SQ_CLASSIFIER_DRAWS),
    };
    choose_masks(&config->peers, &classifier->rodata->constants);
    choose_programs(classifier, config->ethernet && !config->loopback_in && !config->loopback_out,
                    config->lose_percent > 0);
    int result = share_detours(classifier);
    if (result == 0)
        result = sq_classifier__load(classifier);
    return result != 0 ? result : fill(classifier, config);
}

static int read_tag(const struct bpf_program *program, struct sq_classifier_tag *tag)
{
    struct bpf_prog_info info = {0};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length) != 0)
        return -1;
    memcpy(tag->bytes, info.tag, sizeof tag->bytes);
    return 0;
}

int sq_classifier_read_tags(struct sq_classifier_tag tags[SQ_CLASSIFIER_PROGRAMS])
{
    struct pair pairs[PAIRS];
    libbpf_print_fn_t before = libbpf_set_print(keep_complaint);
    struct sq_classifier *opened = sq_classifier__open();
    int result = opened == NULL || sq_classifier__load(opened) != 0 ? -1 : 0;
    (void)libbpf_set_print(before);
    if (result == 0)
        list_pairs(opened, pairs);
    for (int i = 0; i < SQ_CLASSIFIER_PROGRAMS && result == 0; i++) {
        tags[i].loses = i / SQ_CLASSIFIER_DIRECTIONS >= 2;
        result =
            read_tag(pairs[i / SQ_CLASSIFIER_DIRECTIONS].program[i % SQ_CLASSIFIER_DIRECTIONS], &tags[i]);
    }
    sq_classifier__destroy(opened);
    return result;
}

/*
 * Room for one counter of each processor, which are read while a fault ends as well. Taken once, and kept:
 * every classifier's are read one after the other.
 */
static struct sq_classifier_counters *counters_room(int *processors)
{
    static struct sq_classifier_counters *values;
    static int count;
    if (values == NULL) {
        count = libbpf_num_possible_cpus();
        if (count > 0)
            values = calloc((size_t)count, sizeof *values);
    }
    *processors = count;
    return values;
}

int sq_classifier_load(const struct sq_classifier_config *config, struct sq_classifier **classifier,
                       struct sq_error *error)
{
    if (config->peers.count > SQ_CLASSIFIER_PEERS_MAX ||
        config->except.count + config->protected.count + config->own.count > SQ_CLASSIFIER_EXEMPT_MAX ||
        config->port_count > SQ_CLASSIFIER_PORTS_MAX || config->session_count > SQ_CLASSIFIER_SESSIONS_MAX ||
        config->device_count > SQ_CLASSIFIER_DETOUR_DEVICES_MAX)
        return sq_fail(error, SQ_LIMIT, "a network fault takes at most %d peers, %d exceptions and %d ports",
                       SQ_CLASSIFIER_PEERS_MAX, SQ_CLASSIFIER_EXEMPT_MAX, SQ_CLASSIFIER_PORTS_MAX);
    libbpf_print_fn_t before = libbpf_set_print(keep_complaint);
    complaint[0] = '\0';
    int processors;
    (void)counters_room(&processors);
    struct sq_classifier *opened = sq_classifier__open();
    int number = opened == NULL ? errno : 0;
    if (opened != NULL)
        number = -load(opened, config);
    (void)libbpf_set_print(before);
    if (number != 0 || opened == NULL) {
        sq_classifier__destroy(opened);
        return fail_load(error, number);
    }
    int64_t ahead_ns;
    if (sq_boot_clock_measure(&ahead_ns, error) != 0) {
        sq_classifier__destroy(opened);
        return -1;
    }
    if (keep_detours(opened) != 0) {
        number = errno;
        sq_classifier__destroy(opened);
        return fail_load(error, number);
    }
    opened->bss->shared.ahead_ns = ahead_ns;
    *classifier = opened;
    return 0;
}

void sq_classifier_free(struct sq_classifier *classifier)
{
    if (classifier != NULL)
        leave_detours();
    sq_classifier__destroy(classifier);
}

int sq_classifier_program_in(const struct sq_classifier *classifier)
{
    return program_of(classifier, SQ_CLASSIFIER_IN);
}

int sq_classifier_program_out(const struct sq_classifier *classifier)
{
    return program_of(classifier, SQ_CLASSIFIER_OUT);
}

void sq_classifier_set_deadline(struct sq_classifier *classifier, uint64_t deadline_boot_ns)
{
    struct sq_classifier_shared *shared = &classifier->bss->shared;
    __atomic_store_n(&shared->deadline_boot_ns, sq_boot_clock_to_kernel(deadline_boot_ns, shared->ahead_ns),
                     __ATOMIC_SEQ_CST);
}

static int sum_counters(const struct sq_classifier *classifier, uint32_t direction,
                        struct sq_classifier_totals *totals, struct sq_error *error)
{
    int processors;
    struct sq_classifier_counters *values = counters_room(&processors);
    if (values == NULL)
        return sq_fail(error, SQ_SYSTEM, "cannot read the counters of every processor");
    int result = bpf_map_lookup_elem(bpf_map__fd(classifier->maps.counters), &direction, values);
    if (result != 0)
        return sq_fail_errno(error, -result, "cannot read the counters");
    *totals = (struct sq_classifier_totals){0};
    for (int i = 0; i < processors; i++) {
        totals->matched += values[i].matched;
        totals->hit += values[i].hit;
        totals->lost += values[i].lost;
    }
    return 0;
}

int sq_classifier_totals(const struct sq_classifier *classifier, struct sq_classifier_totals *in,
                         struct sq_classifier_totals *out, struct sq_error *error)
{
    if (sum_counters(classifier, SQ_CLASSIFIER_IN, in, error) != 0)
        return -1;
    return sum_counters(classifier, SQ_CLASSIFIER_OUT, out, error);
}

int sq_tcx_programs(uint32_t ifindex, bool egress, uint32_t *ids, uint32_t most)
{
    uint32_t found[SQ_TCX_PROGRAMS_MAX] = {0};
    union bpf_attr request = {0};
    request.query.target_fd = ifindex; /* the same place as target_ifindex */
    request.query.attach_type = egress ? TCX_EGRESS : TCX_INGRESS;
    request.query.prog_ids = (uint64_t)(uintptr_t)found;
    request.query.prog_cnt = SQ_TCX_PROGRAMS_MAX;
    if (syscall(SYS_bpf, BPF_PROG_QUERY, &request, sizeof request) != 0 && errno != ENOSPC)
        return errno == EINVAL || errno == ENOENT || errno == EOPNOTSUPP ? 0 : -errno;
    for (uint32_t i = 0; i < most && i < SQ_TCX_PROGRAMS_MAX; i++)
        ids[i] = found[i];
    return (int)request.query.prog_cnt;
}

bool sq_bpf_program_name(uint32_t id, char *name, size_t size)
{
    name[0] = '\0';
    sq_autoclose int fd = bpf_prog_get_fd_by_id(id);
    if (fd < 0)
        return false;
    struct bpf_prog_info info = {0};
    uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0)
        return false;
    return sq_text_copy(name, size, info.name) && name[0] != '\0';
}
