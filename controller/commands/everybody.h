/* For the verbs that ask every host of an inventory the same thing: the inventory, the client, and the
 * answers. */
#ifndef SQ_COMMANDS_EVERYBODY_H
#define SQ_COMMANDS_EVERYBODY_H

#include "agents/client.h"
#include "agents/local_agent.h"
#include "commands/command.h"
#include "common/error.h"
#include "model/inventory.h"

struct sq_everybody {
    const struct sq_inventory *inventory;
    struct sq_inventory *own_inventory;
    struct sq_local_agent *local_agent; /* --local */
    struct sq_loop *loop;
    struct sq_names *names;
    struct sq_client *client;
    uint32_t *hosts;            /* 0, 1, 2, ... */
    struct sq_answer **answers; /* one per host, as large as its content; valid after sq_everybody_ask */
};

/*
 * What talks to the agents of `inventory`, for the caller to close in the other order. Open files are allowed
 * as many as that takes; if they may not be, what is missing is said on standard error.
 */
int sq_agents_open(const struct sq_inventory *inventory, struct sq_loop **loop, struct sq_names **names,
                   struct sq_client **client, struct sq_error *error);

/* The inventory of --hosts, or an agent of our own with --local (which is said on standard error). */
int sq_everybody_open(const struct sq_options *options, struct sq_everybody *everybody,
                      struct sq_error *error);
void sq_everybody_close(struct sq_everybody *everybody); /* also one that was zeroed and never opened */
#define sq_autoeverybody __attribute__((cleanup(sq_everybody_close)))

/* Ask all hosts at once and wait for all answers. */
int sq_everybody_ask(struct sq_everybody *everybody, enum sq_verb verb, uint64_t timeout_ns,
                     struct sq_error *error);

/* The same of those alone that answered well; only what is good again takes the place of their answers. */
int sq_everybody_ask_again(struct sq_everybody *everybody, enum sq_verb verb, uint64_t timeout_ns,
                           struct sq_error *error);

#endif
