/*
 * tcx (Linux 6.6 and later): BPF programs on either side of an interface, in front of clsact and without one.
 * A link keeps a program there; it ends with the last descriptor of it, so with the process that holds it.
 * Attaching one and closing it take some 10 ms each (the kernel waits for readers), and so are left to a
 * guard.
 *
 * squall's programs only drop or let go on, and stand first, in front of everybody's. Among themselves they
 * have ranks: a lower one stands in front.
 */
#ifndef SQ_KERNEL_TCX_H
#define SQ_KERNEL_TCX_H

#include "common/error.h"
#include "kernel/tc.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_TCX_OWN_MAX 32 /* programs of one agent at a time */

/* Ranks from here on are of programs that lose by chance; those before drop all that they mean. */
#define SQ_TCX_LOSS_RANK 8

/*
 * Try, in a network namespace that ends with the call, whether the kernel has tcx and whether a program can
 * drop outgoing packets there without the sender's noticing, which no documentation promises; and learn to
 * recognise the programs of other squallds (tcx_others.h). Takes some 60 ms and needs CAP_SYS_ADMIN: to be
 * called once, before privileges are dropped. Where it was not called or fails, tcx is not used.
 */
void sq_tcx_try(void);
bool sq_tcx_is_used(void);

/* For tests: decide it as if it had been tried. */
void sq_tcx_use(bool use);

/* The kernel's number of a program; 0 if it cannot be told. */
uint32_t sq_bpf_program_id(int program_fd);

/*
 * Which programs are squall's own, known to this process and to the guards that it forks, also afterwards.
 * Nothing is allocated. sq_tcx_own_add fails with SQ_LIMIT.
 */
int sq_tcx_own_add(uint32_t id, uint32_t rank, struct sq_error *error);
void sq_tcx_own_remove(uint32_t id);
bool sq_tcx_is_own(uint32_t id);

/*
 * Attach in front of all programs that are there, but behind squall's of a lower rank, its own and other
 * squallds'. The link's
 * descriptor, or -errno. Blocks for some 10 ms.
 */
int sq_tcx_attach(int program_fd, uint32_t ifindex, enum sq_tc_side side, uint32_t rank);

#endif
