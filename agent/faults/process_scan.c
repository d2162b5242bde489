#include "faults/process_scan.h"

#include "common/clock.h"
#include "kernel/process_walk.h"

#include <string.h>

#define REST_FACTOR 9 /* as long as a slice took, nine times over: a tenth of the time is spent */

static struct {
    struct sq_process_watch *watches[SQ_FAULTS_MAX];
    bool is_on;
    uint64_t began_boot_ns;
    uint64_t next_boot_ns;
    uint64_t soonest_boot_ns; /* also for who is in a hurry */
    struct sq_process_walk walk;
    struct sq_process_view view;
} scan;

static bool anybody_watches(void)
{
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++)
        if (scan.watches[i] != NULL)
            return true;
    return false;
}

void sq_process_scan_watch(struct sq_process_watch *watch)
{
    /* Its pages are there before a halt may need them. */
    if (!anybody_watches())
        memset(&scan.view, 0, sizeof scan.view);
    watch->matching = 0;
    watch->began_boot_ns = 0;
    watch->is_counting = false;
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++) {
        if (scan.watches[i] != NULL && scan.watches[i] != watch)
            continue;
        scan.watches[i] = watch;
        return;
    }
}

static void stop(void)
{
    sq_process_walk_end(&scan.walk);
    scan.is_on = false;
}

void sq_process_scan_leave(struct sq_process_watch *watch)
{
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++)
        if (scan.watches[i] == watch)
            scan.watches[i] = NULL;
    if (anybody_watches())
        return;
    stop();
    scan.next_boot_ns = 0;
}

static void begin(uint64_t now_boot_ns)
{
    scan.began_boot_ns = now_boot_ns;
    scan.is_on = sq_process_walk_start(&scan.walk, NULL) == 0;
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++) {
        if (scan.watches[i] == NULL)
            continue;
        scan.watches[i]->is_counting = scan.is_on;
        scan.watches[i]->counted = 0;
    }
}

static void finish(void)
{
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++) {
        struct sq_process_watch *watch = scan.watches[i];
        if (watch == NULL || !watch->is_counting)
            continue;
        watch->matching = watch->counted;
        watch->began_boot_ns = scan.began_boot_ns;
    }
    stop();
}

static void look_at(pid_t pid)
{
    sq_process_view_begin(&scan.view, scan.walk.proc_fd, pid);
    for (size_t i = 0; i < SQ_FAULTS_MAX; i++) {
        struct sq_process_watch *watch = scan.watches[i];
        if (watch == NULL || !watch->is_counting || !sq_process_matches(watch->pattern, &scan.view) ||
            scan.view.process.is_kernel_thread)
            continue;
        watch->counted++;
        watch->seen(&scan.view.process, watch->cookie);
    }
}

/* Until the slice is over or all processes were looked at. Returns when that was. */
static uint64_t do_slice(uint64_t now_boot_ns)
{
    uint64_t end_ns = sq_ns_add(now_boot_ns, SQ_PROCESS_SLICE_NS);
    while (scan.is_on && now_boot_ns < end_ns) {
        pid_t pid = sq_process_walk_next(&scan.walk, NULL);
        if (pid > 0)
            look_at(pid);
        else if (pid == 0)
            finish();
        else
            stop();
        now_boot_ns = sq_boot_ns();
    }
    return now_boot_ns;
}

static void go_on(void)
{
    uint64_t start_ns = sq_boot_ns();
    if (!scan.is_on)
        begin(start_ns);
    uint64_t end_ns = do_slice(start_ns);
    uint64_t next_ns = sq_ns_add(end_ns, REST_FACTOR * (end_ns - start_ns));
    uint64_t anew_ns = sq_ns_add(scan.began_boot_ns, SQ_PROCESS_SCAN_EVERY_NS);
    scan.next_boot_ns = scan.is_on || next_ns > anew_ns ? next_ns : anew_ns;
    scan.soonest_boot_ns = sq_ns_add(end_ns, end_ns - start_ns);
}

uint64_t sq_process_scan_attend(uint64_t now_boot_ns)
{
    if (!anybody_watches())
        return 0;
    if (now_boot_ns >= scan.next_boot_ns)
        go_on();
    return scan.next_boot_ns;
}

uint64_t sq_process_scan_hurry(uint64_t now_boot_ns)
{
    if (!anybody_watches())
        return 0;
    if (now_boot_ns >= scan.soonest_boot_ns)
        go_on();
    return scan.soonest_boot_ns;
}
