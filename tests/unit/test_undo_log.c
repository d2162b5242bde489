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
    if (sq_undo_log_open(log, directory, false, &content, &error) != 0)
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

/* A DONE that could not be written: the log is what it was, also for whoever writes next. */
static void test_failed_reset(void **state)
{
    struct sq_error error;
    char path[128];
    const struct sq_undo_key first = key(0);
    (void)state;
    open_log(&log_a);
    record(&log_a, 0, 100, 1);
    path_of_log(path);
    int writable = log_a.fd;
    log_a.fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(log_a.fd >= 0);
    assert_int_equal(sq_undo_log_done(&log_a, &first, &error), -1);
    (void)close(log_a.fd);
    log_a.fd = writable;
    record(&log_a, 1, 100, 2);
    reopen();
    assert_int_equal(content.live_count, 2);
    assert_int_equal(content.live[0].undo.bytes[0], 1);
    assert_int_equal(sq_undo_log_done(&log_a, &first, &error), 0);
    reopen();
    assert_int_equal(content.live_count, 1);
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

static const struct sq_id image_boot = {{1, 2, 3}};

/* Three records; their ends in `ends`, the first of which is 0. */
static size_t make_records(uint16_t version, uint8_t *bytes, size_t ends[4])
{
    size_t length = 0;
    struct sq_undo_header header = {
        .version = version, .generation = 42, .boot = image_boot, .netns_inode = 1};
    header.experiment.bytes[0] = 1;
    ends[0] = 0;
    for (uint32_t i = 0; i < 3; i++) {
        header.sequence++;
        header.type = SQ_UNDO_RECORD;
        header.slot = i;
        undo.size = 40 + i;
        memset(undo.bytes, (int)i + 1, undo.size);
        length += sq_undo_format(&header, &undo, bytes + length);
        ends[i + 1] = length;
    }
    return length;
}

/* The same as a file that holds `valid` of them, in `image`. */
static size_t make_image(uint32_t valid, size_t ends[4])
{
    size_t length = make_records(0, image + sizeof(struct sq_undo_start), ends);
    struct sq_undo_start start = sq_undo_start_of(&image_boot, 42, valid, ends[valid]);
    memcpy(image, &start, sizeof start);
    return sizeof start + length;
}

static int parse(const uint8_t *bytes, size_t size)
{
    static struct sq_error error;
    int result = sq_undo_parse(bytes, size, &image_boot, &content, &error);
    if (result != 0)
        assert_int_equal(error.code, SQ_UNCLEAN);
    return result;
}

/* Within what the start calls valid nothing may be wrong, wherever it is cut or flipped. */
static void test_damage_at_every_byte(void **state)
{
    (void)state;
    size_t ends[4];
    size_t length = make_image(3, ends);
    assert_int_equal(parse(image, length), 0);
    assert_int_equal(content.live_count, 3);
    assert_int_equal(content.used_bytes, ends[3]);
    for (size_t cut = 1; cut < length; cut++) {
        assert_int_equal(parse(image, cut), -1);
        memset(copy, 0, sizeof copy);
        memcpy(copy, image, cut);
        if (memcmp(copy, image, length) != 0) /* not only the zeros behind a payload */
            assert_int_equal(parse(copy, sizeof copy), -1);
        memcpy(copy, image, length);
        copy[cut - 1] ^= 0x10;
        assert_int_equal(parse(copy, length), -1);
    }
}

/* A record that was never finished is no damage: its fault was never made. */
static void test_unfinished_tail_at_every_byte(void **state)
{
    (void)state;
    size_t ends[4];
    size_t length = make_image(2, ends);
    for (size_t cut = sizeof(struct sq_undo_start) + ends[2]; cut <= length; cut++) {
        memset(copy, 0, sizeof copy);
        memcpy(copy, image, cut);
        assert_int_equal(parse(copy, sizeof copy), 0);
        assert_int_equal(content.live_count, 2);
        assert_int_equal(content.used_bytes, ends[2]);
        assert_int_equal(content.sequence, 2);
    }
    assert_true(content.torn);
}

/* Version 1 did not say where its records end: only what looks like no record of it is the end. */
static void test_version_1(void **state)
{
    (void)state;
    size_t ends[4];
    size_t length = make_records(1, image, ends);
    memset(copy, 0, sizeof copy);
    memcpy(copy, image, length);
    assert_int_equal(parse(copy, sizeof copy), 0);
    assert_int_equal(content.live_count, 3);
    assert_int_equal(content.version, 1);
    for (size_t at = 0; at < length; at++) {
        memcpy(copy, image, length);
        copy[at] ^= 0x10;
        assert_int_equal(parse(copy, sizeof copy), -1);
    }
    /* What an earlier use of the file left behind the end is no damage. */
    memcpy(copy, image, length);
    memset(copy + length, 0x5a, 300);
    assert_int_equal(parse(copy, sizeof copy), 0);
    assert_int_equal(content.live_count, 3);
    /* A hole with records behind it is. */
    memset(copy + ends[1], 0, ends[2] - ends[1]);
    assert_int_equal(parse(copy, sizeof copy), -1);
    assert_int_equal(content.live_count, 1);
    /* No version 1 emptied what version 2 wrote. */
    size_t newer = make_image(3, ends);
    memset(image, 0, sizeof(struct sq_undo_start));
    memset(image + sizeof(struct sq_undo_start), 0, ends[1]);
    assert_int_equal(parse(image, newer), -1);
    /* Nothing was ever there, or it was emptied. */
    memset(copy, 0, sizeof(struct sq_undo_header));
    assert_int_equal(parse(copy, sizeof copy), 0);
    assert_int_equal(content.live_count, 0);
}

static void test_other_boot(void **state)
{
    struct sq_id other = {{9}};
    struct sq_error error;
    (void)state;
    size_t ends[4];
    size_t length = make_image(3, ends);
    assert_int_equal(sq_undo_parse(image, length, &other, &content, &error), 0);
    assert_int_equal(content.live_count, 0);
    assert_true(content.other_boot_count > 0);
    /* A power cut may have left the records behind. */
    memset(image + sizeof(struct sq_undo_start) + ends[1], 0, ends[3] - ends[1]);
    assert_int_equal(sq_undo_parse(image, length, &other, &content, &error), 0);
    length = make_records(1, image, ends);
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
    header.version = 3;
    header.crc32c = 0;
    header.crc32c = sq_crc32c(0, &header, sizeof header);
    memcpy(image, &header, sizeof header);
    assert_int_equal(sq_undo_parse(image, length, &boot, &content, &error), -1);
    assert_non_null(strstr(error.text, "version 3"));
}

static void test_foreign_file(void **state)
{
    char path[128];
    struct sq_error error;
    (void)state;
    path_of_log(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(sq_undo_log_open(&log_a, directory, false, &content, &error), -1);
    assert_int_equal(unlink(path), 0);
    int fd = open(path, O_CREAT | O_RDWR, 0666);
    assert_int_equal(fchmod(fd, 0666), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(sq_undo_log_open(&log_a, directory, false, &content, &error), -1);
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
    path_of_log(path);
    struct sq_undo_start start;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &start, sizeof start, 0), sizeof start);
    record(&log_a, 1, 50, 2);
    assert_int_equal(pwrite(fd, &start, sizeof start, 0), sizeof start);
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
    assert_int_equal(close(fd), 0);
}

/* A damaged file is refused, and left as it is for whoever looks into it. */
static void test_damaged_file_is_kept(void **state)
{
    struct sq_error error;
    char path[128];
    (void)state;
    open_log(&log_a);
    record(&log_a, 0, 50, 1);
    path_of_log(path);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, sizeof(struct sq_undo_start) + 100), 6);
    assert_int_equal(pread(fd, image, sizeof image, 0), sizeof image);
    sq_undo_log_close(&log_a);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sq_undo_log_open(&log_a, directory, false, &content, &error), -1);
        assert_int_equal(error.code, SQ_UNCLEAN);
        assert_non_null(strstr(error.text, "--sweep"));
    }
    assert_int_equal(pread(fd, copy, sizeof copy, 0), sizeof copy);
    assert_memory_equal(image, copy, sizeof image);
    assert_int_equal(close(fd), 0);
    assert_int_equal(sq_undo_log_discard(directory, &error), 0);
    open_log(&log_a);
    assert_int_equal(content.live_count, 0);
}

static void write_older_log(const char *name, mode_t mode)
{
    char path[160];
    struct sq_error error;
    struct sq_id boot;
    assert_int_equal(sq_id_of_boot(&boot, &error), 0);
    memset(image, 0, sizeof image);
    struct sq_undo_header header = {
        .version = 1, .generation = 7, .boot = boot, .netns_inode = 77, .real_ns = 88};
    header.type = SQ_UNDO_RECORD;
    header.sequence = 1;
    header.slot = 3;
    header.experiment.bytes[0] = 7;
    undo.size = 30;
    (void)sq_undo_format(&header, &undo, image);
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/%s/undo.log", directory, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, image, sizeof image), sizeof image);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void remove_older_log(const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s/undo.log", directory, name);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)rmdir(path);
}

/* What the version before left is live here, once; what somebody else planted is not. */
static void test_inherit(void **state)
{
    struct sq_error error;
    char path[160];
    (void)state;
    open_log(&log_a);
    write_older_log("run", 0600);
    (void)snprintf(path, sizeof path, "%s/run", directory);
    assert_int_equal(sq_undo_log_inherit(&log_a, path, &content, &error), 0);
    assert_int_equal(content.live_count, 1);
    assert_int_equal(content.live[0].netns_inode, 77);
    assert_int_equal(content.live[0].real_ns, 88);
    assert_int_equal(content.live[0].undo.size, 30);
    remove_older_log("run");
    write_older_log("run", 0600); /* as if the agent had died before it removed it */
    assert_int_equal(sq_undo_log_inherit(&log_a, path, &content, &error), 0);
    assert_int_equal(content.live_count, 1);
    remove_older_log("run");
    struct sq_undo_key fourth = {.slot = 3};
    fourth.experiment.bytes[0] = 7;
    assert_int_equal(sq_undo_log_done(&log_a, &fourth, &error), 0);
    write_older_log("run", 0622);
    assert_int_equal(sq_undo_log_inherit(&log_a, path, &content, &error), 0);
    assert_int_equal(log_a.live_count, 0);
    remove_older_log("run");
    reopen();
    assert_int_equal(content.live_count, 0);
}

/* What outlives a boot is on the disk as well, and found there when the other log went with the boot. */
static void test_durable(void **state)
{
    static struct sq_undo_log twin;
    struct sq_error error;
    char path[128];
    char state_directory[128];
    (void)state;
    (void)snprintf(state_directory, sizeof state_directory, "%s/state", directory);
    open_log(&log_a);
    assert_int_equal(sq_undo_log_join(&log_a, &twin, state_directory, &content, &error), 0);
    record(&log_a, 0, 20, 1);
    assert_int_equal(access(state_directory, F_OK), -1); /* nothing needed it yet */
    undo.flags = SQ_UNDO_SURVIVES_BOOT;
    record(&log_a, 1, 21, 2);
    undo.flags = 0;
    assert_int_equal(twin.live_count, 1);
    sq_undo_log_close(&log_a);
    path_of_log(path);
    assert_int_equal(unlink(path), 0); /* the boot */
    open_log(&log_a);
    assert_int_equal(sq_undo_log_join(&log_a, &twin, state_directory, &content, &error), 0);
    assert_int_equal(content.live_count, 1);
    assert_int_equal(content.live[0].key.slot, 1);
    assert_int_equal(content.live[0].undo.size, 21);
    struct sq_undo_key second = key(1);
    assert_int_equal(sq_undo_log_done(&log_a, &second, &error), 0);
    sq_undo_log_close(&log_a);
    open_log(&log_a);
    assert_int_equal(sq_undo_log_join(&log_a, &twin, state_directory, &content, &error), 0);
    assert_int_equal(content.live_count, 0);
    remove_older_log("state");
    /* Without a disk to record it on, such a fault is not made. */
    sq_undo_log_close(&log_a);
    open_log(&log_a);
    undo.flags = SQ_UNDO_SURVIVES_BOOT;
    assert_int_equal(sq_undo_log_record(&log_a, &second, &undo, &error), -1);
    assert_int_equal(error.code, SQ_UNABLE);
    assert_int_equal(log_a.live_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test_setup_teardown(test_life, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_emptied_log_stays_empty, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_failed_reset, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_wrong_use, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_full_log, make_directory, remove_directory),
        cmocka_unit_test(test_damage_at_every_byte),
        cmocka_unit_test(test_unfinished_tail_at_every_byte),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_other_boot),
        cmocka_unit_test(test_not_understood),
        cmocka_unit_test_setup_teardown(test_foreign_file, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_torn_file_goes_on, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_damaged_file_is_kept, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_inherit, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_durable, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
