/*
 * Ending a fault must not need memory that the host may not have: PREPARE takes all of it beforehand.
 */
#ifndef SQ_INJECTOR_OWN_MEMORY_H
#define SQ_INJECTOR_OWN_MEMORY_H

/*
 * Have every page that this process may write to be there and its own, and its code be mapped. What was
 * forked from it (a stressor) shares its pages until one of them writes to them: then a copy would be needed.
 * Takes a millisecond or two; allocates. A kernel before 5.14 cannot do it, and goes without.
 */
void sq_own_memory_take(void);

#endif
