/* libraries: sq_netns_fixture sq_kernel sq_common */
/*
 * Looking at a process takes no word of the file system that its program stands on: of one whose server does
 * not answer any more, as a partition has it, here in FUSE.
 */
#include "fixture.h"

#include "common/clock.h"
#include "kernel/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROGRAM  "/bin/sleep"
#define READ_MAX (128u * 1024)

static char directory[64];
static char program[80];
static pid_t server;

static void answer(int fd, uint64_t unique, int error, const void *content, size_t size)
{
    static char bytes[sizeof(struct fuse_out_header) + READ_MAX];
    const struct fuse_out_header head = {
        .len = (uint32_t)(sizeof head + size), .error = error, .unique = unique};
    memcpy(bytes, &head, sizeof head);
    if (size > 0)
        memcpy(bytes + sizeof head, content, size);
    (void)!write(fd, bytes, head.len);
}

static void answer_read(int fd, uint64_t unique, const void *request, int content_fd)
{
    static char content[READ_MAX];
    struct fuse_read_in wanted;
    memcpy(&wanted, request, sizeof wanted);
    ssize_t got =
        pread(content_fd, content, wanted.size < READ_MAX ? wanted.size : READ_MAX, (off_t)wanted.offset);
    answer(fd, unique, got < 0 ? -EIO : 0, content, got < 0 ? 0 : (size_t)got);
}

/* One file: the program. What is known of it is never good for long, so that each look asks. */
static void serve_one(int fd, const uint8_t *request, int content_fd, off_t size)
{
    struct fuse_in_header head;
    const struct fuse_init_out started = {.major = FUSE_KERNEL_VERSION,
                                          .minor = FUSE_KERNEL_MINOR_VERSION,
                                          .max_readahead = READ_MAX,
                                          .max_write = READ_MAX};
    const struct fuse_open_out opened = {.fh = 1};
    struct fuse_attr_out attributes = {.attr = {.ino = 1, .nlink = 1, .blksize = 4096}};
    attributes.attr.size = (uint64_t)size;
    attributes.attr.mode = S_IFREG | 0755;
    memcpy(&head, request, sizeof head);
    switch (head.opcode) {
    case FUSE_INIT:
        answer(fd, head.unique, 0, &started, sizeof started);
        break;
    case FUSE_GETATTR:
        answer(fd, head.unique, 0, &attributes, sizeof attributes);
        break;
    case FUSE_OPEN:
        answer(fd, head.unique, 0, &opened, sizeof opened);
        break;
    case FUSE_READ:
        answer_read(fd, head.unique, request + sizeof head, content_fd);
        break;
    case FUSE_FORGET:
        break;
    default:
        answer(fd, head.unique, -ENOSYS, NULL, 0);
    }
}

static _Noreturn void serve(int fd)
{
    static uint8_t request[READ_MAX + 4096];
    struct stat status;
    int content_fd = open(PROGRAM, O_RDONLY | O_CLOEXEC);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (content_fd < 0 || fstat(content_fd, &status) != 0)
        _exit(1);
    while (read(fd, request, sizeof request) > 0 || errno == EINTR)
        serve_one(fd, request, content_fd, status.st_size);
    _exit(0);
}

static int set_up(void **state)
{
    char options[128];
    (void)state;
    (void)strcpy(directory, "/tmp/squall-hung-XXXXXX");
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0 || mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(program, sizeof program, "%s/program", directory);
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=100755,user_id=0,group_id=0", fd);
    (void)close(open(program, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
    if (mount("hung", program, "fuse", 0, options) != 0)
        return -1;
    server = fork();
    if (server == 0)
        serve(fd);
    return close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    (void)kill(server, SIGKILL); /* with it, whoever waits goes on */
    (void)waitpid(server, NULL, 0);
    (void)umount2(program, MNT_DETACH);
    (void)unlink(program);
    return rmdir(directory);
}

static pid_t run_program(void)
{
    char executable[128] = "";
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(program, "program", "60", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 200 && strcmp(executable, program) != 0; i++) {
        (void)usleep(10000);
        (void)sq_process_executable(SQ_PROC_PATH, pid, executable, sizeof executable);
    }
    assert_string_equal(executable, program);
    return pid;
}

static void test_server_that_does_not_answer(void **state)
{
    struct sq_process_file before;
    struct sq_process_file after;
    (void)state;
    pid_t pid = run_program();
    assert_int_equal(sq_process_file(SQ_PROC_PATH, pid, &before), 0);
    assert_int_equal(kill(server, SIGSTOP), 0);
    /* A look that waits would never end: the server is ended by then, and the time tells. */
    pid_t watch = fork();
    if (watch == 0) {
        (void)sleep(3);
        _exit(kill(server, SIGKILL));
    }
    uint64_t begin_ns = sq_boot_ns();
    int result = sq_process_file(SQ_PROC_PATH, pid, &after);
    uint64_t took_ns = sq_boot_ns() - begin_ns;
    (void)kill(watch, SIGKILL);
    (void)waitpid(watch, NULL, 0);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    assert_true(took_ns < SQ_NS_PER_SECOND);
    assert_int_equal(result, 0);
    assert_true(sq_process_file_is(&before, &after));
}

int main(void)
{
    fixture_require_root();
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 77;
    if (access("/dev/fuse", F_OK) != 0) {
        print_message("not tried: there is no FUSE here\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_server_that_does_not_answer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
