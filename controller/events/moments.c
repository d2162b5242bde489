#include "events/moments.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

static void see_injection(struct sq_run_moments *moments, uint64_t boot_ns)
{
    if (boot_ns != 0 && (moments->injected_boot_ns == 0 || boot_ns < moments->injected_boot_ns))
        moments->injected_boot_ns = boot_ns;
}

static void see_measurement(struct sq_run_moments *moments, const struct sq_run_measured *measured)
{
    if (measured->deciding)
        moments->last_allowed_miss_boot_ns = measured->measurement->ended_boot_ns;
    if (measured->phase != SQ_PHASE_WATCH || moments->first_missed_boot_ns != 0 ||
        strcmp(measured->judged, "miss") != 0)
        return;
    moments->first_missed_boot_ns = measured->measurement->ended_boot_ns;
    (void)sq_text_copy(moments->first_missed, sizeof(moments->first_missed), measured->probe->name);
}

/* When the last host came to it; 0 if one of them did not. */
static uint64_t everywhere_boot_ns(const struct sq_run_ended *ended, bool removed)
{
    uint64_t last_boot_ns = 0;
    for (uint32_t i = 0; i < ended->host_count; i++) {
        const struct sq_run_last_host *host = &ended->hosts[i];
        uint64_t at_boot_ns = removed ? host->removed_boot_ns : host->clean_boot_ns;
        if (!host->ordered)
            continue;
        if (at_boot_ns == 0)
            return 0;
        if (at_boot_ns > last_boot_ns)
            last_boot_ns = at_boot_ns;
    }
    return last_boot_ns;
}

static void see_ending(struct sq_run_moments *moments, const struct sq_run_ended *ended)
{
    moments->ending = ended->ending;
    moments->clean_boot_ns = everywhere_boot_ns(ended, false);
    moments->removed_boot_ns = everywhere_boot_ns(ended, true);
    /* Clocks are told better and better: what is known last is what counts. */
    moments->injected_boot_ns = 0;
    for (uint32_t i = 0; i < ended->host_count; i++)
        for (uint32_t fault = 0; fault < ended->hosts[i].fault_count; fault++)
            see_injection(moments, ended->hosts[i].faults[fault].injected_boot_ns);
}

void sq_run_moments_see(struct sq_run_moments *moments, const struct sq_run_event *event)
{
    switch (event->kind) {
    case SQ_EVENT_BEGIN:
        moments->began_boot_ns = event->boot_ns;
        break;
    case SQ_EVENT_PHASE:
        if (event->of.phase.phase == SQ_PHASE_REVERT)
            moments->rollback_boot_ns = event->boot_ns;
        break;
    case SQ_EVENT_FAULT:
        see_injection(moments, event->of.fault.injected_boot_ns);
        break;
    case SQ_EVENT_MEASUREMENT:
        see_measurement(moments, &event->of.measurement);
        break;
    case SQ_EVENT_DECISION:
        if (strcmp(event->of.decision.what, "recovered") == 0)
            moments->recovered_boot_ns = event->boot_ns;
        break;
    case SQ_EVENT_ENDING:
        see_ending(moments, &event->of.ending);
        break;
    default:
        break;
    }
}

static void add(struct sq_run_moment *list, uint32_t *count, const char *key, uint64_t boot_ns,
                const char *text)
{
    if (boot_ns == 0)
        return;
    uint32_t at = (*count)++;
    for (; at > 0 && list[at - 1].boot_ns > boot_ns; at--)
        list[at] = list[at - 1];
    list[at].key = key;
    list[at].boot_ns = boot_ns;
    (void)sq_text_copy(list[at].text, sizeof(list[at].text), text);
}

uint32_t sq_run_moments_list(const struct sq_run_moments *moments, struct sq_run_moment list[SQ_MOMENTS_MAX])
{
    uint32_t count = 0;
    char missed[SQ_TITLE_MAX + 64];
    (void)snprintf(missed, sizeof(missed), "first miss, of probe \"%s\"", moments->first_missed);
    add(list, &count, "injected", moments->injected_boot_ns, "the first fault was in");
    add(list, &count, "first_missed", moments->first_missed_boot_ns, missed);
    add(list, &count, "last_allowed_miss", moments->last_allowed_miss_boot_ns, "last allowed miss");
    add(list, &count, "rollback", moments->rollback_boot_ns,
        moments->ending == SQ_EXIT_COMPLETED ? "the method was over" : "the rollback began");
    add(list, &count, "clean", moments->clean_boot_ns, "every host was clean");
    add(list, &count, "removed", moments->removed_boot_ns, "everything was removed");
    add(list, &count, "recovered", moments->recovered_boot_ns, "the hypothesis held again");
    return count;
}
