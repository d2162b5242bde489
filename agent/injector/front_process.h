/*
 * The front as the injector sees it: a process of its own, started from the same binary, so that it begins
 * with an empty address space, and started again, with growing pauses, when it dies.
 */
#ifndef SQ_INJECTOR_FRONT_PROCESS_H
#define SQ_INJECTOR_FRONT_PROCESS_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The private argument that makes squalld a front; main.c reads it: "--front=IPC_FD,READY_FD". */
#define SQ_FRONT_ARGUMENT "--front="

struct sq_front_process {
    pid_t pid;    /* 0: none */
    int pid_fd;   /* readable when it is dead; -1: none */
    int ipc_fd;   /* requests come here; does not block; -1: none */
    int ready_fd; /* one byte when every listener listens, then -1 */
    bool is_ready;
    uint32_t failures; /* deaths in a row, each soon after its start */
    uint64_t started_boot_ns;
    uint64_t restart_boot_ns; /* when to start it again; 0: it runs */
};

void sq_front_process_init(struct sq_front_process *front);

/* fork and exec. The front reads the same configuration again. */
int sq_front_process_start(struct sq_front_process *front, const char *config_path, struct sq_error *error);

/* Take the byte from ready_fd. True when the front listens now. */
bool sq_front_process_take_ready(struct sq_front_process *front);

/* After its death: reap it, close what belonged to it, and choose when it is started again. */
void sq_front_process_bury(struct sq_front_process *front, uint64_t now_boot_ns);

/* Make an end of it, and wait for that. */
void sq_front_process_kill(struct sq_front_process *front);

#endif
