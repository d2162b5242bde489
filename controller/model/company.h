/*
 * Company: what others have prepared or injected on the hosts of an inventory, counted against an
 * experiment's limits together with what it would hit itself. Pure.
 *
 * A host that does not answer counts as disturbed: nobody knows what is there. What is clean and only being
 * removed disturbs nobody.
 */
#ifndef SQ_MODEL_COMPANY_H
#define SQ_MODEL_COMPANY_H

#include "common/error.h"
#include "common/id.h"
#include "model/inventory.h"
#include "model/plan.h"
#include "table/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sq_company_state {
    SQ_COMPANY_NONE, /* it answers, and nothing of others applies to it */
    SQ_COMPANY_PREPARED,
    SQ_COMPANY_INJECTED,
    SQ_COMPANY_LEFT,  /* what an experiment could not undo */
    SQ_COMPANY_SILENT /* no answer, or one that says nothing */
};

/* What one host of the inventory has of others. Times are the controller's boot-time clock. */
struct sq_company_host {
    enum sq_company_state state;
    struct sq_id experiment;         /* this and the next three: not SILENT */
    char title[SQ_TITLE_MAX];        /* as its agent tells them */
    char operator_name[SQ_NAME_MAX]; /* empty: its agent does not know */
    uint64_t since_boot_ns;          /* prepared or injected; 0: not known */
    uint64_t until_boot_ns;          /* as things stand; 0: not known */
    bool renewable;                  /* that is its lease's end, which whoever holds it moves on */
    char problem[SQ_ERROR_TEXT_MAX]; /* SILENT: why; LEFT: what */
};

struct sq_company {
    const struct sq_inventory *inventory; /* borrowed */
    struct sq_company_host *hosts;        /* one per host of the inventory; owned */
};

int sq_company_open(const struct sq_inventory *inventory, struct sq_company *company, struct sq_error *error);
void sq_company_close(struct sq_company *company); /* one that was zeroed and never opened is fine */

/*
 * What a host's answer to STATUS says. `own` (zero: none) is no company. `reply` is NULL where there was no
 * answer, and `problem` says why.
 */
void sq_company_take(struct sq_company_host *host, const struct sq_id *own, const struct sq_reply *reply,
                     uint64_t answered_boot_ns, const char *problem);

/* Nobody has to be asked where the experiment limits nothing. */
bool sq_company_matters(const struct sq_limits *limits);

/* How many hosts of the inventory the limits let be disturbed at once; UINT32_MAX: all. */
uint32_t sq_limits_most(const struct sq_limits *limits, const struct sq_inventory *inventory);

/*
 * May `plan` go ahead beside what is there? SQ_LIMIT when the hosts that it hits and the others that are
 * disturbed are more than `limits: max-hosts` allows, and when `limits: alone` bears no company. The message
 * names whose it is.
 */
int sq_company_judge(const struct sq_company *company, const struct sq_plan *plan, struct sq_error *error);

/*
 * One sentence for each experiment and each silence that is not there yet: fills `text` (SQ_ERROR_TEXT_MAX)
 * and moves *position, 0 at first, on. False: no more.
 * "3 hosts: web1…web3: "The shop" of ada@laptop (experiment 0f3a5d21), injected 12s ago, until in 18s"
 */
bool sq_company_next(const struct sq_company *company, uint32_t *position, uint64_t now_boot_ns,
                     char text[SQ_ERROR_TEXT_MAX]);

const char *sq_company_state_name(enum sq_company_state state); /* "prepared", "silent", ... */

#endif
