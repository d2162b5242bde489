/*
 * The front as the injector sees it: a process of its own, started from the same binary, so that it begins
 * with an empty address space, and started again, with growing pauses, when it dies.
 */
#ifndef SQ_INJECTOR_FRONT_PROCESS_H
#define SQ_INJECTOR_FRONT_PROCESS_H

#include "common/error.h"
#include "injector/config.h"
#include "ipc/ipc.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The private argument that makes squalld a front; main.c reads it:
 * "--front=IN_FD,OUT_FD,READY_FD,CONFIG_FD".
 */
#define SQ_FRONT_ARGUMENT "--front="

/* Large: static, and all zero before sq_front_process_init. */
struct sq_front_process {
    pid_t pid;     /* 0: none */
    int pid_fd;    /* readable when it is dead; -1: none */
    int ready_fd;  /* one byte when every listener listens, then -1 */
    int config_fd; /* what every front is given, however often it is started */
    bool is_ready;
    bool is_replaced;  /* it was ended for another one to take its place at once */
    uint32_t failures; /* deaths in a row, each soon after its start */
    uint64_t started_boot_ns;
    uint64_t restart_boot_ns; /* when to start it again; 0: it runs */
    pid_t unburied;           /* dead, and held by a debugger; 0: none */
    uint64_t spent_boot_ns;   /* up to when its share of the injector's turns is used up (front_process.c) */
    struct sq_ipc_server ipc;
};

/* For fronts that use `config`, which they get from here and not from a file that was changed meanwhile. */
int sq_front_process_init(struct sq_front_process *front, const struct sq_agent_config *config,
                          struct sq_error *error);

/* fork and exec. */
int sq_front_process_start(struct sq_front_process *front, struct sq_error *error);

/*
 * What to wait for, for poll(2): requests, unless one is being answered or the front has had more than its
 * share of the injector's time, and room for the rest of an answer. Returns when something is to be done
 * about it by itself: start it again, listen to it again; 0: never. Both come of one reading of the clock:
 * with two, a share that comes back between them would be neither listened for nor waited for.
 */
uint64_t sq_front_process_fill_polls(const struct sq_front_process *front, uint64_t now_boot_ns,
                                     struct pollfd *request_poll, struct pollfd *reply_poll);

/*
 * True: a whole request stands in front->ipc.request; its answer is sent with sq_front_process_reply. A front
 * that breaks the rules, or has closed its end, is ended here; its death is seen on its pidfd.
 */
bool sq_front_process_take_request(struct sq_front_process *front, uint64_t now_boot_ns);

/* Send front->ipc.reply, or the rest of it. */
void sq_front_process_reply(struct sq_front_process *front);
void sq_front_process_continue_reply(struct sq_front_process *front);

/* Take the byte from ready_fd. True when the front listens now. */
bool sq_front_process_take_ready(struct sq_front_process *front);

/* After its death: reap it, close what belonged to it, and choose when it is started again. */
void sq_front_process_bury(struct sq_front_process *front, uint64_t now_boot_ns);

/* End it so that another one, which reads the TLS files anew, is started as soon as it is buried. */
void sq_front_process_replace(struct sq_front_process *front);

/* Make an end of it, and wait for that, 1 s at most. */
void sq_front_process_kill(struct sq_front_process *front);

/* The same, and no further one will be started. */
void sq_front_process_close(struct sq_front_process *front);

#endif
