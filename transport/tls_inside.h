/* transport/tls_inside.h -- what the files of transport/tls*.c share.
 * Thread: a tls_shared belongs to all loops: its settings are immutable, the rest is under its lock. */
#ifndef V2C_TRANSPORT_TLS_INSIDE_H
#define V2C_TRANSPORT_TLS_INSIDE_H

#include <ev.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/log.h"
#include "transport/layer.h"
#include "transport/stream.h"
#include "transport/tls.h"

struct tls_material {
    _Atomic unsigned shares;
    enum tls_usage usage;
    bool once, exposed;
    char *cert_file, *key_file; /* NULL: in place */
    uint64_t stamp;             /* of the files, when they were read */
    X509 *leaf;                 /* of TLS_OURS */
    STACK_OF(X509) * chain;     /* behind the leaf; the authorities */
    EVP_PKEY *key;
};

/* What one reading of the files made. */
struct tls_loaded {
    _Atomic unsigned shares;
    SSL_CTX *context;
    struct tls_material **material;
    size_t count;
    double born; /* loop_steady() */
};

struct tls_shared {
    struct tls_settings set;
    BIO_METHOD *method;

    pthread_mutex_t lock;
    struct tls_loaded *now;
    double looked, warned; /* loop_steady() */
    uint64_t refused;      /* stamps of files that were no good */
    unsigned refusals;     /* in a row */
    bool told_insecure;    /* the log knows that nobody is verified */
};

struct tls_conf {
    struct tls_shared *shared;
};

/* A layer that shakes hands. */
struct tls_shaking {
    struct tls_loaded *loaded;
    struct addr to;
    struct err why; /* code 0: not known yet */
    ev_timer turn;  /* when it is let in */
    bool waits, admitted;
};

struct tls {
    struct layer layer;
    SSL *ssl;
    struct tls_shared *shared;
    struct tls_shaking *shaking; /* NULL: done */
    struct bufq out;             /* records that have not gone below */
    size_t owed;                 /* bytes of the caller's that they hold */
    int error;                   /* errno of what lies below, then of what broke it; 0: none */
    bool quiet;                  /* what lies below has no more for now */
    bool more;                   /* the last read did not stop for want of bytes */
    bool cut;                    /* what lies below has ended */
    bool finished;               /* close_notify is sent */
    bool broken;                 /* a fatal error: nothing may be asked of ssl any more */
};

/* --- tls_files.c --- */
struct tls_material *tls_material_ref(struct tls_material *m);
struct tls_material *tls_material_again(const struct tls_material *m,
                                        struct err *e);    /* from its files */
uint64_t tls_material_stamp(const struct tls_material *m); /* of the files as they are now */
const char *tls_material_name(const struct tls_material *m);
bool tls_material_covers(const struct tls_material *m, const char *host); /* of ours */

/* --- tls_context.c --- */
SSL_CTX *tls_context_new(const struct tls_settings *s, struct tls_material *const *material,
                         size_t count, struct err *e);

/* --- tls_shared.c --- */
/* A share of what is to be used now; looks at the files now and then. */
struct tls_loaded *tls_shared_now(struct tls_shared *s);
void tls_loaded_unref(struct tls_loaded *l);

/* --- tls_verify.c --- */
int tls_verify(X509_STORE_CTX *store, void *arg);
/* Whom the peer's certificate, which was verified, is for. */
void tls_tell_peer(struct tls *t);
void tls_pin_chain(const STACK_OF(X509) * certs, uint8_t pin[TLS_PIN]);

/* --- tls_reason.c --- */
/* What OpenSSL's queue of errors says about the last thing that failed, in the user's words; empties it. */
const char *tls_reason(bool server);

/* --- tls.c --- */
BIO_METHOD *tls_method(void); /* from OpenSSL to what lies below a layer; NULL: out of memory */
int tls_on_hello(SSL *ssl, int *alert, void *arg);

static inline struct tls *tls_of_ssl(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

#endif
