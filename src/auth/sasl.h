/* sasl.h - the client's side of PLAIN (RFC 4616), LOGIN, OAUTHBEARER (RFC 7628) and XOAUTH2, as base64 for a line of SMTP (RFC 4954), IMAP
 * (RFC 9051) or POP3 (RFC 5034). These frame it: "334 challenge" or "+ challenge". Every answer is a struct secret: send it with wire_add_secret. */
#ifndef MAILHAUL_AUTH_SASL_H
#define MAILHAUL_AUTH_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct error;
struct secret;

/* -- What the server offers: a set of mechanisms, one bit each. -- */

/* Adds a mechanism by the name the server gives it; names we do not speak only count as "something was offered". */
void sasl_offer(unsigned *offered, const char *name, size_t len);
/* A line of names with blanks between them, as in "250-AUTH PLAIN LOGIN" behind AUTH. */
void sasl_offer_list(unsigned *offered, const char *names, size_t len);

/* What to log in with. wanted is what the configuration says; offered 0: the server has not told. On success *ret_mode is the mechanism, or
 * AUTH_DEFAULT: none in common, so the protocol's own login command (IMAP LOGIN, POP3 USER) is what is left. AUTH_DEFAULT never leads to a mechanism
 * that sends a token: only the operator knows that the secret is one. ERR_CONFIG: the server lacks what the configuration names, or takes nothing but
 * tokens. */
int sasl_choose(enum auth_mode wanted, unsigned offered, enum auth_mode *ret_mode, struct error *err);
const char *sasl_name(enum auth_mode mode); /* as the AUTH command spells it */

/* -- One login. -- */

enum sasl_stage { SASL_BEGIN, SASL_SENT_USER, SASL_SENT_ALL, SASL_TOLD_WHY };

struct sasl {
	enum auth_mode mode;
	enum sasl_stage stage;
	const char *user, *host;
	const struct secret *secret;
	uint16_t port;
	char status[48]; /* of a refused token, escaped; "" if the server said none */
};

/* user, secret and host are borrowed until the login is over; mode is one that sasl_choose gave, not AUTH_DEFAULT. host and port are what the token
 * is meant for (RFC 7628 3.1). ERR_CONFIG: the secret or user holds bytes that the mechanism cannot carry. */
int sasl_start(
	struct sasl *sasl, enum auth_mode mode, const char *user, const struct secret *secret, const char *host, uint16_t port, struct error *err);
/* The initial response, for servers that take one on the command line (SASL-IR; SMTP and POP3 always). NULL: this mechanism has none. Free it. */
struct secret *sasl_initial(struct sasl *sasl);
/* The answer to a challenge (what stands behind "+ " or "334 ", may be empty): free it; an empty one is an empty line. -1: there is none; send "*",
 * the server's reply to it ends the exchange (RFC 4954 4); the error (ERR_PROTO) is what the login failed with. */
int sasl_step(struct sasl *sasl, const char *challenge, size_t len, struct secret **ret_response, struct error *err);
/* The server has refused for good: ERR_AUTH with its words (len bytes, escaped here) and, for a token, the status it gave. Returns -1. */
int sasl_refused(const struct sasl *sasl, const char *reply, size_t len, struct error *err);

#endif
