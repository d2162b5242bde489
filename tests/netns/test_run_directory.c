/* libraries: sq_injector sq_netns_fixture sq_common */
/* One directory, two owners: what a member of the socket's group plants in `run` decides nothing. */
#include "fixture.h"

#include "common/cleanup.h"
#include "injector/halt.h"
#include "injector/recover.h"
#include "injector/run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STRANGER 65534

static char directory[64];
static struct sq_agent_config config;
static struct sq_error error;

static int make_directory(void **state)
{
    (void)state;
    (void)strcpy(directory, "/tmp/squall-run-XXXXXX");
    if (mkdtemp(directory) == NULL || chmod(directory, 0755) != 0)
        return -1;
    memset(&config, 0, sizeof config);
    config.gid = STRANGER;
    (void)snprintf(config.run, sizeof config.run, "%s/run", directory);
    return 0;
}

static int remove_directory(void **state)
{
    char command[PATH_MAX + 128];
    (void)state;
    (void)snprintf(command, sizeof command, "umount -q '%s'; rm -rf '%s'", config.run, directory);
    return system(command); /* NOLINT(cert-env33-c): a path of our own */
}

static void must(int result)
{
    if (result != 0)
        fail_msg("%s", error.text);
}

static void path_in_run(const char *name, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/run/%s", directory, name);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void plant(const char *name)
{
    char path[PATH_MAX];
    path_in_run(name, path);
    int fd = open(path, O_CREAT | O_WRONLY, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "planted", 7), 7);
    assert_int_equal(fchown(fd, STRANGER, STRANGER), 0);
    assert_int_equal(close(fd), 0);
}

static void test_made(void **state)
{
    char path[PATH_MAX];
    struct stat status;
    (void)state;
    must(sq_run_directory_make(&config, &error));
    assert_int_equal(mode_of(config.run), 01775);
    assert_int_equal(stat(config.run, &status), 0);
    assert_int_equal(status.st_gid, STRANGER);
    must(sq_run_directory_path(config.run, "", path, &error));
    assert_int_equal(mode_of(path), 0700);
    must(sq_run_directory_make(&config, &error)); /* again */
}

/* `run: /run` must not open /run to anybody. */
static void test_not_made_not_changed(void **state)
{
    (void)state;
    assert_int_equal(mkdir(config.run, 0755), 0);
    must(sq_run_directory_make(&config, &error));
    assert_int_equal(mode_of(config.run), 0755);
    struct stat status;
    assert_int_equal(stat(config.run, &status), 0);
    assert_int_equal(status.st_gid, getegid());
}

static void test_refused(void **state)
{
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(mkdir(config.run, 0755), 0);
    assert_int_equal(chmod(config.run, 0775), 0);
    assert_int_equal(sq_run_directory_make(&config, &error), -1);
    assert_non_null(strstr(error.text, "sticky"));
    assert_int_equal(chmod(config.run, 01775), 0);
    path_in_run("squalld", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, STRANGER, STRANGER), 0);
    assert_int_equal(sq_run_directory_make(&config, &error), -1);
    assert_non_null(strstr(error.text, "somebody else"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/etc", path), 0);
    assert_int_equal(sq_run_directory_make(&config, &error), -1);
    assert_int_equal(unlink(path), 0);
    must(sq_run_directory_make(&config, &error));
}

/* In the places of version 0.1 and of this one: neither locks anybody out, nor is it read. */
static void test_planted_files(void **state)
{
    static struct sq_undo_log log;
    static struct sq_undo_log twin;
    static struct sq_undo_content content;
    char path[PATH_MAX];
    sq_autoclose int lock = -1;
    (void)state;
    must(sq_run_directory_make(&config, &error));
    plant("undo.log");
    plant("squalld.lock");
    must(sq_run_directory_lock(config.run, &lock, &error));
    must(sq_recover_open_log(&config, &log, &twin, &content, &error));
    assert_int_equal(content.live_count, 0);
    sq_undo_log_close(&log);
    path_in_run("undo.log", path);
    assert_int_equal(access(path, F_OK), 0); /* somebody else's: left alone */
}

/* An agent of version 0.1 that is at work keeps this one out. */
static void test_older_lock(void **state)
{
    char path[PATH_MAX];
    int lock = -1;
    (void)state;
    must(sq_run_directory_make(&config, &error));
    path_in_run("squalld.lock", path);
    int held = open(path, O_CREAT | O_RDWR, 0600);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_int_equal(sq_run_directory_lock(config.run, &lock, &error), -1);
    assert_int_equal(error.code, SQ_CONFLICT);
    assert_int_equal(close(held), 0);
    must(sq_run_directory_lock(config.run, &lock, &error));
    (void)close(lock);
}

static void fill(const char *name)
{
    static const char bytes[4096] = {1};
    char path[PATH_MAX];
    path_in_run(name, path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof bytes) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    (void)close(fd);
}

/* Whoever undoes has to get the lock also where somebody takes every page that is given back. */
static void test_full(void **state)
{
    char path[PATH_MAX];
    struct stat status;
    int lock = -1;
    (void)state;
    assert_int_equal(mkdir(config.run, 0755), 0);
    assert_int_equal(mount("tmpfs", config.run, "tmpfs", 0, "size=64k,mode=755"), 0);
    must(sq_run_directory_make(&config, &error));
    must(sq_run_directory_lock(config.run, &lock, &error));
    assert_true(sq_run_directory_is_locked_by(config.run, getpid()));
    (void)close(lock);
    fill("fill");
    path_in_run("squalld/squalld.lock", path);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_blocks > 0);
    must(sq_run_directory_lock(config.run, &lock, &error));
    assert_true(sq_run_directory_is_locked_by(config.run, getpid()));
    (void)close(lock);
    assert_int_equal(truncate(path, 0), 0);
    fill("more");
    must(sq_run_directory_lock(config.run, &lock, &error));
    (void)close(lock);
    assert_int_equal(umount(config.run), 0);
}

/* Somebody who only plays an agent would let a halt look done. */
static void test_planted_halt_socket(void **state)
{
    char path[PATH_MAX];
    int ready[2];
    (void)state;
    must(sq_run_directory_make(&config, &error));
    path_in_run("halt.sock", path);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (setgid(STRANGER) != 0 || setuid(STRANGER) != 0 ||
            bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0 ||
            write(ready[1], "r", 1) != 1)
            _exit(1);
        int client = accept(fd, NULL, NULL);
        (void)!send(client, "nothing is left\n", 16, 0);
        (void)pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct sq_halt_agent agent;
    assert_int_equal(sq_halt_ask(config.run, &agent, &error), -1);
    assert_int_equal(agent.pid_fd, -1);
    assert_int_equal(error.code, SQ_UNREACHABLE);
    assert_non_null(strstr(error.text, "no agent"));
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_directory, remove_directory)

int main(void)
{
    fixture_require_root();
    const struct CMUnitTest tests[] = {
        TEST(test_made),       TEST(test_not_made_not_changed), TEST(test_refused), TEST(test_planted_files),
        TEST(test_older_lock), TEST(test_planted_halt_socket),  TEST(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
