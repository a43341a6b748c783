#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proxy/http1.h"
#include "proxy/web_page.h"

static const int statuses[] = {400, 404, 405, 408, 421, 431, 501, 502, 503, 504, 505};
enum { STATUSES = sizeof statuses / sizeof *statuses };

static struct web_page page_of(int status)
{
    return (struct web_page){.status = status, .id = "0123456789abcdef", .minor = 1};
}

/* Read as any client would; its body's length. */
static size_t read_page(const struct web_page *p, char text[WEB_PAGE_MAX + 1], struct http1_head *h)
{
    struct err e;
    size_t len = web_page_write((uint8_t *)text, p);
    assert_true(len <= WEB_PAGE_MAX);
    text[len] = '\0';
    *h = (struct http1_head){0};
    assert_int_equal(http1_read_answer(h, (const uint8_t *)text, len, &e), STEP_DONE);
    return len - h->len;
}

static void a_page_is_an_answer_of_its_length_with_the_requests_id(void **state)
{
    (void)state;
    char text[WEB_PAGE_MAX + 1], title[40];
    struct http1_head h;
    for (size_t i = 0; i < STATUSES; i++) {
        struct web_page p = page_of(statuses[i]);
        size_t body = read_page(&p, text, &h);
        assert_int_equal(h.code, statuses[i]);
        assert_true(h.counted && h.content_length == body);
        assert_non_null(strstr(text, "\r\nX-Request-Id: 0123456789abcdef\r\n"));
        assert_non_null(strstr(text + h.len, "<code>0123456789abcdef</code>"));
        snprintf(title, sizeof title, "<h1>%d ", statuses[i]);
        assert_non_null(strstr(text + h.len, title));
    }
}

static void who_asks_for_a_head_gets_no_more(void **state)
{
    (void)state;
    char text[WEB_PAGE_MAX + 1];
    struct http1_head h, whole;
    struct web_page p = page_of(404);
    size_t body = read_page(&p, text, &whole);
    p.head_only = true;
    assert_int_equal(read_page(&p, text, &h), 0);
    assert_true(h.content_length == body);
}

static void a_page_says_whether_it_is_the_last_answer(void **state)
{
    (void)state;
    char text[WEB_PAGE_MAX + 1];
    struct http1_head h;
    struct web_page p = page_of(503);
    read_page(&p, text, &h);
    assert_false(h.keep_alive);
    p.keep_alive = true;
    read_page(&p, text, &h);
    assert_true(h.keep_alive);
    p.minor = 0;
    read_page(&p, text, &h);
    assert_non_null(strstr(text, "\r\nConnection: keep-alive\r\n"));
}

static void what_a_way_ended_with_has_a_status(void **state)
{
    (void)state;
    assert_int_equal(web_page_status(EHOSTUNREACH, false), 503);
    assert_int_equal(web_page_status(ENOMEM, false), 503);
    assert_int_equal(web_page_status(ECONNREFUSED, false), 502);
    assert_int_equal(web_page_status(EHOSTUNREACH, true), 502);
    assert_int_equal(web_page_status(0, true), 502);
    assert_int_equal(web_page_status(ETIMEDOUT, false), 504);
    assert_int_equal(web_page_status(ETIMEDOUT, true), 504);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_an_answer_of_its_length_with_the_requests_id),
        cmocka_unit_test(who_asks_for_a_head_gets_no_more),
        cmocka_unit_test(a_page_says_whether_it_is_the_last_answer),
        cmocka_unit_test(what_a_way_ended_with_has_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
