/* core/certificate.h -- whose certificate was verified, in a form that a flow's meta holds as it is: neither
 * a pointer into OpenSSL nor anything that is counted.
 * Thread: any. Ownership: a value. */
#ifndef V2C_CORE_CERTIFICATE_H
#define V2C_CORE_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

enum { CERTIFICATE_HASH = 32, CERTIFICATE_NAME_MAX = 63 };

struct certificate {
    bool shown;                     /* and verified; else all is zeros */
    uint8_t hash[CERTIFICATE_HASH]; /* SHA-256 of the whole */
    /* Lower case: its first DNS name, else its subject's common name. "": it has none, or one that is longer
     * or not printable. */
    char name[CERTIFICATE_NAME_MAX + 1];
};

/* What a configuration may call a certificate: 64 hexadecimal digits are its SHA-256, with or without ":"
 * between the bytes; anything else is its name. */
bool certificate_text_is_hash(const char *text, uint8_t hash[CERTIFICATE_HASH]);
/* It was shown, and the text means it. */
bool certificate_is(const struct certificate *c, const char *text);

#endif
