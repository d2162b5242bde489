/* libraries: sq_injector sq_faults sq_table sq_common */
#include "common/clock.h"
#include "injector/undo_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static struct sq_undo_log log_a;
static struct sq_undo_content content;
static struct sq_undo undo;

static void path_of_log(char path[128])
{
    (void)snprintf(path, 128, "%s/undo.log", directory);
}

static int make_directory(void **state)
{
    (void)state;
    (void)strcpy(directory, "/tmp/squall-undo-XXXXXX");
    memset(&undo, 0, sizeof undo);
    undo.kind = SQ_PROCESS_KILL;
    undo.layout = 1;
    log_a.fd = -1;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    char path[128];
    (void)state;
    sq_undo_log_close(&log_a);
    path_of_log(path);
    (void)unlink(path);
    return rmdir(directory);
}

static struct sq_undo_key key(uint32_t slot)
{
    struct sq_undo_key made = {.slot = slot, .fault_index = slot + 1};
    made.experiment.bytes[0] = 7;
    return made;
}

static void open_log(struct sq_undo_log *log)
{
    struct sq_error error;
    if (sq_undo_log_open(log, directory, &content, &error) != 0)
        fail_msg("%s", error.text);
}

static void record(struct sq_undo_log *log, uint32_t slot, uint32_t size, uint8_t fill)
{
    struct sq_error error;
    struct sq_undo_key which = key(slot);
    undo.size = size;
    memset(undo.bytes, fill, size);
    if (sq_undo_log_record(log, &which, &undo, &error) != 0)
        fail_msg("%s", error.text);
}

static void reopen(void)
{
    sq_undo_log_close(&log_a);
    open_log(&log_a);
}

/* The check value of the CRC-32C catalogue entry, and two of RFC 3720 appendix B.4. */
static void test_crc(void **state)
{
    static const uint8_t zeros[32];
    uint8_t ones[32];
    (void)state;
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(sq_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(sq_crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
    assert_int_equal(sq_crc32c(0, ones, sizeof ones), 0x62a8ab43);
    assert_int_equal(sq_crc32c(sq_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_life(void **state)
{
    struct sq_error error;
    struct stat status;
    char path[128];
    (void)state;
    open_log(&log_a);
    assert_int_equal(content.live_count, 0);
    path_of_log(path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, SQ_UNDO_LOG_BYTES);
    assert_true(status.st_blocks * 512 >= SQ_UNDO_LOG_BYTES);

    record(&log_a, 0, 100, 1);
    record(&log_a, 1, 33, 2);
    record(&log_a, 2, 0, 0);
    struct sq_undo_key second = key(1);
    undo.size = 17;
    memset(undo.bytes, 9, sizeof undo.bytes);
    assert_int_equal(sq_undo_log_update(&log_a, &second, &undo, &error), 0);
    reopen();
    assert_int_equal(content.live_count, 3);
    assert_false(content.torn);
    assert_int_equal(content.live[0].undo.size, 100);
    assert_int_equal(content.live[0].undo.bytes[99], 1);
    assert_int_equal(content.live[0].undo.bytes[100], 0);
    assert_int_equal(content.live[1].undo.size, 17);
    assert_int_equal(content.live[1].undo.bytes[16], 9);
    assert_int_equal(content.live[1].key.fault_index, 2);
    assert_int_not_equal(content.live[2].netns_inode, 0);

    struct sq_undo_key first = key(0);
    assert_int_equal(sq_undo_log_done(&log_a, &first, &error), 0);
    reopen();
    assert_int_equal(content.live_count, 2);
    assert_int_equal(content.live[0].key.slot, 1);
    assert_int_equal(content.live[1].key.slot, 2);
}

/* What an earlier use of the file left behind the end must not come back, however well it fits. */
static void test_emptied_log_stays_empty(void **state)
{
    struct sq_error error;
    (void)state;
    open_log(&log_a);
    for (int round = 0; round < 3; round++) {
        record(&log_a, 0, 64, 1);
        record(&log_a, 1, 64, 2);
        struct sq_undo_key first = key(0);
        struct sq_undo_key second = key(1);
        assert_int_equal(sq_undo_log_done(&log_a, &second, &error), 0);
        assert_int_equal(sq_undo_log_done(&log_a, &first, &error), 0);
        assert_int_equal(log_a.used_bytes, 0);
        assert_int_equal(sq_undo_log_read(&log_a, &content, &error), 0);
        assert_int_equal(content.live_count, 0);
        record(&log_a, 0, 64, 3);
        assert_int_equal(sq_undo_log_read(&log_a, &content, &error), 0);
        assert_int_equal(content.live_count, 1);
        assert_int_equal(content.live[0].undo.bytes[0], 3);
        assert_int_equal(sq_undo_log_done(&log_a, &first, &error), 0);
        reopen();
        assert_int_equal(content.live_count, 0);
    }
}

static void test_wrong_use(void **state)
{
    struct sq_error error;
    struct sq_undo_key first = key(0);
    (void)state;
    open_log(&log_a);
    assert_int_equal(sq_undo_log_done(&log_a, &first, &error), -1);
    assert_int_equal(sq_undo_log_update(&log_a, &first, &undo, &error), -1);
    record(&log_a, 0, 8, 1);
    assert_int_equal(sq_undo_log_record(&log_a, &first, &undo, &error), -1);
    undo.size = SQ_UNDO_BYTES_MAX + 1;
    assert_int_equal(sq_undo_log_update(&log_a, &first, &undo, &error), -1);
    assert_int_equal(error.code, SQ_INTERNAL);
}

/* Full: nothing new fits, and every DONE still does. */
static void test_full_log(void **state)
{
    struct sq_error error;
    struct sq_undo_key keys[SQ_FAULTS_MAX];
    (void)state;
    open_log(&log_a);
    for (uint32_t i = 0; i + 1 < SQ_FAULTS_MAX; i++) {
        keys[i] = key(i);
        record(&log_a, i, 16, 1);
    }
    undo.size = SQ_UNDO_BYTES_MAX;
    uint32_t updates = 0;
    while (sq_undo_log_update(&log_a, &keys[0], &undo, &error) == 0)
        updates++;
    assert_int_equal(error.code, SQ_LIMIT);
    assert_true(updates > 100);
    undo.size = 16;
    while (sq_undo_log_update(&log_a, &keys[0], &undo, &error) == 0)
        updates++;
    struct sq_undo_key last = key(SQ_FAULTS_MAX - 1);
    assert_int_equal(sq_undo_log_record(&log_a, &last, &undo, &error), -1);
    assert_int_equal(error.code, SQ_LIMIT);
    for (uint32_t i = 0; i + 1 < SQ_FAULTS_MAX; i++) {
        if (sq_undo_log_done(&log_a, &keys[i], &error) != 0)
            fail_msg("DONE %u: %s", i, error.text);
    }
    assert_int_equal(log_a.live_count, 0);
    record(&log_a, 0, SQ_UNDO_BYTES_MAX, 5);
}

static uint8_t image[4096];
static uint8_t copy[4096];

static size_t make_image(const struct sq_id *boot)
{
    size_t length = 0;
    struct sq_undo_header header = {.generation = 42, .boot = *boot, .netns_inode = 1};
    header.experiment.bytes[0] = 1;
    for (uint32_t i = 0; i < 3; i++) {
        header.sequence++;
        header.type = SQ_UNDO_RECORD;
        header.slot = i;
        undo.size = 40 + i;
        memset(undo.bytes, (int)i + 1, undo.size);
        length += sq_undo_format(&header, &undo, image + length);
    }
    return length;
}

/* Cut at every byte, and flipped at every byte: what is whole before it is read, nothing else, and no crash.
 */
static void test_torn_at_every_byte(void **state)
{
    struct sq_id boot = {{1, 2, 3}};
    struct sq_error error;
    (void)state;
    size_t length = make_image(&boot);
    size_t ends[4] = {0};
    assert_int_equal(sq_undo_parse(image, length, &boot, &content, &error), 0);
    assert_int_equal(content.live_count, 3);
    for (uint32_t i = 0, at = 0; i < 3; i++) {
        struct sq_undo_header header;
        memcpy(&header, image + at, sizeof header);
        at += header.length_bytes;
        ends[i + 1] = at;
    }
    assert_int_equal(ends[3], length);
    for (size_t cut = 0; cut < length; cut++) {
        uint32_t before = 0;
        while (before < 3 && ends[before + 1] <= cut)
            before++;
        memset(copy, 0, sizeof copy);
        memcpy(copy, image, cut);
        /* Where nothing but the zeros behind a payload was cut off, nothing is missing. */
        uint32_t whole = before;
        while (whole < 3 && memcmp(copy, image, ends[whole + 1]) == 0)
            whole++;
        assert_int_equal(sq_undo_parse(copy, sizeof copy, &boot, &content, &error), 0);
        assert_int_equal(content.live_count, whole);
        assert_int_equal(content.used_bytes, ends[whole]);
        assert_int_equal(sq_undo_parse(copy, cut, &boot, &content, &error), 0);
        assert_int_equal(content.live_count, before);

        memcpy(copy, image, length);
        copy[cut] ^= 0x10;
        assert_int_equal(sq_undo_parse(copy, length, &boot, &content, &error), 0);
        assert_int_equal(content.live_count, before);
        assert_true(content.torn);
    }
}

static void test_other_boot(void **state)
{
    struct sq_id boot = {{1, 2, 3}};
    struct sq_id other = {{9}};
    struct sq_error error;
    (void)state;
    size_t length = make_image(&boot);
    assert_int_equal(sq_undo_parse(image, length, &other, &content, &error), 0);
    assert_int_equal(content.live_count, 0);
    assert_int_equal(content.other_boot_count, 3);
}

/* Intact, but not understood: said, never ignored. */
static void test_not_understood(void **state)
{
    struct sq_id boot = {{1}};
    struct sq_error error;
    struct sq_undo_header header = {.type = SQ_UNDO_DONE, .boot = boot, .sequence = 1};
    (void)state;
    size_t length = sq_undo_format(&header, NULL, image);
    assert_int_equal(sq_undo_parse(image, length, &boot, &content, &error), -1);
    assert_int_equal(error.code, SQ_UNCLEAN);

    header.type = 77;
    length = sq_undo_format(&header, NULL, image);
    assert_int_equal(sq_undo_parse(image, length, &boot, &content, &error), -1);

    length = sq_undo_format(&header, NULL, image);
    memcpy(&header, image, sizeof header);
    header.version = 2;
    header.crc32c = 0;
    header.crc32c = sq_crc32c(0, &header, sizeof header);
    memcpy(image, &header, sizeof header);
    assert_int_equal(sq_undo_parse(image, length, &boot, &content, &error), -1);
    assert_non_null(strstr(error.text, "version 2"));
}

static void test_foreign_file(void **state)
{
    char path[128];
    struct sq_error error;
    (void)state;
    path_of_log(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(sq_undo_log_open(&log_a, directory, &content, &error), -1);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_RDWR, 0666);
    assert_int_equal(fchmod(fd, 0666), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(sq_undo_log_open(&log_a, directory, &content, &error), -1);
    assert_non_null(strstr(error.text, "somebody else"));
}

/* A process that died while it wrote: the tail goes, the rest is there, and the log goes on behind it. */
static void test_torn_file_goes_on(void **state)
{
    struct sq_error error;
    char path[128];
    (void)state;
    open_log(&log_a);
    record(&log_a, 0, 50, 1);
    size_t end = log_a.used_bytes;
    record(&log_a, 1, 50, 2);
    path_of_log(path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, (off_t)end + 20), 4);
    assert_int_equal(close(fd), 0);
    reopen();
    assert_int_equal(content.live_count, 1);
    assert_true(content.torn);
    record(&log_a, 1, 60, 3);
    reopen();
    assert_int_equal(content.live_count, 2);
    assert_int_equal(content.live[1].undo.bytes[0], 3);
    struct sq_undo_key first = key(0);
    struct sq_undo_key second = key(1);
    assert_int_equal(sq_undo_log_done(&log_a, &first, &error), 0);
    assert_int_equal(sq_undo_log_done(&log_a, &second, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test_setup_teardown(test_life, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_emptied_log_stays_empty, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_wrong_use, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_full_log, make_directory, remove_directory),
        cmocka_unit_test(test_torn_at_every_byte),
        cmocka_unit_test(test_other_boot),
        cmocka_unit_test(test_not_understood),
        cmocka_unit_test_setup_teardown(test_foreign_file, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_torn_file_goes_on, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
