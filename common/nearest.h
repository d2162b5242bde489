/* "Did you mean": the known word nearest to a mistyped one. */
#ifndef SQ_COMMON_NEAREST_H
#define SQ_COMMON_NEAREST_H

#include <stddef.h>

/*
 * The word of words[count] with the smallest edit distance (insertions, deletions, substitutions and swaps of
 * neighbours each cost one: Damerau, CACM 1964), or NULL if none is near: at most a third of its length, at
 * least 1.
 */
const char *sq_nearest(const char *word, const char *const *words, size_t count);

#endif
