#include "nearest.h"

#include <string.h>

#define NEAREST_LENGTH_MAX 63

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t rows = strlen(a);
    size_t columns = strlen(b);
    if (rows > NEAREST_LENGTH_MAX || columns > NEAREST_LENGTH_MAX)
        return NEAREST_LENGTH_MAX;
    size_t cost[NEAREST_LENGTH_MAX + 1][NEAREST_LENGTH_MAX + 1];
    for (size_t i = 0; i <= rows; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= columns; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= columns; j++) {
            size_t substitute = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            cost[i][j] = least(substitute, least(cost[i - 1][j], cost[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[rows][columns];
}

const char *sq_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t best_distance = NEAREST_LENGTH_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, words[i]);
        size_t most = strlen(words[i]) / 3;
        if (distance <= (most < 1 ? 1 : most) && distance < best_distance) {
            best = words[i];
            best_distance = distance;
        }
    }
    return best;
}
