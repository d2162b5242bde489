/*
 * Parts of the kernel that may be built in, be modules, or not be there. Told without asking the kernel for
 * them, because asking loads: from what is loaded, from the kernel's configuration (/proc/config.gz, or where
 * distributions put it), from the lists of modules, and from the kernel's symbols.
 */
#ifndef SQ_KERNEL_MODULE_H
#define SQ_KERNEL_MODULE_H

#include "common/error.h"

#include <stdbool.h>

enum sq_kernel_part {
    SQ_PART_CLSACT = 0,
    SQ_PART_CLS_BPF,
    SQ_PART_MIRRED,
    SQ_PART_IFB,
    SQ_PART_NETEM,
    SQ_PART_NF_TABLES,
    SQ_KERNEL_PARTS
};

enum sq_module_state {
    SQ_MODULE_UNKNOWN = 0, /* nothing to tell from, as in a container without /lib/modules */
    SQ_MODULE_PRESENT,     /* loaded, or built in */
    SQ_MODULE_LOADABLE,    /* on the disk, and not loaded */
    SQ_MODULE_BLOCKED,     /* on the disk, and nothing may be loaded any more (kernel.modules_disabled) */
    SQ_MODULE_MISSING
};

enum sq_told { SQ_TOLD_NOTHING = 0, SQ_TOLD_NO, SQ_TOLD_YES };
enum sq_configured {
    SQ_CONFIGURED_UNKNOWN = 0,
    SQ_CONFIGURED_NO,
    SQ_CONFIGURED_MODULE,
    SQ_CONFIGURED_BUILT_IN
};

/* What was found about one part. */
struct sq_module_facts {
    bool is_loaded;                /* it is in /sys/module */
    bool has_modules;              /* this kernel can have modules at all */
    bool may_load;                 /* and still loads them */
    enum sq_configured configured; /* by the kernel's configuration */
    enum sq_told listed_built_in;  /* by modules.builtin */
    enum sq_told listed_on_disk;   /* by modules.dep */
    enum sq_told has_symbol;       /* by /proc/kallsyms */
};

/* What follows from them. Pure. */
enum sq_module_state sq_module_judge(const struct sq_module_facts *facts);

/* What a kernel configuration says of an option such as "CONFIG_IFB". Pure. */
enum sq_configured sq_kernel_config_find(const char *config, const char *option);

/* Reads files, and no more of them than it takes. Allocates. */
enum sq_module_state sq_module_state(enum sq_kernel_part part);

/*
 * 0: it is there, or can be loaded. 1: it cannot be told here; `error` says why, and that prepare finds out.
 * -1: SQ_UNABLE with what to do.
 */
int sq_kernel_part_check(enum sq_kernel_part part, struct sq_error *error);

/* Known not to be in the kernel now, so that nobody uses it; asking for it would load it, if it can be had.
 */
bool sq_kernel_part_is_absent(enum sq_kernel_part part);

/*
 * Seen to be in the kernel now, so that asking for it loads nothing. Allocates nothing and is quick, but
 * knows what is built in only from what was found out by the calls above.
 */
bool sq_kernel_part_is_at_hand(enum sq_kernel_part part);

/* The module's name, such as "sch_netem". */
const char *sq_kernel_part_name(enum sq_kernel_part part);

#endif
