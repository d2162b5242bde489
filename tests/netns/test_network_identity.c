/* libraries: sq_netns_fixture sq_faults sq_kernel sq_table sq_common */
/*
 * What squall takes away is its own: a clsact, an interface or a network namespace that stands in the place
 * of the one it knew is somebody else's, whatever name and number it has.
 */
#include "fixture.h"
#include "impairment.h"

#include "faults/network_undo.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct impairment *shared; /* by the process that dies and the one that looks at what is left */

static int set_up(void **state)
{
    (void)state;
    fixture_open(&lab);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    impairment_init(shared, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(shared, "10.9.0.2");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(shared, sizeof *shared);
    fixture_close(&lab);
    return 0;
}

static void die_with_a_fault(void)
{
    if (impairment_preview(shared) != 0)
        fail_msg("%s", shared->error.text);
    impairment_die(shared, 60000, 0);
    assert_int_equal(fixture_out4(&lab, "2"), 0);
}

static int remove_it(void)
{
    return shared->ops->remove(NULL, &shared->undo, &shared->report, &shared->error);
}

static void must(int result)
{
    for (uint32_t i = 0; i < shared->report.line_count; i++)
        if (shared->report.lines[i].kind == SQ_LINE_NOTE || shared->report.lines[i].kind >= SQ_LINE_LEFT)
            print_message("%s\n", shared->report.lines[i].text);
    if (result != 0)
        fail_msg("%s", shared->error.text);
}

static void go_to(int namespace)
{
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

static void test_clsact_of_somebody_else_stays(void **state)
{
    (void)state;
    impairment_start(shared);
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact && tc qdisc add dev eth0 clsact");
    must(shared->ops->clean(shared->state, &shared->undo, &shared->error));
    must(shared->ops->remove(shared->state, &shared->undo, &shared->report, &shared->error));
    shared->ops->release(shared->state);
    free(shared->state);
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "may be somebody else's by now; not touched"));
    fixture_must(lab.host, "tc qdisc show dev eth0 | grep -q clsact");
}

static void test_the_same_after_a_crash(void **state)
{
    (void)state;
    die_with_a_fault();
    fixture_must(lab.host, "tc qdisc del dev eth0 clsact && tc qdisc add dev eth0 clsact");
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    fixture_must(lab.host, "tc qdisc show dev eth0 | grep -q clsact");
}

/* The process died between the clsact and its filter: nobody else can have made it, and it goes. */
static void test_clsact_without_a_filter_yet(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    assert_int_equal(impairment_preview(shared), 0);
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_assert_tc("eth0", before);
}

/* Another squalld found that clsact meanwhile, and took it for somebody's. Whoever ends last says what stays.
 */
static void test_clsact_that_another_squalld_found(void **state)
{
    (void)state;
    struct impairment other;
    impairment_init(&other, SQ_DIRECTION_BOTH, "eth0");
    impairment_to(&other, "10.9.0.3");
    other.env.slot = 1;
    assert_int_equal(impairment_preview(shared), 0);
    fixture_must(lab.host, "tc qdisc add dev eth0 clsact");
    impairment_start(&other);
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "tc qdisc del dev eth0 clsact"));
    assert_int_equal(fixture_out4(&lab, "3"), 0);
    impairment_stop(&other);
}

static void test_interface_made_anew(void **state)
{
    (void)state;
    die_with_a_fault();
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    fixture_must(lab.host,
                 "ip link del eth0 && ip link add eth0 index %u type ifb && tc qdisc add dev eth0 clsact",
                 record.interfaces[0].ifindex);
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "somebody changed it, or made it anew"));
    fixture_must(lab.host, "tc qdisc show dev eth0 | grep -q clsact");
}

/* An address may be changed: where the marked filter is, it is the same interface. */
static void test_address_changed(void **state)
{
    (void)state;
    die_with_a_fault();
    fixture_must(lab.host, "ip link set eth0 address 02:00:00:00:00:77");
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    fixture_must(lab.host, "! tc qdisc show dev eth0 | grep clsact");
}

/* A namespace that takes the place of one that is gone, down to the names and numbers in it. */
static void test_namespace_is_gone(void **state)
{
    (void)state;
    die_with_a_fault();
    go_to(lab.original);
    close(lab.host);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    lab.host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    struct sq_network_undo record;
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    fixture_must(lab.host, "ip link add eth0 index %u type ifb && tc qdisc add dev eth0 clsact",
                 record.interfaces[0].ifindex);
    /* The kernel frees UDP sockets, which hold it, a little later. */
    char path[SQ_PLACE_PATH_MAX];
    for (int i = 0; i < 200 && sq_place_find(&record.place, path) != SQ_PLACE_GONE; i++)
        usleep(10000);
    must(remove_it());
    assert_int_equal(shared->report.proof, SQ_PROOF_CHANGED);
    assert_true(impairment_says(shared, SQ_LINE_FOREIGN, "its network namespace is gone, and all that was"));
    fixture_must(lab.host, "tc qdisc show dev eth0 | grep -q clsact");
}

static void test_namespace_is_elsewhere(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    die_with_a_fault();
    go_to(lab.original);
    int cleaned = shared->ops->clean(NULL, &shared->undo, &shared->error);
    go_to(lab.host);
    must(cleaned);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
    go_to(lab.original);
    int removed = remove_it();
    go_to(lab.host);
    must(removed);
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    assert_true(impairment_says(shared, SQ_LINE_NOTE, "undone in its network namespace, /proc/"));
    fixture_assert_tc("eth0", before);
    assert_int_equal(fixture_out4(&lab, "2"), FIXTURE_COUNT);
}

static void drop_admin(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        _exit(90);
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    data[0].permitted &= ~(1u << CAP_SYS_ADMIN);
    if (syscall(SYS_capset, &header, data) != 0)
        _exit(91);
}

/* As the serving agent is: it says where the namespace is, and how a person gets there. */
static void test_namespace_that_may_not_be_entered(void **state)
{
    (void)state;
    die_with_a_fault();
    fixture_must(lab.host, "mkdir -p /run/netns && touch /run/netns/squall-test && mount --bind "
                           "/proc/self/ns/net /run/netns/squall-test");
    go_to(lab.original);
    pid_t child = fork();
    if (child == 0) {
        drop_admin();
        if (shared->ops->clean(NULL, &shared->undo, &shared->error) == 0)
            _exit(2);
        _exit(remove_it() == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    go_to(lab.host);
    fixture_must(lab.host, "umount /run/netns/squall-test && rm /run/netns/squall-test");
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_int_equal(shared->report.proof, SQ_PROOF_LEFT);
    assert_true(
        impairment_says(shared, SQ_LINE_LEFT, "nsenter --net=/run/netns/squall-test squalld --recover"));
    assert_int_equal(fixture_out4(&lab, "2"), 0);
    must(impairment_recover(shared));
}

/* Held by a thread, a descriptor or a mount alone, it is there; held by nobody, it is gone. */
static void test_every_holder_is_found(void **state)
{
    (void)state;
    char path[SQ_PLACE_PATH_MAX];
    struct sq_network_undo record;
    assert_int_equal(impairment_preview(shared), 0);
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    go_to(lab.original);
    assert_int_equal(sq_place_find(&record.place, path), SQ_PLACE_THERE);
    char own[64];
    (void)snprintf(own, sizeof own, "/proc/%d/fd/%d", getpid(), lab.host);
    assert_string_equal(path, own);
    pid_t child = fork();
    if (child == 0) {
        (void)setns(lab.host, CLONE_NEWNET);
        close(lab.host);
        for (;;)
            pause();
    }
    usleep(50000);
    close(lab.host);
    enum sq_place_state held = sq_place_find(&record.place, path);
    (void)snprintf(own, sizeof own, "/proc/%d/ns/net", child);
    lab.host = open(own, O_RDONLY | O_CLOEXEC);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(held, SQ_PLACE_THERE);
    assert_string_equal(path, own);
    close(lab.host);
    assert_int_equal(sq_place_find(&record.place, path), SQ_PLACE_GONE);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    lab.host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* The undo record as squall wrote it before it knew cookies, addresses and tcx: a copy of that structure. */
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

static void write_2(const struct sq_network_undo *record, struct sq_undo *undo)
{
    struct record_2 old = {
        .netns_inode = record->place.netns_inode,
        .direction = record->direction,
        .preference = record->preference,
        .handle = record->handle,
        .interface_count = record->interface_count,
    };
    memcpy(old.filter_name, record->filter_name, sizeof old.filter_name);
    for (uint32_t i = 0; i < record->interface_count; i++) {
        old.interfaces[i].ifindex = record->interfaces[i].ifindex;
        old.interfaces[i].makes_clsact = record->interfaces[i].makes_clsact;
        memcpy(old.interfaces[i].name, record->interfaces[i].name, sizeof old.interfaces[i].name);
        old.interfaces[i].had_clsact = record->interfaces[i].before.had_clsact;
        memcpy(old.interfaces[i].parts, record->interfaces[i].before.parts, sizeof old.interfaces[i].parts);
    }
    undo->layout = 2;
    undo->size = sizeof old;
    memset(undo->bytes, 0, sizeof undo->bytes);
    memcpy(undo->bytes, &old, sizeof old);
}

static void test_record_of_the_version_before(void **state)
{
    (void)state;
    char *before = fixture_tc("eth0");
    struct sq_network_undo record;
    die_with_a_fault();
    assert_int_equal(sq_network_undo_read(&shared->undo, &record, NULL), 0);
    write_2(&record, &shared->undo);
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
    fixture_assert_tc("eth0", before);
    must(impairment_recover(shared));
    assert_int_equal(shared->report.proof, SQ_PROOF_PROVED);
}

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clsact_of_somebody_else_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_same_after_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clsact_without_a_filter_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clsact_that_another_squalld_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interface_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_address_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_namespace_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_namespace_is_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_namespace_that_may_not_be_entered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_holder_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_record_of_the_version_before, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
