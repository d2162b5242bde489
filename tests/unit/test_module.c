/* libraries: sq_kernel sq_common */
/* What is told of parts of the kernel without loading any: from its configuration, lists and symbols. */
#include "kernel/kernel_text.h"
#include "kernel/module.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_options_of_a_configuration(void **state)
{
    (void)state;
    static const char config[] = "CONFIG_NET=y\n"
                                 "# CONFIG_NET_SCH_NETEM is not set\n"
                                 "CONFIG_IFB_OTHER=y\n"
                                 "CONFIG_IFB=m\n"
                                 "CONFIG_NAMED=\"y\"\n"
                                 "CONFIG_NET_CLS_BPF=y\n";
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_NET"), SQ_CONFIGURED_BUILT_IN);
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_NET_CLS_BPF"), SQ_CONFIGURED_BUILT_IN);
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_IFB"), SQ_CONFIGURED_MODULE);
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_NET_SCH_NETEM"), SQ_CONFIGURED_NO);
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_NAMED"), SQ_CONFIGURED_NO);
    assert_int_equal(sq_kernel_config_find(config, "CONFIG_NET_CLS"), SQ_CONFIGURED_NO);
    assert_int_equal(sq_kernel_config_find("", "CONFIG_NET"), SQ_CONFIGURED_NO);
}

struct judged {
    const char *what;
    struct sq_module_facts facts;
    enum sq_module_state state;
};

static void test_what_follows(void **state)
{
    (void)state;
    const struct sq_module_facts loads = {.has_modules = true, .may_load = true};
    struct judged cases[] = {
        {"Debian: on the disk", loads, SQ_MODULE_LOADABLE},
        {"a chroot on Debian: no lists, no configuration, not built in", loads, SQ_MODULE_UNKNOWN},
        {"a container that sees the configuration only", loads, SQ_MODULE_UNKNOWN},
        {"in a package that is not installed", loads, SQ_MODULE_MISSING},
        {"a cloud kernel that has it neither way", loads, SQ_MODULE_MISSING},
        {"configured out, and built apart from the kernel", loads, SQ_MODULE_LOADABLE},
        {"nothing may be loaded any more", loads, SQ_MODULE_BLOCKED},
        {"lists alone, which do not have it", loads, SQ_MODULE_MISSING},
        {"built in, by the symbols alone", loads, SQ_MODULE_PRESENT},
        {"loaded, whatever else is said", loads, SQ_MODULE_PRESENT},
        {"a kernel without modules and configuration, by its symbols", {0}, SQ_MODULE_MISSING},
        {"a kernel without modules that tells nothing", {0}, SQ_MODULE_UNKNOWN},
        {"a kernel without modules, configured out", {0}, SQ_MODULE_MISSING},
    };
    cases[0].facts.listed_on_disk = SQ_TOLD_YES;
    cases[0].facts.configured = SQ_CONFIGURED_MODULE;
    cases[1].facts.has_symbol = SQ_TOLD_NO;
    cases[2].facts.configured = SQ_CONFIGURED_MODULE;
    cases[3].facts.configured = SQ_CONFIGURED_MODULE;
    cases[3].facts.listed_on_disk = SQ_TOLD_NO;
    cases[4].facts.configured = SQ_CONFIGURED_NO;
    cases[5].facts.configured = SQ_CONFIGURED_NO;
    cases[5].facts.listed_on_disk = SQ_TOLD_YES;
    cases[6].facts.listed_on_disk = SQ_TOLD_YES;
    cases[6].facts.may_load = false;
    cases[7].facts.listed_on_disk = SQ_TOLD_NO;
    cases[7].facts.listed_built_in = SQ_TOLD_NO;
    cases[8].facts.has_symbol = SQ_TOLD_YES;
    cases[9].facts.is_loaded = true;
    cases[9].facts.configured = SQ_CONFIGURED_NO;
    cases[10].facts.has_symbol = SQ_TOLD_NO;
    cases[12].facts.configured = SQ_CONFIGURED_NO;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].what);
        assert_int_equal(sq_module_judge(&cases[i].facts), cases[i].state);
    }
}

static void test_configurations_are_read(void **state)
{
    (void)state;
    char path[] = "/tmp/squall-config.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "CONFIG_NET=y\n", 13), 13);
    char *text = sq_kernel_config_read(path);
    assert_string_equal(text, "CONFIG_NET=y\n");
    free(text);
    /* printf 'CONFIG_NET=y\n' | gzip -n */
    static const uint8_t compressed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x73,
                                         0xf6, 0xf7, 0x73, 0xf3, 0x74, 0x8f, 0xf7, 0x73, 0x0d, 0xb1, 0xad,
                                         0xe4, 0x02, 0x00, 0x2c, 0x48, 0x1f, 0x0d, 0x0d, 0x00, 0x00, 0x00};
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, compressed, sizeof compressed, 0), sizeof compressed);
    text = sq_kernel_config_read(path);
    assert_string_equal(text, "CONFIG_NET=y\n");
    free(text);
    /* Torn, it says nothing: what it lacks would look like what the kernel lacks. */
    assert_int_equal(ftruncate(fd, sizeof compressed - 8), 0);
    assert_null(sq_kernel_config_read(path));
    assert_null(sq_kernel_config_read("/nowhere/config"));
    (void)unlink(path);
    (void)close(fd);
}

static bool count_symbol(const char *symbol, bool in_module, void *cookie)
{
    unsigned *count = cookie;
    *count += strcmp(symbol, "register_netdevice") == 0 && !in_module;
    return true;
}

static void test_symbols_are_read(void **state)
{
    (void)state;
    unsigned count = 0;
    if (access("/proc/kallsyms", R_OK) != 0)
        skip();
    sq_kernel_symbols(count_symbol, &count);
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_a_configuration),
        cmocka_unit_test(test_what_follows),
        cmocka_unit_test(test_configurations_are_read),
        cmocka_unit_test(test_symbols_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
