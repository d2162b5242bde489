#include "kernel/module.h"

#include "kernel/ifb.h"
#include "kernel/kernel_text.h"
#include "kernel/netem.h"
#include "kernel/tc.h"

#include "common/cleanup.h"
#include "common/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

struct part {
    const char *module;
    const char *option;
    const char *symbol; /* a function that no build of it lacks */
    const char *missing;
};

static const struct part parts[SQ_KERNEL_PARTS] = {
    [SQ_PART_CLSACT] = {"sch_ingress", "CONFIG_NET_SCH_INGRESS", "clsact_init", SQ_TC_CLSACT_MISSING},
    [SQ_PART_CLS_BPF] = {"cls_bpf", "CONFIG_NET_CLS_BPF", "cls_bpf_classify", SQ_TC_BPF_MISSING},
    [SQ_PART_MIRRED] = {"act_mirred", "CONFIG_NET_ACT_MIRRED", "tcf_mirred_act", SQ_TC_MIRRED_MISSING},
    [SQ_PART_IFB] = {"ifb", "CONFIG_IFB", "ifb_xmit", SQ_IFB_MISSING},
    [SQ_PART_NETEM] = {"sch_netem", "CONFIG_NET_SCH_NETEM", "netem_enqueue", SQ_NETEM_MISSING},
    [SQ_PART_NF_TABLES] = {"nf_tables", "CONFIG_NF_TABLES", "nf_tables_newrule",
                           "the kernel has no nf_tables"},
};

/* Every kernel has it: where it is not listed, nothing is. */
#define SYMBOL_OF_ALL "register_netdevice"

#define LIST_BYTES_MAX (16u << 20)

/* What stays as it is until the machine boots again, and is costly to find out. */
struct lasting {
    bool config_read;
    bool symbols_read;
    bool symbols_told;
    char config_path[SQ_KERNEL_PATH_MAX];
    enum sq_configured configured[SQ_KERNEL_PARTS];
    bool has_symbol[SQ_KERNEL_PARTS];
    bool built_in[SQ_KERNEL_PARTS]; /* it was there without being loaded */
};

static struct lasting lasting;

enum sq_module_state sq_module_judge(const struct sq_module_facts *facts)
{
    if (facts->is_loaded || facts->configured == SQ_CONFIGURED_BUILT_IN ||
        facts->listed_built_in == SQ_TOLD_YES || facts->has_symbol == SQ_TOLD_YES)
        return SQ_MODULE_PRESENT;
    if (!facts->has_modules)
        return facts->configured == SQ_CONFIGURED_NO || facts->has_symbol == SQ_TOLD_NO ? SQ_MODULE_MISSING
                                                                                        : SQ_MODULE_UNKNOWN;
    /* It may have been built apart from the kernel. */
    if (facts->listed_on_disk == SQ_TOLD_YES)
        return facts->may_load ? SQ_MODULE_LOADABLE : SQ_MODULE_BLOCKED;
    if (facts->configured == SQ_CONFIGURED_NO)
        return SQ_MODULE_MISSING;
    /* Configured as a module and not on the disk: in a package that is not installed. */
    if (facts->listed_on_disk == SQ_TOLD_NO &&
        (facts->configured == SQ_CONFIGURED_MODULE || facts->listed_built_in == SQ_TOLD_NO))
        return SQ_MODULE_MISSING;
    if (!facts->may_load && facts->configured == SQ_CONFIGURED_MODULE)
        return SQ_MODULE_BLOCKED;
    return SQ_MODULE_UNKNOWN;
}

enum sq_configured sq_kernel_config_find(const char *config, const char *option)
{
    size_t length = strlen(option);
    for (const char *line = config; line != NULL; line = strchr(line, '\n')) {
        line += line[0] == '\n';
        if (strncmp(line, option, length) != 0 || line[length] != '=')
            continue;
        if (line[length + 1] == 'y')
            return SQ_CONFIGURED_BUILT_IN;
        return line[length + 1] == 'm' ? SQ_CONFIGURED_MODULE : SQ_CONFIGURED_NO;
    }
    return SQ_CONFIGURED_NO;
}

static bool get_release(char *release, size_t size)
{
    struct utsname system;
    return uname(&system) == 0 && (size_t)snprintf(release, size, "%s", system.release) < size;
}

/* Of the kernel that runs, first from itself. */
static void read_config(void)
{
    static const struct {
        const char *before;
        const char *behind; /* the release; NULL: it is not in the path */
    } places[] = {{"/proc/config.gz", NULL},
                  {"/boot/config-", ""},
                  {"/lib/modules/", "/config"},
                  {"/usr/lib/kernel/config-", ""}};
    char release[SQ_KERNEL_PATH_MAX / 2];
    if (lasting.config_read || !get_release(release, sizeof release))
        return;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *path = lasting.config_path;
        const char *behind = places[i].behind;
        (void)snprintf(path, SQ_KERNEL_PATH_MAX, "%s%s%s", places[i].before, behind == NULL ? "" : release,
                       behind == NULL ? "" : behind);
        sq_autofree char *config = sq_kernel_config_read(path);
        /* Half a file would say "no" of what it lacks. */
        if (config == NULL || strstr(config, "CONFIG_NET=y") == NULL)
            continue;
        for (int part = 0; part < SQ_KERNEL_PARTS; part++)
            lasting.configured[part] = sq_kernel_config_find(config, parts[part].option);
        lasting.config_read = true;
        return;
    }
}

static enum sq_told is_listed(const char *list, const char *name)
{
    char release[SQ_KERNEL_PATH_MAX / 2];
    char path[SQ_KERNEL_PATH_MAX];
    char file[80];
    sq_autofree char *content = NULL;
    size_t length = 0;
    if (!get_release(release, sizeof release))
        return SQ_TOLD_NOTHING;
    (void)snprintf(path, sizeof path, "/lib/modules/%s/%s", release, list);
    (void)snprintf(file, sizeof file, "/%s.ko", name);
    if (sq_file_read(path, LIST_BYTES_MAX, &content, &length, NULL) != 0)
        return SQ_TOLD_NOTHING;
    return strstr(content, file) != NULL ? SQ_TOLD_YES : SQ_TOLD_NO;
}

static bool notice_symbol(const char *symbol, bool in_module, void *cookie)
{
    (void)cookie;
    if (in_module)
        return true; /* what is loaded may be unloaded: /sys/module tells */
    if (strcmp(symbol, SYMBOL_OF_ALL) == 0)
        lasting.symbols_told = true;
    for (int part = 0; part < SQ_KERNEL_PARTS; part++)
        if (strcmp(symbol, parts[part].symbol) == 0)
            lasting.has_symbol[part] = true;
    return true;
}

static enum sq_told is_symbol_there(enum sq_kernel_part part)
{
    if (!lasting.symbols_read)
        sq_kernel_symbols(notice_symbol, NULL);
    lasting.symbols_read = true;
    if (lasting.has_symbol[part])
        return SQ_TOLD_YES;
    return lasting.symbols_told ? SQ_TOLD_NO : SQ_TOLD_NOTHING;
}

/* Loading may be switched off for good, or by naming no program that does it. */
static bool may_load(void)
{
    char text[SQ_KERNEL_PATH_MAX];
    if (sq_file_read_into("/proc/sys/kernel/modules_disabled", text, sizeof text) > 0 && text[0] == '1')
        return false;
    return sq_file_read_into("/proc/sys/kernel/modprobe", text, sizeof text) <= 0 || text[0] == '/';
}

/* By /sys, or where that is not mounted by /proc. */
static bool is_loaded(const char *name)
{
    char text[SQ_KERNEL_PATH_MAX];
    sq_autofree char *content = NULL;
    size_t length = 0;
    (void)snprintf(text, sizeof text, "/sys/module/%s", name);
    if (access(text, F_OK) == 0)
        return true;
    if (access("/sys/module", F_OK) == 0 ||
        sq_file_read("/proc/modules", LIST_BYTES_MAX, &content, &length, NULL) != 0)
        return false;
    (void)snprintf(text, sizeof text, "\n%s ", name);
    return strncmp(content, text + 1, strlen(text) - 1) == 0 || strstr(content, text) != NULL;
}

enum sq_module_state sq_module_state(enum sq_kernel_part part)
{
    struct sq_module_facts facts = {0};
    if (is_loaded(parts[part].module))
        return SQ_MODULE_PRESENT;
    read_config();
    if (lasting.config_read)
        facts.configured = lasting.configured[part];
    if (facts.configured == SQ_CONFIGURED_BUILT_IN) {
        lasting.built_in[part] = true;
        return SQ_MODULE_PRESENT;
    }
    facts.has_modules = access("/proc/modules", F_OK) == 0;
    facts.may_load = may_load();
    facts.listed_built_in = is_listed("modules.builtin", parts[part].module);
    facts.listed_on_disk = is_listed("modules.dep", parts[part].module);
    enum sq_module_state state = sq_module_judge(&facts);
    if (state == SQ_MODULE_UNKNOWN && facts.configured != SQ_CONFIGURED_MODULE) {
        /* Tens of milliseconds, once, and only where nothing else tells. */
        facts.has_symbol = is_symbol_there(part);
        state = sq_module_judge(&facts);
    }
    lasting.built_in[part] = state == SQ_MODULE_PRESENT;
    return state;
}

int sq_kernel_part_check(enum sq_kernel_part part, struct sq_error *error)
{
    const struct part *it = &parts[part];
    switch (sq_module_state(part)) {
    case SQ_MODULE_PRESENT:
    case SQ_MODULE_LOADABLE:
        return 0;
    case SQ_MODULE_BLOCKED:
        return sq_fail(error, SQ_UNABLE,
                       "the kernel module %s is not loaded, and this kernel loads none any more "
                       "(kernel.modules_disabled, or an empty kernel.modprobe); load it earlier, at boot",
                       it->module);
    case SQ_MODULE_MISSING:
        if (lasting.config_read && lasting.configured[part] == SQ_CONFIGURED_NO)
            return sq_fail(error, SQ_UNABLE, "%s: %s", lasting.config_path, it->missing);
        return sq_fail(error, SQ_UNABLE, "%s", it->missing);
    default:
        (void)sq_fail(error, SQ_UNABLE,
                      "whether the kernel has %s cannot be told here without loading it (no kernel "
                      "configuration, no list of modules); PREPARE finds out, or 'modprobe %s' beforehand",
                      it->module, it->module);
        return 1;
    }
}

bool sq_kernel_part_is_absent(enum sq_kernel_part part)
{
    enum sq_module_state state = sq_module_state(part);
    if (state != SQ_MODULE_UNKNOWN)
        return state != SQ_MODULE_PRESENT;
    return (lasting.config_read && lasting.configured[part] == SQ_CONFIGURED_MODULE) ||
           is_symbol_there(part) == SQ_TOLD_NO;
}

bool sq_kernel_part_is_at_hand(enum sq_kernel_part part)
{
    char path[SQ_KERNEL_PATH_MAX];
    (void)snprintf(path, sizeof path, "/sys/module/%s", parts[part].module);
    return lasting.built_in[part] || access(path, F_OK) == 0;
}

const char *sq_kernel_part_name(enum sq_kernel_part part)
{
    return parts[part].module;
}
