/* libraries: sq_faults sq_kernel sq_table sq_common */
/* The undo records of network faults: what the version before wrote is read, what is damaged is reported. */
#include "faults/network_undo.h"
#include "kernel/boot_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Layout 2, as squall wrote it before it knew cookies, addresses and tcx: a copy of that structure. */
struct record_2 {
    uint64_t netns_inode;
    uint32_t direction;
    uint32_t preference;
    uint32_t handle;
    uint32_t interface_count;
    char filter_name[64];
    uint64_t longest_delay_ns;
    struct {
        uint32_t ifindex;
        uint8_t address[6];
        uint8_t reserved[6];
        char name[16];
    } detours[2];
    struct {
        uint32_t ifindex;
        uint32_t makes_clsact;
        char name[16];
        uint32_t had_clsact;
        uint32_t reserved;
        struct {
            uint64_t hash;
            uint32_t count;
            uint32_t reserved;
        } parts[4];
    } interfaces[8];
};

static struct sq_undo old_record(void)
{
    struct record_2 old = {
        .netns_inode = 4026532008,
        .direction = SQ_DIRECTION_BOTH,
        .preference = 0xffe3,
        .handle = 0x53510003,
        .interface_count = 2,
        .filter_name = "squall/0123/3",
        .longest_delay_ns = 7,
        .detours = {[1] = {.ifindex = 9, .address = {2, 3}, .name = "squall-3-out"}},
        .interfaces =
            {{.ifindex = 4, .makes_clsact = 1, .name = "eth0"},
             {.ifindex = 5, .name = "eth1", .had_clsact = 1, .parts = {[3] = {.hash = 11, .count = 2}}}},
    };
    struct sq_undo undo = {.kind = SQ_NETWORK_LATENCY, .layout = 2, .size = sizeof old};
    memcpy(undo.bytes, &old, sizeof old);
    return undo;
}

static void test_layout_2(void **state)
{
    (void)state;
    struct sq_undo undo = old_record();
    struct sq_network_undo record;
    struct sq_error error;
    if (sq_network_undo_read(&undo, &record, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(record.place.netns_inode, 4026532008);
    assert_int_equal(record.place.netns_cookie, 0);
    assert_int_equal(record.direction, SQ_DIRECTION_BOTH);
    assert_int_equal(record.preference, 0xffe3);
    assert_int_equal(record.handle, 0x53510003);
    assert_string_equal(record.filter_name, "squall/0123/3");
    assert_int_equal(record.longest_delay_ns, 7);
    assert_int_equal(record.detours[SQ_TC_IN].ifindex, 0);
    assert_int_equal(record.detours[SQ_TC_OUT].ifindex, 9);
    assert_string_equal(record.detours[SQ_TC_OUT].name, "squall-3-out");
    assert_int_equal(record.detours[SQ_TC_OUT].address[1], 3);
    assert_int_equal(record.interface_count, 2);
    assert_int_equal(record.interfaces[0].makes_clsact, 1);
    assert_int_equal(record.interfaces[0].knows_address, 0);
    assert_string_equal(record.interfaces[1].name, "eth1");
    assert_int_equal(record.interfaces[1].before.had_clsact, 1);
    assert_int_equal(record.interfaces[1].before.parts[SQ_TC_EGRESS_FILTERS].hash, 11);
    assert_int_equal(record.interfaces[1].before.unknown,
                     1u << SQ_TC_INGRESS_PROGRAMS | 1u << SQ_TC_EGRESS_PROGRAMS);
    /* Without an address to compare, the index has to do. */
    const struct sq_link link = {.ifindex = 4, .address = {.length = 6}};
    assert_true(sq_network_undo_is_same(&record, 0, &link));
    assert_false(sq_network_undo_is_same(&record, 1, &link));
}

static void test_own_layout(void **state)
{
    (void)state;
    struct sq_undo undo = old_record();
    struct sq_network_undo record;
    struct sq_network_undo again;
    struct sq_error error;
    assert_int_equal(sq_network_undo_read(&undo, &record, &error), 0);
    sq_network_undo_write(&record, SQ_NETWORK_LATENCY, &undo);
    assert_int_equal(undo.layout, SQ_NETWORK_UNDO_LAYOUT);
    assert_int_equal(sq_network_undo_read(&undo, &again, &error), 0);
    assert_memory_equal(&record, &again, sizeof record);
}

static void test_damaged(void **state)
{
    (void)state;
    struct sq_network_undo record;
    struct sq_error error;
    for (int i = 0; i < 5; i++) {
        struct sq_undo undo = old_record();
        struct record_2 old;
        memcpy(&old, undo.bytes, sizeof old);
        if (i == 0)
            undo.size--;
        if (i == 1)
            undo.layout = 1;
        if (i == 2)
            old.interface_count = 9;
        if (i == 3)
            memset(old.filter_name, 'x', sizeof old.filter_name);
        if (i == 4)
            old.direction = 4;
        memcpy(undo.bytes, &old, sizeof old);
        assert_int_equal(sq_network_undo_read(&undo, &record, &error), -1);
        assert_int_equal(error.code, SQ_UNCLEAN);
    }
}

static void test_clock_of_the_kernel(void **state)
{
    (void)state;
    assert_int_equal(sq_boot_clock_to_kernel(0, 5), 0);
    assert_int_equal(sq_boot_clock_to_kernel(7, 0), 7);
    assert_int_equal(sq_boot_clock_to_kernel(7, 5), 12);
    assert_int_equal(sq_boot_clock_to_kernel(7, -5), 2);
    assert_int_equal(sq_boot_clock_to_kernel(7, -8), 0);
    assert_int_equal(sq_boot_clock_to_kernel(7, INT64_MIN), 0);
    assert_true(sq_boot_clock_to_kernel(UINT64_MAX - 1, INT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_2),
        cmocka_unit_test(test_own_layout),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_clock_of_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
