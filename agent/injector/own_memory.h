/*
 * Ending a fault must not need memory that the host may not have: PREPARE takes all of it beforehand. An
 * agent on which nothing is injected takes as little as it can.
 */
#ifndef SQ_INJECTOR_OWN_MEMORY_H
#define SQ_INJECTOR_OWN_MEMORY_H

/*
 * Have every page that this process uses and may write be its own, room on its stack, and its code be mapped.
 * What was forked from it (a stressor) shares its pages until one of them writes to them: then a copy would
 * be needed. Takes a millisecond or two; allocates. A kernel before 5.14 cannot do it, and goes without.
 */
void sq_own_memory_take(void);

/*
 * When nothing is injected: give back what starting or an experiment has mapped of files, and freed memory.
 * Nothing is lost by it. Well below a millisecond; allocates.
 */
void sq_own_memory_give_back(void);

#endif
