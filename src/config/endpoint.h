/* endpoint.h - where a server listens, as an operator writes it: "host", "host:port", "[2001:db8::1]:port", "/unix/socket". */
#ifndef MAILHAUL_CONFIG_ENDPOINT_H
#define MAILHAUL_CONFIG_ENDPOINT_H

#include <stdbool.h>

struct endpoint;

/* Fills host (in lower case) and port (0: none written), or path, leaves tls alone; endpoint_clear frees them. Returns NULL, or what is wrong, as
 * the end of a sentence; nothing is filled then. */
const char *endpoint_parse(const char *text, struct endpoint *ret_endpoint);
void endpoint_clear(struct endpoint *endpoint);
/* A unix socket, localhost, 127.0.0.0/8 or ::1: bytes do not leave this machine. */
bool endpoint_is_local(const struct endpoint *endpoint);

#endif
