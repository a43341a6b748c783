#include "testing/rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "conf/worker.h"
#include "testing/conf_rig.h"

/* A worker and the way to its first configuration, given by its inbound's port and target. */
struct job {
    struct generation *generation;
    struct worker worker;
    struct worker_shared shared;
    struct portals portals;
    struct plan plan;
    struct counter *counters;
};

static struct generation *generation_of(const char *inbound, uint16_t port, uint16_t target,
                                        const struct config *before)
{
    char text[1000], path[] = "/tmp/v2c-worker-XXXXXX", *said = NULL;
    const char *name = path;
    size_t len;
    int fd = mkstemp(path);
    snprintf(text, sizeof text,
             "{\"drain\": 60, \"inbounds\": [{\"tag\": \"door\", \"listen\": \"127.0.0.1\","
             " \"port\": %u, %s \"port\": %u}}],"
             " \"outbounds\": [{\"protocol\": \"freedom\"}]}",
             port, inbound, target);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    FILE *out = open_memstream(&said, &len);
    struct config *c =
        config_load(&(struct config_source){.files = &name, .file_count = 1}, before, out);
    fclose(out);
    unlink(path);
    close(fd);
    if (!c)
        fail_msg("%s", said);
    free(said);
    return generation_new(c);
}

static const char DOKODEMO[] = "\"protocol\": \"dokodemo-door\", \"settings\": {\"address\":"
                               " \"127.0.0.1\", \"network\": \"tcp\",";
static const char VMESS[] = "\"protocol\": \"vmess\", \"settings\": {\"clients\": [{\"id\":"
                            " \"27848739-7e62-4138-9fd3-098a63964b6b\"}],";

static void job_open_as(struct job *j, const char *inbound, uint16_t port, uint16_t target)
{
    struct err e;
    memset(j, 0, sizeof *j);
    j->generation = generation_of(inbound, port, target, NULL);
    j->shared = (struct worker_shared){.count = 1, .counters = &j->counters};
    assert_int_equal(worker_init(&j->worker, 0, &j->shared, &e), 0);
    j->counters = j->worker.loop.counters;
    if (plan_init(&j->plan, NULL, j->generation, 1, &j->portals, &e) < 0)
        fail_msg("%s", e.text);
}

static void job_open(struct job *j, uint16_t port, uint16_t target)
{
    job_open_as(j, DOKODEMO, port, target);
}

static void job_prepare(struct job *j)
{
    struct err e;
    assert_int_equal(worker_prepare(&j->worker, &j->plan, &e), 0);
}

static void job_close(struct job *j)
{
    plan_fini(&j->plan);
    worker_clear(&j->worker);
    while (worker_settle(&j->worker))
        ;
    worker_fini(&j->worker);
    generation_unref(j->generation);
    portals_fini(&j->portals);
}

static void *run_worker(void *arg)
{
    worker_run(arg);
    return NULL;
}

static void job_run(struct job *j)
{
    job_prepare(j);
    worker_change(&j->worker, &j->plan);
    assert_int_equal(pthread_create(&j->worker.thread, NULL, run_worker, &j->worker), 0);
}

static void job_stop(struct job *j)
{
    worker_stop(&j->worker);
    pthread_join(j->worker.thread, NULL);
    job_close(j);
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
    rig_open(&r);
    int listening = rig_listen(&target, 8);
    job_open(&j, door.port, target.port);
    job_run(&j);
    int visitor = rig_connect(&door), origin = rig_accept(&r, listening);
    rig_say(&r, visitor, "hello");
    rig_hear(&r, origin, "hello");
    rig_say(&r, origin, "answer");
    rig_hear(&r, visitor, "answer");
    job_stop(&j);
    /* What was under way ends as what it is: broken. */
    assert_int_equal(rig_drain(&r, visitor, NULL), ECONNRESET);
    assert_int_equal(rig_drain(&r, origin, NULL), ECONNRESET);
    close(visitor);
    close(origin);
    close(listening);
    rig_close(&r);
}

static int drain(struct worker *w, void *with)
{
    (void)with;
    worker_drain(w);
    return 7;
}

static void a_worker_that_drains_counts_who_is_open_and_takes_nobody_new(void **state)
{
    (void)state;
    struct rig r;
    struct job j;
    struct sockaddr_storage ss;
    struct addr target, door = rig_addr("127.0.0.1", free_port());
    rig_open(&r);
    int listening = rig_listen(&target, 8);
    job_open(&j, door.port, target.port);
    job_run(&j);
    int visitor = rig_connect(&door), origin = rig_accept(&r, listening);
    assert_int_equal(atomic_load(&j.worker.visitors), SIZE_MAX);
    worker_ask(&j.worker, drain, NULL);
    assert_int_equal(worker_answer(&j.worker), 7);
    assert_int_equal(atomic_load(&j.worker.visitors), 1);
    socklen_t len = addr_to_sockaddr(&door, &ss);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&ss, len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(late);
    rig_say(&r, visitor, "hello");
    rig_hear(&r, origin, "hello");
    close(visitor);
    assert_int_equal(rig_drain(&r, origin, NULL), 0);
    close(origin);
    RIG_UNTIL(&r, atomic_load(&j.worker.visitors) == 0);
    job_stop(&j);
    close(listening);
    rig_close(&r);
}

static int part(struct worker *w, void *with)
{
    (void)with;
    worker_part(w);
    return 0;
}

static void a_worker_that_parts_lets_go_of_all_but_its_flows(void **state)
{
    (void)state;
    struct rig r;
    struct job j;
    struct addr target, door = rig_addr("127.0.0.1", free_port());
    rig_open(&r);
    int listening = rig_listen(&target, 8);
    job_open(&j, door.port, target.port);
    job_run(&j);
    int visitor = rig_connect(&door), origin = rig_accept(&r, listening);
    worker_ask(&j.worker, drain, NULL);
    worker_answer(&j.worker);
    worker_ask(&j.worker, part, NULL);
    worker_answer(&j.worker);
    assert_int_equal(atomic_load(&j.worker.visitors), 0); /* no links */
    assert_null(j.worker.now.generation);
    rig_say(&r, visitor, "hello");
    rig_hear(&r, origin, "hello");
    job_stop(&j);
    close(visitor);
    close(origin);
    close(listening);
    rig_close(&r);
}

static void a_change_that_is_abandoned_leaves_nothing(void **state)
{
    (void)state;
    struct job j;
    job_open(&j, free_port(), 80);
    int next = rig_next_fd();
    job_prepare(&j);
    worker_abandon(&j.worker, &j.plan);
    assert_null(j.worker.next.generation);
    assert_int_equal(atomic_load(&j.generation->shares), 1);
    assert_int_equal(rig_next_fd(), next);
    worker_abandon(&j.worker, &j.plan); /* again does nothing */
    job_close(&j);
}

/* To another target on the same port. The caller's share of the former generation is answered. */
static struct generation *job_change(struct job *j, const char *inbound, uint16_t port,
                                     uint16_t target)
{
    struct err e;
    struct generation *from = j->generation;
    plan_fini(&j->plan);
    j->generation = generation_of(inbound, port, target, from->config);
    if (plan_init(&j->plan, from, j->generation, 1, &j->portals, &e) < 0)
        fail_msg("%s", e.text);
    job_prepare(j);
    worker_change(&j->worker, &j->plan);
    return from;
}

static void job_start(struct job *j, const char *inbound, uint16_t port)
{
    job_open_as(j, inbound, port, 80);
    job_prepare(j);
    worker_change(&j->worker, &j->plan);
}

static void a_change_lets_go_of_the_former_configuration(void **state)
{
    (void)state;
    for (uint16_t target = 80; target <= 81; target++) { /* the inbound is kept; it is changed */
        struct job j;
        uint16_t port = free_port();
        job_start(&j, DOKODEMO, port);
        struct inbound *before = j.worker.now.inbounds[0];
        struct generation *from = job_change(&j, DOKODEMO, port, target);
        assert_int_equal(j.worker.now.inbounds[0] == before, target == 80);
        assert_int_equal(atomic_load(&from->shares), 1);
        assert_int_equal(atomic_load(&j.generation->shares), 2);
        plan_fini(&j.plan);
        generation_unref(from);
        job_close(&j);
    }
}

/* Somebody has connected and not greeted yet: what would know him stays until he has, or is gone. */
static void a_stranger_holds_the_former_configuration(void **state)
{
    (void)state;
    struct job j;
    uint16_t port = free_port();
    struct addr door = rig_addr("127.0.0.1", port);
    job_start(&j, VMESS, port);
    struct ev_loop *ev = j.worker.loop.ev;
    int stranger = rig_connect(&door);
    ev_run(ev, EVRUN_ONCE);
    struct generation *from = job_change(&j, VMESS, port, 81);
    assert_int_equal(atomic_load(&from->shares), 2);
    close(stranger);
    for (ev_tstamp end = ev_time() + 10; atomic_load(&from->shares) > 1 && ev_time() < end;)
        ev_run(ev, EVRUN_ONCE);
    assert_int_equal(atomic_load(&from->shares), 1);
    plan_fini(&j.plan);
    generation_unref(from);
    job_close(&j);
}

static void who_waits_at_a_removed_inbound_goes_by_the_former_rules(void **state)
{
    (void)state;
    static const char RENAMED[] = "\"protocol\": \"dokodemo-door\", \"tag\": \"another door\","
                                  " \"settings\": {\"address\": \"127.0.0.1\",";
    struct job j;
    uint16_t port = free_port();
    struct addr door = rig_addr("127.0.0.1", port);
    job_start(&j, DOKODEMO, port);
    int visitor = rig_connect(&door); /* and the loop does not turn */
    struct generation *from = job_change(&j, RENAMED, free_port(), 80);
    struct list_item *first = list_first(&j.worker.loop.flows);
    assert_non_null(first);
    assert_int_equal(container_of(first, struct flow, item)->why_code, 0);
    plan_fini(&j.plan);
    generation_unref(from);
    job_close(&j);
    close(visitor);
}

static void a_worker_that_never_ran_goes(void **state)
{
    (void)state;
    struct job j;
    job_open(&j, free_port(), 80);
    job_close(&j);
    job_open(&j, free_port(), 80);
    job_prepare(&j);
    worker_change(&j.worker, &j.plan);
    job_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_carries_bytes_until_it_is_stopped),
        cmocka_unit_test(a_worker_that_drains_counts_who_is_open_and_takes_nobody_new),
        cmocka_unit_test(a_worker_that_parts_lets_go_of_all_but_its_flows),
        cmocka_unit_test(a_change_that_is_abandoned_leaves_nothing),
        cmocka_unit_test(a_change_lets_go_of_the_former_configuration),
        cmocka_unit_test(a_stranger_holds_the_former_configuration),
        cmocka_unit_test(who_waits_at_a_removed_inbound_goes_by_the_former_rules),
        cmocka_unit_test(a_worker_that_never_ran_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
