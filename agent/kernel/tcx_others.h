/*
 * The programs on tcx of other squallds on this host, beside the service's agent that of a `squall --local`,
 * say. Like this one's own they only drop, so they bypass nobody. A process without CAP_SYS_ADMIN may not ask
 * what a program is, but the descriptors of the guards that hold them tell (proc(5), fdinfo): the program's
 * number, and its tag, a digest of its instructions. What has the tag of one of this binary's programs is
 * squall's, whatever it is called; what has none, of another version of squall too, or whose guard cannot be
 * seen, in another pid namespace, is foreign.
 */
#ifndef SQ_KERNEL_TCX_OTHERS_H
#define SQ_KERNEL_TCX_OTHERS_H

#include "kernel/classifier.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_TCX_GUARD_NAME "squall-tcx" /* the comm of every guard that holds programs on tcx */

/* What this binary's programs look like. Until this was called nobody is recognised. */
void sq_tcx_others_learn(const struct sq_classifier_tag learned[SQ_CLASSIFIER_PROGRAMS]);

/*
 * Is the program with this number another squalld's, and if so, one that loses by chance? The first question
 * about a program looks at every process, some 10 microseconds each; later ones are quick. Allocates nothing.
 */
bool sq_tcx_is_others(uint32_t id, bool *loses);

#endif
