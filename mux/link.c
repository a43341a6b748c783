#include "mux/link.h"

static const uint8_t MAGIC[4] = {'v', '2', 'c', '1'};

void link_hello_write(struct writer *w, const struct link_hello *h)
{
    wr_bytes(w, MAGIC, sizeof MAGIC);
    wr_u8(w, LINK_HELLO);
    wr_be16(w, 3);
    wr_u8(w, h->version);
    wr_be16(w, h->datagram_max);
}

bool link_hello_read(struct cursor in, struct link_hello *h)
{
    uint8_t magic[sizeof MAGIC], type;
    uint16_t len;
    struct cursor value;
    if (!cur_bytes(&in, magic, sizeof magic) || memcmp(magic, MAGIC, sizeof magic) != 0)
        return false;
    while (cur_u8(&in, &type) && cur_be16(&in, &len) && cur_sub(&in, len, &value)) {
        if (type != LINK_HELLO)
            continue;
        return cur_u8(&value, &h->version) && h->version >= LINK_VERSION &&
               cur_be16(&value, &h->datagram_max);
    }
    return false;
}
