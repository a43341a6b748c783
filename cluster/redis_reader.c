#include "cluster/redis_reader.h"

#include "cluster/redis.h"

#if HIREDIS_MAJOR >= 1
typedef size_t redis_count;
#else
typedef int redis_count;
#endif

static unsigned depth(const redisReadTask *task)
{
    unsigned levels = 1;
    for (const redisReadTask *t = task->parent; t; t = t->parent)
        levels++;
    return levels;
}

/* Memory for an array is taken before its elements come, so that a few bytes could ask for much. */
static void *array_new(const redisReadTask *task, redis_count count)
{
    struct redis_reader *r = task->privdata;
    r->elements += (size_t)count;
    r->too_many = r->elements > REDIS_ELEMENTS || depth(task) > REDIS_DEPTH;
    return r->too_many ? NULL : r->arrays(task, count);
}

bool redis_reader_init(struct redis_reader *r)
{
    *r = (struct redis_reader){.hiredis = redisReaderCreate()};
    if (!r->hiredis)
        return false;
    r->make = *r->hiredis->fn;
    r->arrays = r->make.createArray;
    r->make.createArray = array_new;
    r->hiredis->fn = &r->make;
    r->hiredis->privdata = r;
    return true;
}

void redis_reader_fini(struct redis_reader *r)
{
    if (r->hiredis)
        redisReaderFree(r->hiredis);
    r->hiredis = NULL;
}

bool redis_reader_feed(struct redis_reader *r, const void *bytes, size_t len)
{
    r->bytes += len;
    return redisReaderFeed(r->hiredis, bytes, len) == REDIS_OK;
}

enum step redis_reader_next(struct redis_reader *r, redisReply **reply, struct err *e)
{
    void *got = NULL;
    if (redisReaderGetReply(r->hiredis, &got) != REDIS_OK) {
        if (r->too_many)
            return step_fail(e, EMSGSIZE, "an answer with too many elements");
        return step_fail(e, EPROTO, "an answer that is not Redis'");
    }
    if (!got && r->bytes > REDIS_REPLY)
        return step_fail(e, EMSGSIZE, "an answer of more than %d bytes", REDIS_REPLY);
    if (!got)
        return STEP_MORE;
    r->elements = 0;
    r->bytes = r->hiredis->len - r->hiredis->pos;
    *reply = got;
    return STEP_DONE;
}
