/* The wire corpus: testing/wire/make.py says what its files are and what is to become of them. Each is read whole and cut
 * in two, and always the same becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hostname.h"
#include "proxy/http_body.h"
#include "proxy/http_relay.h"
#include "routing/sniff.h"

enum {
    FILE_MAX = 1 << 18,
    WORDS_MAX = 1024,
    EVERY_CUT = 1024, /* longer files are cut at fewer places */
};

/* --- what becomes of it --- */

struct reader {
    const uint8_t *data;
    size_t at, len; /* of the message; how much has come */
    bool answers, in_body, over;
    struct http1_head head;
    struct http_body body;
    size_t body_len;
    char words[WORDS_MAX];
};

static void say(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct reader *r, const char *format, ...)
{
    size_t len = strlen(r->words);
    va_list list;
    if (len)
        r->words[len++] = ' ';
    va_start(list, format);
    vsnprintf(r->words + len, sizeof r->words - len, format, list);
    va_end(list);
}

static void refuse(struct reader *r, int status)
{
    say(r, "%d", status);
    r->over = true;
}

static void say_host(struct reader *r)
{
    struct http_asked asked;
    struct hostname host;
    struct err e;
    const uint8_t *data = r->data + r->at;
    int status = http_relay_asked(data, &r->head, &asked, &e);
    if (status)
        refuse(r, status);
    else if (asked.host.len == 0)
        say(r, "-");
    else if (hostname_read(&host, (const char *)data + asked.host.at, asked.host.len, &e) < 0)
        refuse(r, 400);
    else
        say(r, "%s", host.text);
}

/* False: more is needed. */
static bool take_head(struct reader *r)
{
    struct err e;
    enum step s = r->answers ? http1_read_answer(&r->head, r->data + r->at, r->len - r->at, &e)
                             : http1_read(&r->head, r->data + r->at, r->len - r->at, &e);
    if (s == STEP_MORE)
        return false;
    if (s == STEP_FAIL) {
        refuse(r, r->head.status);
        return true;
    }
    if (!r->answers)
        say_host(r);
    else if (r->head.code)
        say(r, "%u", r->head.code);
    r->body = r->answers ? http_body_of_answer(&r->head, false) : http_body_of_request(&r->head);
    r->body_len = 0;
    r->at += r->head.len;
    r->in_body = true;
    return true;
}

/* The message was whole. */
static void end_message(struct reader *r)
{
    if (r->answers)
        snprintf(strchr(r->words, '\0'), 16, "/%zu", r->body_len);
    else if (!r->head.keep_alive)
        say(r, "end");
    r->over = !r->head.keep_alive;
    r->in_body = false;
    r->head = (struct http1_head){0};
}

static bool take_body(struct reader *r)
{
    struct err e;
    size_t took;
    if (http_body_take(&r->body, r->data + r->at, r->len - r->at, &took, &e) < 0) {
        refuse(r, r->answers ? 502 : 400);
        return true;
    }
    r->at += took;
    r->body_len += took;
    if (r->body.state != HTTP_BODY_DONE)
        return false;
    end_message(r);
    return true;
}

static void read_on(struct reader *r)
{
    while (!r->over && (r->in_body ? take_body(r) : r->at < r->len && take_head(r)))
        ;
}

static void read_messages(const uint8_t *data, size_t len, size_t cut, bool answers, char *words)
{
    struct reader r = {.data = data, .len = cut, .answers = answers};
    uint8_t *first = malloc(cut ? cut : 1); /* of exactly its size, for sanitizers */
    memcpy(first, data, cut);
    r.data = first;
    read_on(&r);
    free(first);
    r.data = data;
    r.len = len;
    read_on(&r);
    if (!r.over && r.in_body && r.body.state == HTTP_BODY_UNTIL_CLOSE)
        strcat(r.words, "/close");
    else if (!r.over && (r.in_body || r.at < len || len == 0))
        say(&r, "more");
    strcpy(words, r.words);
}

static void read_requests(const uint8_t *data, size_t len, size_t cut, char *words)
{
    read_messages(data, len, cut, false, words);
}

static void read_answers(const uint8_t *data, size_t len, size_t cut, char *words)
{
    read_messages(data, len, cut, true, words);
}

static enum step sniff_first(const uint8_t *data, size_t len, struct sniffed *s)
{
    uint8_t *exact = malloc(len ? len : 1);
    memcpy(exact, data, len);
    *s = (struct sniffed){0};
    enum step step = sniff_tls(cur_of(exact, len), s);
    free(exact);
    return step;
}

static void read_hello(const uint8_t *data, size_t len, size_t cut, char *words)
{
    struct sniffed s;
    enum step step = sniff_first(data, cut, &s);
    if (step == STEP_MORE)
        step = sniff_first(data, len, &s);
    if (step == STEP_DONE)
        snprintf(words, WORDS_MAX, *s.name ? "name:%s" : "none", s.name);
    else
        strcpy(words, step == STEP_FAIL ? "refused" : "more");
}

/* --- the corpus --- */

typedef void (*reading)(const uint8_t *data, size_t len, size_t cut, char *words);

struct corpus_case {
    char path[256], expected[WORDS_MAX];
};

static size_t load(const char *path, uint8_t *data)
{
    char whole[4096];
    const char *srcdir = getenv("srcdir");
    snprintf(whole, sizeof whole, "%s/testing/wire/%s", srcdir ? srcdir : ".", path);
    FILE *f = fopen(whole, "rb");
    if (!f)
        fail_msg("%s: cannot be read", whole);
    size_t len = fread(data, 1, FILE_MAX, f);
    fclose(f);
    return len;
}

static void check_case(const struct corpus_case *c, reading read)
{
    static uint8_t data[FILE_MAX];
    size_t len = load(c->path, data), step = len / EVERY_CUT + 1;
    for (size_t cut = 0; cut <= len; cut += cut + step > len && cut < len ? len - cut : step) {
        char words[WORDS_MAX];
        read(data, len, cut, words);
        if (strcmp(words, c->expected) != 0)
            fail_msg("%s, cut at %zu: \"%s\", want \"%s\"", c->path, cut, words, c->expected);
    }
}

/* How many cases of the folder there are; all are as expected. */
static unsigned check_folder(const char *folder, reading read)
{
    static uint8_t table[FILE_MAX];
    unsigned count = 0;
    size_t len = load("expected.tsv", table), name = strlen(folder);
    for (char *line = (char *)table, *lf; (lf = memchr(line, '\n', len)); line = lf + 1) {
        struct corpus_case c;
        *lf = '\0';
        len -= (size_t)(lf + 1 - line);
        if (strncmp(line, folder, name) != 0 ||
            sscanf(line, "%255[^\t]\t%1023[^\t]", c.path, c.expected) != 2)
            continue;
        check_case(&c, read);
        count++;
    }
    return count;
}

static void of_each_request_the_expected_becomes(void **state)
{
    (void)state;
    assert_true(check_folder("requests/", read_requests) >= 300);
}

static void of_each_answer_the_expected_becomes(void **state)
{
    (void)state;
    assert_true(check_folder("answers/", read_answers) >= 60);
}

static void of_each_hello_the_expected_becomes(void **state)
{
    (void)state;
    assert_true(check_folder("hellos/", read_hello) >= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_each_request_the_expected_becomes),
        cmocka_unit_test(of_each_answer_the_expected_becomes),
        cmocka_unit_test(of_each_hello_the_expected_becomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
