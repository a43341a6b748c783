/* transport/dial.h -- from an address to a connected socket: look up, choose the family, connect. */
#ifndef V2C_TRANSPORT_DIAL_H
#define V2C_TRANSPORT_DIAL_H

/* Which addresses of a name may be dialled. AS_IS: whatever the system prefers. */
enum dial_family { DIAL_AS_IS, DIAL_ANY, DIAL_IPV4, DIAL_IPV6 };

#endif
