#include "kernel/place.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define ENTER_MOST_MS 10000
#define WORK_MOST     100 /* what `work` may return */
#define IS_ANOTHER    101
#define NO_ENTRY      102

static uint64_t inode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (uint64_t)status.st_ino : 0;
}

/* 0: the kernel does not tell. */
static uint64_t cookie_of(int socket_fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

void sq_place_here(int socket_fd, struct sq_place *place)
{
    *place = (struct sq_place){
        .netns_cookie = cookie_of(socket_fd),
        .netns_inode = inode_of("/proc/self/ns/net"),
        .pidns_inode = inode_of("/proc/self/ns/pid"),
    };
}

bool sq_place_is_here(const struct sq_place *place, int socket_fd)
{
    uint64_t cookie = cookie_of(socket_fd);
    if (cookie != 0 && place->netns_cookie != 0)
        return cookie == place->netns_cookie;
    return place->netns_inode != 0 && place->netns_inode == inode_of("/proc/self/ns/net");
}

static _Noreturn void do_inside(const struct sq_place *place, int namespace_fd, int (*work)(void *cookie),
                                void *cookie)
{
    if (setns(namespace_fd, CLONE_NEWNET) != 0)
        _exit(NO_ENTRY);
    int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_fd < 0)
        _exit(NO_ENTRY);
    if (!sq_place_is_here(place, socket_fd))
        _exit(IS_ANOTHER);
    (void)close(socket_fd);
    int result = work(cookie);
    _exit(result >= 0 && result <= WORK_MOST ? result : WORK_MOST);
}

/* Its exit status, or -errno. */
static int wait_for(pid_t child)
{
    sq_autoclose int pid_fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd ended = {.fd = pid_fd, .events = POLLIN};
    int ready = pid_fd < 0 ? 0 : poll(&ended, 1, ENTER_MOST_MS);
    if (ready != 1)
        (void)kill(child, SIGKILL);
    int status = 0;
    /* One that cannot die yet is not waited for. */
    pid_t buried = waitpid(child, &status, WNOHANG);
    if (ready != 1)
        return -ETIMEDOUT;
    if (buried != child)
        return -EIO;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* What nsfs calls a namespace (struct nsfs_file_handle of <linux/nsfs.h>, Linux 6.18). */
struct handle {
    struct file_handle head; /* its flexible array is what follows */
    struct {
        uint64_t id;
        uint32_t type;
        uint32_t inode;
    } namespace;
};

/* The user namespace that all others descend from (PROC_USER_INIT_INO of the kernel). */
#define FIRST_USERNS_INODE 0xeffffffdu

#define NSFS_ROOT (-10003) /* FD_NSFS_ROOT of <linux/fcntl.h> */

/* The id of this process's own network namespace, and the handle's kind in `head`; 0: the kernel tells none.
 */
static uint64_t own_id(struct handle *handle)
{
    int mount;
    handle->head.handle_bytes = sizeof handle->namespace;
    if (name_to_handle_at(AT_FDCWD, "/proc/self/ns/net", &handle->head, &mount, AT_SYMLINK_FOLLOW) != 0 ||
        handle->head.handle_bytes != sizeof handle->namespace)
        return 0;
    return handle->namespace.id;
}

/* To whoever is not, nsfs says of every other namespace that it is gone. */
static bool is_almighty(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return inode_of("/proc/self/ns/user") == FIRST_USERNS_INODE && syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

int sq_place_open(const struct sq_place *place)
{
    struct handle handle = {.head.handle_type = 0};
    sq_autoclose int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (place->netns_cookie == 0 || socket_fd < 0 || !is_almighty())
        return -EOPNOTSUPP;
    /* Its ids are the cookies: where they are, the recorded one is one too. */
    uint64_t id = own_id(&handle);
    if (id == 0 || id != cookie_of(socket_fd))
        return -EOPNOTSUPP;
    handle.namespace.id = place->netns_cookie;
    handle.namespace.type = CLONE_NEWNET;
    handle.namespace.inode = (uint32_t)place->netns_inode;
    int fd = open_by_handle_at(NSFS_ROOT, &handle.head, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return errno == ESTALE ? -ESTALE : -EOPNOTSUPP;
}

int sq_place_enter(const struct sq_place *place, const char *path, int (*work)(void *cookie), void *cookie)
{
    sq_autoclose int namespace_fd = sq_place_open(place);
    if (namespace_fd == -ESTALE)
        return -ESTALE;
    if (namespace_fd < 0)
        namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace_fd < 0)
        return -errno;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
            _exit(NO_ENTRY);
        do_inside(place, namespace_fd, work, cookie);
    }
    int result = wait_for(child);
    if (result == IS_ANOTHER)
        return -ESTALE;
    return result == NO_ENTRY ? -EPERM : result;
}
