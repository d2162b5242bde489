/*
 * What the files that answer requests share: requests.c decides what a request may do in which situation,
 * prepare.c and orders.c do it. For them alone; everybody else calls sq_experiments_handle (experiment.h).
 */
#ifndef SQ_INJECTOR_REQUESTS_H
#define SQ_INJECTOR_REQUESTS_H

#include "experiment.h"

/* How a request's experiment relates to what is on this host. */
enum sq_relation {
    SQ_RELATION_NONE,      /* nothing is live here, and the id was never seen */
    SQ_RELATION_OTHER,     /* another experiment is live */
    SQ_RELATION_LIVE,      /* it is the one that is live */
    SQ_RELATION_OVER,      /* it is over, and its report is still here */
    SQ_RELATION_FORGOTTEN, /* it is over, and only its id is remembered */
    SQ_RELATION_COUNT
};

typedef void sq_request_handler(struct sq_experiments *experiments, const struct sq_request *request,
                                struct sq_reply *reply);

/* prepare.c */
sq_request_handler sq_requests_preview;
sq_request_handler sq_requests_prepare;

/* Nothing new while something old is left: what it touches is unknown. 0, or -1 with SQ_UNCLEAN. */
int sq_requests_make_room(struct sq_experiments *experiments, struct sq_error *error);

/* orders.c */
sq_request_handler sq_requests_inject;
sq_request_handler sq_requests_renew;
sq_request_handler sq_requests_revert;
sq_request_handler sq_requests_status;
sq_request_handler sq_requests_halt;

/* requests.c */
enum sq_relation sq_requests_relate(const struct sq_experiments *experiments, const struct sq_id *id);

/* Put the current experiment's reports, live or over, into the reply. */
void sq_requests_show(struct sq_experiments *experiments, struct sq_reply *reply);

/* Fill `error` for an experiment that is over, or that nobody here knows. Return -1. */
int sq_requests_fail_over(const struct sq_experiments *experiments, enum sq_relation relation,
                          struct sq_error *error);
int sq_requests_fail_unknown(struct sq_error *error);

#endif
