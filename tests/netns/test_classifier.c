/* libraries: sq_netns_fixture sq_kernel sq_table sq_common PkgConfig::LIBBPF */
/*
 * The classifier's programs by themselves, with packets handed to them by BPF_PROG_TEST_RUN: what they say in
 * both modes, and that the pair for Ethernet, which looks at its table of marks first, says the same as the
 * pair for any interface, and as plain arithmetic.
 */
#include "fixture.h"

#include "common/clock.h"
#include "kernel/classifier.h"
#include "table/fault_spec.h"

#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RANGES     40
#define ADDRESSES  400
#define SEED       20261126u
#define FRAME_MOST 96
#define PROTECTED  53

struct frame {
    uint32_t length;
    uint8_t bytes[FRAME_MOST];
};

/* From `source` to `destination`, behind an Ethernet header and so many tags of virtual LANs. */
static struct frame make_frame(const struct sq_cidr *source, const struct sq_cidr *destination, unsigned tags)
{
    struct frame frame = {0};
    bool is_v4 = source->family == 4;
    uint8_t *at = frame.bytes + 12;
    for (unsigned i = 0; i < tags; i++, at += 4)
        at[0] = 0x81;
    memcpy(at, is_v4 ? (uint8_t[]){0x08, 0x00} : (uint8_t[]){0x86, 0xdd}, 2);
    at += 2;
    at[0] = is_v4 ? 0x45 : 0x60;
    if (is_v4)
        at[9] = 17;
    else
        at[6] = 59; /* no next header, RFC 8200 */
    size_t size = is_v4 ? 4 : 16;
    memcpy(at + (is_v4 ? 12 : 8), source->address, size);
    memcpy(at + (is_v4 ? 16 : 24), destination->address, size);
    frame.length = (uint32_t)(at - frame.bytes) + (is_v4 ? 20 : 40);
    return frame;
}

static int try_frame(int program, const struct frame *frame, int *verdict)
{
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = frame->length, .repeat = 1);
    int result = bpf_prog_test_run_opts(program, &run);
    *verdict = (int)run.retval;
    return result;
}

static int verdict(int program, const struct frame *frame)
{
    int said;
    assert_int_equal(try_frame(program, frame, &said), 0);
    return said;
}

static struct sq_cidr parse(const char *text)
{
    struct sq_cidr range;
    struct sq_error error;
    if (sq_cidr_parse(text, &range, &error) != 0)
        fail_msg("%s", error.text);
    return range;
}

static struct sq_classifier *load(const struct sq_cidr *peers, size_t count, bool redirects, bool ethernet)
{
    struct sq_error error;
    struct sq_classifier_config config = {
        .redirects = redirects, .ethernet = ethernet, .peers = {peers, count}};
    struct sq_classifier *classifier = NULL;
    if (sq_classifier_load(&config, &classifier, &error) != 0)
        fail_msg("%s", error.text);
    return classifier;
}

/* With direct action: consume or go on. Without: match (-1) or not (0), and the filter's action does the
 * rest. */
static void look_at_mode(bool redirects, bool ethernet)
{
    int hit = redirects ? -1 : TC_ACT_STOLEN;
    int miss = redirects ? 0 : TC_ACT_UNSPEC;
    struct sq_cidr own = parse("10.0.0.1");
    struct sq_cidr peer = parse("10.0.0.2");
    struct frame frame = make_frame(&own, &peer, 0);
    struct sq_classifier *classifier = load(&peer, 1, redirects, ethernet);
    int out = sq_classifier_program_out(classifier);
    assert_int_equal(verdict(out, &frame), miss);
    sq_classifier_set_deadline(classifier, sq_boot_ns() + SQ_NS_PER_SECOND);
    assert_int_equal(verdict(out, &frame), hit);
    assert_int_equal(verdict(sq_classifier_program_in(classifier), &frame), miss); /* that is from 10.0.0.1 */
    sq_classifier_set_deadline(classifier, sq_boot_ns() - 1);
    assert_int_equal(verdict(out, &frame), miss);
    sq_classifier_set_deadline(classifier, 0);
    assert_int_equal(verdict(out, &frame), miss);
    struct sq_classifier_totals totals_in;
    struct sq_classifier_totals totals_out;
    assert_int_equal(sq_classifier_totals(classifier, &totals_in, &totals_out, NULL), 0);
    assert_int_equal(totals_out.hit, 1);
    assert_int_equal(totals_in.matched, 0);
    sq_classifier_free(classifier);
}

static void test_two_modes(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        look_at_mode((i & 1) != 0, (i & 2) != 0);
}

static void test_limits_are_refused(void **state)
{
    (void)state;
    static struct sq_cidr peers[SQ_PEERS_MAX + 1];
    struct sq_classifier_config config = {.peers = {peers, SQ_PEERS_MAX + 1}};
    struct sq_classifier *classifier = NULL;
    struct sq_error error;
    assert_int_equal(sq_classifier_load(&config, &classifier, &error), -1);
    assert_int_equal(error.code, SQ_LIMIT);
    assert_null(classifier);
}

/* A range of 10.0.0.0/13 or fd00::/13, so that what is drawn meets what was drawn before. */
static struct sq_cidr draw(uint8_t family, uint8_t prefix)
{
    struct sq_cidr range = {.family = family, .prefix = prefix};
    for (unsigned bit = 0; bit < prefix; bit++) {
        uint8_t mask = (uint8_t)(0x80 >> bit % 8);
        bool is_fixed = bit < 13;
        /* Few bits set: addresses as people give them. */
        bool is_set = is_fixed ? bit < 8 && ((family == 4 ? 10 : 0xfd) & mask) != 0 : rand() % 4 == 0;
        if (is_set)
            range.address[bit / 8] |= mask;
    }
    return range;
}

static bool is_peer(const struct sq_cidr *address, const struct sq_cidr *peers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sq_cidr_contains(&peers[i], address))
            return true;
    return false;
}

static void expect(int program, const struct frame *frame, bool hit, const struct sq_cidr *address,
                   const char *what)
{
    char text[SQ_CIDR_TEXT_MAX];
    if (verdict(program, frame) == (hit ? TC_ACT_STOLEN : TC_ACT_UNSPEC))
        return;
    sq_cidr_format(address, text);
    fail_msg("%s, %s: is it a peer's? %d", what, text, hit);
}

static void judge_address(struct sq_classifier *const classifiers[2], const struct sq_cidr *address,
                          const struct sq_cidr *peers, size_t count)
{
    static const char *const names[] = {"any interface", "Ethernet"};
    struct sq_cidr other = parse(address->family == 4 ? "192.0.2.1" : "2001:db8::1");
    bool is_hit = is_peer(address, peers, count);
    bool is_other_hit = is_peer(&other, peers, count);
    for (int i = 0; i < 2; i++) {
        for (unsigned tags = 0; tags <= 2; tags++) {
            struct frame out = make_frame(&other, address, tags);
            struct frame in = make_frame(address, &other, tags);
            expect(sq_classifier_program_out(classifiers[i]), &out, is_hit, address, names[i]);
            expect(sq_classifier_program_in(classifiers[i]), &in, is_hit, address, names[i]);
            /* The same frames, seen from the other side. */
            expect(sq_classifier_program_out(classifiers[i]), &in, is_other_hit, address, names[i]);
            expect(sq_classifier_program_in(classifiers[i]), &out, is_other_hit, address, names[i]);
        }
    }
}

static unsigned judge_addresses(const struct sq_cidr *peers, size_t count)
{
    struct sq_classifier *const classifiers[2] = {load(peers, count, false, false),
                                                  load(peers, count, false, true)};
    unsigned hits = 0;
    for (int i = 0; i < 2; i++)
        sq_classifier_set_deadline(classifiers[i], sq_boot_ns() + 600 * SQ_NS_PER_SECOND);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct sq_cidr address = draw(i % 2 == 0 ? 4 : 6, i % 2 == 0 ? 32 : 128);
        /* Every third within a range, or a bit beside it. */
        if (i % 3 == 0) {
            const struct sq_cidr *near = &peers[(unsigned)rand() % count];
            address = *near;
            address.prefix = near->family == 4 ? 32 : 128;
            unsigned bit = (unsigned)rand() % address.prefix;
            if (i % 2 == 0 || bit >= near->prefix)
                address.address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        }
        hits += is_peer(&address, peers, count);
        judge_address(classifiers, &address, peers, count);
    }
    for (int i = 0; i < 2; i++)
        sq_classifier_free(classifiers[i]);
    return hits;
}

static void test_every_pair_says_the_same(void **state)
{
    (void)state;
    static const uint8_t shortest[][2] = {{32, 128}, {24, 64}, {14, 20}, {0, 0}};
    struct sq_cidr peers[RANGES];
    srand(SEED);
    for (size_t list = 0; list < sizeof shortest / sizeof shortest[0]; list++) {
        for (unsigned i = 0; i < RANGES; i++) {
            uint8_t family = i % 2 == 0 ? 4 : 6;
            unsigned longest = family == 4 ? 32 : 128;
            unsigned least = shortest[list][i % 2];
            peers[i] = draw(family, (uint8_t)(least + (unsigned)rand() % (longest - least + 1)));
        }
        for (unsigned family = 0; family < 2; family++) /* the shortest itself, once each */
            peers[family] = draw(family == 0 ? 4 : 6, shortest[list][family]);
        unsigned hits = judge_addresses(peers, RANGES);
        assert_true(hits > 0);
        print_message("%u of %d addresses were peers'\n", hits, ADDRESSES);
    }
}

/* Peers of one family alone: packets of the other go by. */
static void test_one_family(void **state)
{
    (void)state;
    const struct sq_cidr v4 = parse("10.0.0.0/8");
    const struct sq_cidr v6 = parse("fd00::/8");
    assert_true(judge_addresses(&v4, 1) > 0);
    assert_true(judge_addresses(&v6, 1) > 0);
}

/* Frames cut short, as far as the kernel takes them. Returns how many it took. */
static unsigned cut_short(const struct sq_classifier *classifier, const struct frame *whole)
{
    const int programs[] = {sq_classifier_program_in(classifier), sq_classifier_program_out(classifier)};
    unsigned taken = 0;
    struct frame frame = *whole;
    for (frame.length = 15; frame.length < whole->length; frame.length++) {
        for (int i = 0; i < 2; i++) {
            int said;
            if (try_frame(programs[i], &frame, &said) != 0)
                continue;
            taken++;
            assert_int_equal(said, TC_ACT_UNSPEC);
        }
    }
    return taken;
}

/* What ends within a header is nobody's: passed, and read no further than it goes. */
static void test_short_frames(void **state)
{
    (void)state;
    const struct sq_cidr peers[] = {parse("0.0.0.0/0"), parse("::/0")};
    unsigned taken = 0;
    for (int ethernet = 0; ethernet <= 1; ethernet++) {
        struct sq_classifier *classifier = load(peers, 2, false, ethernet != 0);
        sq_classifier_set_deadline(classifier, sq_boot_ns() + 600 * SQ_NS_PER_SECOND);
        for (int family = 0; family < 2; family++) {
            struct sq_cidr address = parse(family == 0 ? "10.0.0.1" : "fd00::1");
            for (unsigned tags = 0; tags <= 1; tags++) {
                struct frame frame = make_frame(&address, &address, tags);
                expect(sq_classifier_program_out(classifier), &frame, true, &address, "a whole frame");
                taken += cut_short(classifier, &frame);
            }
        }
        sq_classifier_free(classifier);
    }
    print_message("%u short frames\n", taken);
    assert_true(taken > 0);
}

/* Part of a datagram; with is_first alone it is all of it. */
struct part {
    bool is_first;
    bool more;
};

/* UDP from port 1000 to `port`, with a fragment header also where IPv6 needs none. */
static struct frame make_part(const struct sq_cidr *source, const struct sq_cidr *destination,
                              const struct part *part, uint16_t port)
{
    struct frame frame = make_frame(source, destination, 0);
    bool is_v4 = source->family == 4;
    uint16_t position = part->is_first ? 0 : 16; /* bytes, a multiple of 8 */
    uint8_t *at = frame.bytes + 14;
    if (is_v4) {
        at[6] = part->more ? 0x20 : 0;
        at[7] = (uint8_t)(position / 8);
    } else {
        at[6] = 44;
        at[40] = 17;
        at[43] = (uint8_t)(position | (part->more ? 1 : 0));
        frame.length += 8;
    }
    at = frame.bytes + frame.length;
    const uint8_t ports[] = {1000 >> 8, 1000 & 0xff, (uint8_t)(port >> 8), (uint8_t)port, 0, 8, 0, 0};
    if (part->is_first) /* the bytes of a later one mean nothing */
        memcpy(at, ports, sizeof ports);
    frame.length += sizeof ports;
    return frame;
}

static struct sq_classifier *load_ports(const struct sq_cidr peers[2], bool redirects, bool has_ports)
{
    static const uint16_t port = PROTECTED;
    struct sq_error error;
    struct sq_classifier_config config = {
        .redirects = redirects, .peers = {peers, 2}, .ports = &port, .port_count = has_ports ? 1 : 0};
    struct sq_classifier *classifier = NULL;
    if (sq_classifier_load(&config, &classifier, &error) != 0)
        fail_msg("%s", error.text);
    sq_classifier_set_deadline(classifier, sq_boot_ns() + 600 * SQ_NS_PER_SECOND);
    return classifier;
}

/* Each of the 4 bits of `bits` is one property of the packet. */
static void judge_part(const struct sq_classifier *classifier, bool redirects, bool has_ports, unsigned bits)
{
    const char *family_address = (bits & 1) != 0 ? "10.0.0.2" : "fd00::2";
    struct sq_cidr peer = parse(family_address);
    struct sq_cidr own = parse((bits & 1) != 0 ? "10.0.0.1" : "fd00::1");
    struct part part = {.is_first = (bits & 2) != 0, .more = (bits & 4) != 0};
    bool is_protected = (bits & 8) != 0;
    bool is_fragment = part.more || !part.is_first;
    bool is_hit = !has_ports || (redirects && is_fragment) || (part.is_first && !is_protected);
    int hit = redirects ? -1 : TC_ACT_STOLEN;
    int miss = redirects ? 0 : TC_ACT_UNSPEC;
    uint16_t port = is_protected ? PROTECTED : PROTECTED + 1;
    struct frame out = make_part(&own, &peer, &part, port);
    struct frame in = make_part(&peer, &own, &part, port);
    if (verdict(sq_classifier_program_out(classifier), &out) != (is_hit ? hit : miss) ||
        verdict(sq_classifier_program_in(classifier), &in) != (is_hit ? hit : miss))
        fail_msg("%s, first %d, more %d, protected %d, redirects %d, ports matter %d: is it hit? %d",
                 family_address, part.is_first, part.more, is_protected, redirects, has_ports, is_hit);
}

/* What drops judges the first fragment, what delays takes all of a datagram alike. */
static void test_fragments(void **state)
{
    (void)state;
    const struct sq_cidr peers[2] = {parse("10.0.0.2"), parse("fd00::2")};
    for (unsigned mode = 0; mode < 4; mode++) {
        bool redirects = (mode & 1) != 0;
        bool has_ports = (mode & 2) != 0;
        struct sq_classifier *classifier = load_ports(peers, redirects, has_ports);
        for (unsigned bits = 0; bits < 16; bits++)
            judge_part(classifier, redirects, has_ports, bits);
        sq_classifier_free(classifier);
    }
}

/* A packet between two addresses, of which `peer` is the one that the fault means: either way. */
static void expect_between(const struct sq_classifier *classifier, const char *peer, const char *other,
                           int said)
{
    struct sq_cidr ends[] = {parse(peer), parse(other)};
    struct frame in = make_frame(&ends[0], &ends[1], 0);
    struct frame out = make_frame(&ends[1], &ends[0], 0);
    if (verdict(sq_classifier_program_in(classifier), &in) != said ||
        verdict(sq_classifier_program_out(classifier), &out) != said)
        fail_msg("between %s and %s: is it %d?", peer, other, said);
}

/*
 * What the policy protects stands at the other end as well where this host forwards packets. Its own
 * addresses do not count there, or a host within such a range would spare all that it sends; nor does
 * `except`.
 */
static void test_protected_at_the_other_end(void **state)
{
    (void)state;
    struct sq_error error;
    const struct sq_cidr peers[] = {parse("10.0.0.0/16"), parse("fd00::/64")};
    const struct sq_cidr except[] = {parse("10.0.5.0/24"), parse("10.0.9.0/24"), parse("fd00::5:0/112")};
    const struct sq_cidr kept[] = {parse("10.0.9.0/28"), parse("10.1.0.0/24"), parse("fd01::/64")};
    const struct sq_cidr own[] = {parse("10.1.0.7"), parse("fd01::7")};
    for (int ethernet = 0; ethernet < 2; ethernet++) {
        const struct sq_classifier_config config = {.ethernet = ethernet != 0,
                                                    .peers = {peers, 2},
                                                    .except = {except, 3},
                                                    .protected = {kept, 3},
                                                    .own = {own, 2}};
        struct sq_classifier *classifier = NULL;
        if (sq_classifier_load(&config, &classifier, &error) != 0)
            fail_msg("%s", error.text);
        sq_classifier_set_deadline(classifier, sq_boot_ns() + 600 * SQ_NS_PER_SECOND);
        expect_between(classifier, "10.0.0.2", "10.1.0.5", TC_ACT_UNSPEC);
        expect_between(classifier, "10.0.0.2", "10.1.0.7", TC_ACT_STOLEN);
        expect_between(classifier, "10.0.0.2", "10.2.0.5", TC_ACT_STOLEN);
        expect_between(classifier, "10.0.0.2", "10.0.9.1", TC_ACT_UNSPEC);
        expect_between(classifier, "fd00::2", "fd01::5", TC_ACT_UNSPEC);
        expect_between(classifier, "fd00::2", "fd01::7", TC_ACT_STOLEN);
        expect_between(classifier, "fd00::2", "fd02::5", TC_ACT_STOLEN);
        /* `except` alone: whatever the peer, one end is within it. */
        struct sq_cidr ends[] = {parse("10.0.0.2"), parse("10.0.5.1")};
        struct frame frame = make_frame(&ends[0], &ends[1], 0);
        assert_int_equal(verdict(sq_classifier_program_out(classifier), &frame), TC_ACT_UNSPEC);
        assert_int_equal(verdict(sq_classifier_program_in(classifier), &frame), TC_ACT_STOLEN);
        sq_classifier_free(classifier);
    }
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_modes),
        cmocka_unit_test(test_limits_are_refused),
        cmocka_unit_test(test_every_pair_says_the_same),
        cmocka_unit_test(test_one_family),
        cmocka_unit_test(test_short_frames),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_protected_at_the_other_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
