#ifndef SEARCH_WORDS_H
#define SEARCH_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct vocabulary;

/* A file with a piece of a word on each line; NULL: it is none. */
struct vocabulary *vocabulary_read(const char *path);
void vocabulary_free(struct vocabulary *vocabulary); /* NULL is fine */

/* The tokens of a text in UTF-8, at most `most` (2 or more), the first and the last of which say so. Returns how many.
 * Any threads may read one vocabulary. LC_CTYPE must be one of UTF-8. */
int64_t tokenize(const struct vocabulary *vocabulary, const char *text, size_t bytes, int64_t *ids, int64_t most);

#endif
