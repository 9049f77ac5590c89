/* bearer.h - what the two OAuth2 mechanisms send and what a server says about a refused token. RFC 7628; XOAUTH2 as Google and Microsoft
 * document it. */
#ifndef MAILHAUL_AUTH_BEARER_H
#define MAILHAUL_AUTH_BEARER_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct secret;

/* ERR_CONFIG: no bearer token looks like this (RFC 6750 2.1), or the user name holds control characters. */
int bearer_check(const char *user, const struct secret *token, struct error *err);

/* The messages before base64; free them. */
struct secret *bearer_xoauth2(const char *user, const struct secret *token);
struct secret *bearer_oauthbearer(const char *user, const struct secret *token, const char *host, uint16_t port);

/* The value of "status" in a JSON object (RFC 7628 3.2.2), escaped into out; "" if there is none. Not a JSON parser: all it can get wrong is a word
 * in an error message. */
void bearer_status(char *out, size_t size, const char *json, size_t len);

#endif
