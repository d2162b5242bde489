/*
 * Where a fault was made, so that it is found again from its record alone, and nothing else is taken for it:
 * the network namespace by its cookie, which the kernel never gives twice in one boot, and by its inode, by
 * which /proc names it but which is handed out again as soon as the namespace is gone.
 *
 * Nothing here allocates.
 */
#ifndef SQ_KERNEL_PLACE_H
#define SQ_KERNEL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#define SQ_PLACE_PATH_MAX 192

/* Plain data: stands in undo records. */
struct sq_place {
    uint64_t netns_cookie; /* 0: the kernel (before 5.14) does not tell, or an older squalld wrote it */
    uint64_t netns_inode;  /* 0: unknown */
    uint64_t pidns_inode;  /* the pid namespace of who wrote it; 0: unknown */
};

/* The namespaces of this process. `socket_fd` is any socket that was made in its network namespace. */
void sq_place_here(int socket_fd, struct sq_place *place);

/* Whether `socket_fd`, any socket, belongs to the network namespace of the place. */
bool sq_place_is_here(const struct sq_place *place, int socket_fd);

enum sq_place_state {
    SQ_PLACE_GONE = 0,  /* nobody holds that network namespace any more, so all that was in it is gone */
    SQ_PLACE_THERE = 1, /* somebody does, as far as its inode tells */
    SQ_PLACE_UNSEEN = 2 /* not all who may hold it could be looked at */
};

/*
 * Is the place's network namespace, which is not here (sq_place_is_here), still there? Linux 6.18 tells by
 * its cookie. Elsewhere every process and thread is looked at, with its open descriptors and its mounts;
 * there, a namespace that nothing but a socket holds is not seen and counts as gone: it ends with that
 * socket.
 *
 * SQ_PLACE_THERE: `path` is where a person enters it, /run/netns/NAME or /proc/PID/ns/net, or "" if that is
 * not known. Takes some 70 microseconds a process.
 */
enum sq_place_state sq_place_find(const struct sq_place *place, char path[SQ_PLACE_PATH_MAX]);

/*
 * The network namespace itself by its cookie, where the kernel knows how: a descriptor that the caller
 * closes. -ESTALE: it is gone. -EOPNOTSUPP: the kernel does not tell, or not to this process: only to
 * CAP_SYS_ADMIN.
 */
int sq_place_open(const struct sq_place *place);

/*
 * Have `work` done by a process of its own in the network namespace of the place, which is looked for at
 * `path` if it cannot be had by its cookie, and wait for it, 10 s at most. What it finds out it has to write
 * to shared memory. Needs CAP_SYS_ADMIN. Returns what `work` returned (0 to 100), or -errno: -EPERM, -ESTALE:
 * what is at `path` is another namespace, to which the inode was handed out again; -ETIMEDOUT and -EIO:
 * nobody knows how far it came.
 */
int sq_place_enter(const struct sq_place *place, const char *path, int (*work)(void *cookie), void *cookie);

#endif
