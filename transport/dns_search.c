#include "transport/dns_search.h"

#include <stdlib.h>
#include <string.h>

static const char BLANKS[] = " \t\r\n";

/* The last such line counts. */
static void search_domains(struct dns_search *s, char *rest)
{
    char *word;
    s->count = 0;
    while ((word = strsep(&rest, BLANKS)) && s->count < DNS_SEARCH_MAX) {
        size_t len = strlen(word);
        if (len == 0 || len > ADDR_NAME_MAX || strcmp(word, ".") == 0)
            continue;
        memcpy(s->domains[s->count], word, len + 1);
        addr_normalise_name(s->domains[s->count++]);
    }
}

static void search_options(struct dns_search *s, char *rest)
{
    static const char dots[] = "ndots:";
    char *word;
    while ((word = strsep(&rest, BLANKS)))
        if (strncmp(word, dots, sizeof dots - 1) == 0) {
            unsigned long n = strtoul(word + sizeof dots - 1, NULL, 10);
            s->dots = n < DNS_SEARCH_DOTS ? (unsigned)n : DNS_SEARCH_DOTS;
        }
}

static void search_line(struct dns_search *s, char *line)
{
    char *rest = line, *word = strsep(&rest, BLANKS);
    if (!rest)
        return;
    if (strcmp(word, "search") == 0 || strcmp(word, "domain") == 0)
        search_domains(s, rest);
    else if (strcmp(word, "options") == 0)
        search_options(s, rest);
}

void dns_search_read(struct dns_search *s, FILE *in)
{
    char line[2048];
    s->dots = 1;
    s->count = 0;
    while (in && fgets(line, sizeof line, in))
        search_line(s, line);
}

static unsigned dots_of(const char *name)
{
    unsigned dots = 0;
    for (; *name; name++)
        dots += *name == '.';
    return dots;
}

bool dns_search_candidate(const struct dns_search *s, const char *name, unsigned number,
                          char to[ADDR_NAME_MAX + 1])
{
    unsigned itself = dots_of(name) >= s->dots ? 0 : s->count;
    if (number > s->count)
        return false;
    const char *domain = number == itself ? "" : s->domains[number - (number > itself)];
    snprintf(to, ADDR_NAME_MAX + 1, "%s%s%s", name, *domain ? "." : "", domain);
    return true;
}
