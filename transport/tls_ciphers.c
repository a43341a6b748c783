#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#include "transport/tls_inside.h"

/* What may be asked for: nothing without encryption, without authentication, or broken. */
static const char ACCEPTABLE[] = "HIGH:!aNULL:!eNULL:!PSK:!SRP:!3DES:!MD5:!DSS";

/* Go has a second name for two of them. */
static bool is_short_for(const char *word, size_t len, const char *name)
{
    static const char tail[] = "_SHA256";
    return strlen(name) == len + strlen(tail) && strncasecmp(word, name, len) == 0 &&
           strcasecmp(name + len, tail) == 0 && len > 8 &&
           strncasecmp(word + len - 8, "POLY1305", 8) == 0;
}

static bool is_called(const SSL_CIPHER *c, const char *word, size_t len)
{
    const char *name = SSL_CIPHER_get_name(c), *standard = SSL_CIPHER_standard_name(c);
    if (strlen(name) == len && strncasecmp(name, word, len) == 0)
        return true;
    return standard && ((strlen(standard) == len && strncasecmp(standard, word, len) == 0) ||
                        is_short_for(word, len, standard));
}

static const SSL_CIPHER *find(STACK_OF(SSL_CIPHER) * all, const char *word, size_t len)
{
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
        if (is_called(c, word, len))
            return c;
    }
    return NULL;
}

static int append(char to[TLS_CIPHERS_MAX], const char *name, struct err *e)
{
    size_t used = strlen(to), len = strlen(name);
    if (used + len + 2 > TLS_CIPHERS_MAX)
        return err_set(e, EINVAL, "too many cipher suites");
    if (used)
        to[used++] = ':';
    memcpy(to + used, name, len + 1);
    return 0;
}

static int split(STACK_OF(SSL_CIPHER) * all, const char *text, struct tls_settings *to,
                 struct err *e)
{
    char shown[64];
    for (const char *word = text; *word;) {
        word += strspn(word, " :,");
        size_t len = strcspn(word, " :,");
        if (!len)
            break;
        const SSL_CIPHER *c = find(all, word, len);
        if (!c)
            return err_set(e, EINVAL, "unknown or unsafe cipher suite: %s",
                           log_escape(word, len < 48 ? len : 48, shown, sizeof shown));
        bool of_13 = strcmp(SSL_CIPHER_get_version(c), "TLSv1.3") == 0;
        if (append(of_13 ? to->suites : to->ciphers, SSL_CIPHER_get_name(c), e) < 0)
            return -1;
        word += len;
    }
    return 0;
}

int tls_ciphers_parse(const char *text, struct tls_settings *to, struct err *e)
{
    int result = -1;
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (context && SSL_CTX_set_cipher_list(context, ACCEPTABLE))
        result = split(SSL_CTX_get_ciphers(context), text, to, e);
    else
        err_set(e, ENOMEM, "out of memory");
    SSL_CTX_free(context);
    ERR_clear_error();
    return result;
}
