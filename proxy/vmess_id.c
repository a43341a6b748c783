#include <ctype.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "proxy/kdf.h"
#include "proxy/vmess.h"

enum { MAPPED_MAX = 30 };

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? memchr(digits, tolower((unsigned char)c), 16) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The end of the id within the text, or NULL when this is none. */
static const char *parse_uuid(uint8_t id[16], const char *text)
{
    for (int i = 0; i < 16; i++) {
        if ((i == 0 || i == 4 || i == 6 || i == 8 || i == 10) && *text == '-')
            text++;
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return NULL;
        id[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return text;
}

/* UUID version 5 in the nil name space: what Xray makes of a short text. */
static int map_text(uint8_t id[16], const char *text, size_t len, struct err *e)
{
    uint8_t in[16 + MAPPED_MAX] = {0}, digest[20];
    unsigned n = 0;
    memcpy(in + 16, text, len);
    if (EVP_Digest(in, 16 + len, digest, &n, EVP_sha1(), NULL) != 1)
        return err_set(e, ENOTSUP, "the crypto library has no SHA-1");
    memcpy(id, digest, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x50);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    return 0;
}

int vmess_parse_id(uint8_t id[16], const char *text, struct err *e)
{
    size_t len = strlen(text);
    if (len >= 1 && len <= MAPPED_MAX)
        return map_text(id, text, len, e);
    const char *end = parse_uuid(id, text);
    if (!end)
        return err_set(e, EINVAL, "want a UUID (32 hex digits) or a text of 1..%d bytes",
                       MAPPED_MAX);
    if (*end)
        return err_set(e, EINVAL, "want nothing behind the UUID");
    return 0;
}

int vmess_user_init(struct vmess_user *u, struct err *e)
{
    static const char salt[36] = "c48619fe-8f02-49e0-b9e9-edf763e17e21";
    static const struct kdf_part path = {"AES Auth ID Encryption", 22};
    uint8_t in[16 + sizeof salt];
    unsigned len = 0;
    memcpy(in, u->id, 16);
    memcpy(in + 16, salt, sizeof salt);
    int ok = EVP_Digest(in, sizeof in, u->cmd_key, &len, EVP_md5(), NULL);
    sodium_memzero(in, sizeof in);
    if (ok != 1)
        return err_set(e, ENOTSUP, "the crypto library has no MD5");
    kdf(u->auth_key, sizeof u->auth_key, u->cmd_key, sizeof u->cmd_key, &path, 1);
    return 0;
}
