/* testing/certs.h -- certificates of a test's own, as PEM.
 * Ownership: cert_free(). Errors end the test. */
#ifndef V2C_TESTING_CERTS_H
#define V2C_TESTING_CERTS_H

#include <stdbool.h>

struct cert {
    void *x, *key_of_x; /* OpenSSL's */
    char *pem, *key;
};

struct cert_for {
    const char *names; /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
    const struct cert *issuer;
    bool authority;
    int from, to; /* days from today; both 0: -1 to 90 */
};

void cert_make(struct cert *c, const struct cert_for *f);
void cert_free(struct cert *c);
/* Writes a file as a whole, as those who renew certificates do; in place of one that is there. */
void cert_write(const char *path, const char *text);

#endif
