#include "testing/rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "conf/worker.h"
#include "testing/conf_rig.h"

/* A worker of a config that is given by its inbounds' port and target. */
struct job {
    struct run run;
    struct worker worker;
    struct api_view view;
    struct portal_shards **shards;
};

static void job_open(struct job *j, uint16_t port, uint16_t target)
{
    char text[1000];
    struct err e;
    memset(j, 0, sizeof *j);
    snprintf(text, sizeof text,
             "{\"inbounds\": [{\"tag\": \"door\", \"listen\": \"127.0.0.1\", \"port\": %u,"
             " \"protocol\": \"dokodemo-door\", \"settings\": {\"address\": \"127.0.0.1\","
             " \"port\": %u, \"network\": \"tcp\"}}],"
             " \"outbounds\": [{\"protocol\": \"freedom\"}]}",
             port, target);
    j->run = run_text(text);
    if (!j->run.config)
        fail_msg("%s", j->run.said);
    j->shards = worker_shards_new(j->run.config, 1);
    assert_non_null(j->shards);
    assert_int_equal(worker_init(&j->worker, 0, 1, j->run.config, j->shards, &j->view, &e), 0);
}

static void job_close(struct job *j)
{
    worker_fini(&j->worker);
    worker_shards_free(j->shards, j->run.config);
    run_free(&j->run);
}

static void *run_worker(void *arg)
{
    worker_run(arg);
    return NULL;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct addr at;
    close(rig_listen(&at, 1));
    return at.port;
}

static void a_worker_carries_bytes_until_it_is_stopped(void **state)
{
    (void)state;
    struct rig r;
    struct job j;
    struct addr target, door = rig_addr("127.0.0.1", free_port());
    struct err e;
    rig_open(&r);
    int listening = rig_listen(&target, 8);
    job_open(&j, door.port, target.port);
    assert_int_equal(worker_listen(&j.worker, &e), 0);
    assert_int_equal(pthread_create(&j.worker.thread, NULL, run_worker, &j.worker), 0);
    int visitor = rig_connect(&door), origin = rig_accept(&r, listening);
    rig_say(&r, visitor, "hello");
    rig_hear(&r, origin, "hello");
    rig_say(&r, origin, "answer");
    rig_hear(&r, visitor, "answer");
    worker_stop(&j.worker);
    pthread_join(j.worker.thread, NULL);
    job_close(&j);
    /* What was under way ends as what it is: broken. */
    assert_int_equal(rig_drain(&r, visitor, NULL), ECONNRESET);
    assert_int_equal(rig_drain(&r, origin, NULL), ECONNRESET);
    close(visitor);
    close(origin);
    close(listening);
    rig_close(&r);
}

static void a_port_in_use_names_the_inbound(void **state)
{
    (void)state;
    struct job j;
    struct addr at;
    struct err e;
    int listening = rig_listen(&at, 1);
    job_open(&j, at.port, 80);
    assert_int_equal(worker_listen(&j.worker, &e), -1);
    assert_int_equal(e.code, EADDRINUSE);
    assert_non_null(strstr(e.text, "door"));
    assert_non_null(strstr(e.text, "Address already in use"));
    job_close(&j);
    close(listening);
}

static void a_worker_that_never_ran_goes(void **state)
{
    (void)state;
    struct job j;
    struct err e;
    job_open(&j, free_port(), 80);
    job_close(&j);
    job_open(&j, free_port(), 80);
    assert_int_equal(worker_listen(&j.worker, &e), 0);
    job_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_carries_bytes_until_it_is_stopped),
        cmocka_unit_test(a_port_in_use_names_the_inbound),
        cmocka_unit_test(a_worker_that_never_ran_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
