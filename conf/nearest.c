#include "conf/nearest.h"

#include <ctype.h>
#include <string.h>

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned min = a < b ? a : b;
    return min < c ? min : c;
}

unsigned nearest_distance(const char *a, const char *b)
{
    unsigned row[NEAREST_LEN_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NEAREST_LEN_MAX || b_len > NEAREST_LEN_MAX)
        return NEAREST_FAR;
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            unsigned above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + !same);
            diagonal = above;
        }
    }
    return row[b_len];
}

int nearest_better(const char *word, const char *candidate, unsigned *best)
{
    unsigned distance = nearest_distance(word, candidate);
    if (distance >= *best || distance > 1 + strlen(word) / 4)
        return 0;
    *best = distance;
    return 1;
}
