/* connect.h - what both source protocols do first: ask for the connection, and put TLS under it.
 * The descriptor comes through the channel (or from a test); nothing here knows a host name beyond the one that the certificate must show. */
#ifndef MAILHAUL_SOURCE_CONNECT_H
#define MAILHAUL_SOURCE_CONNECT_H

#include <stddef.h>

struct error;
struct source_context;
struct wire;

#define SOURCE_TLS_S 30      /* all of a handshake */
#define SOURCE_GREETING_S 60 /* servers that look a client up in DNS before they greet */
#define SOURCE_LOGIN_S 60

/* A wire to the mailbox's server, traced if the context says so; with tls implicit the handshake is done. max_line: longest line without its CRLF.
 * -1: *ret_wire is untouched and nothing is left open. */
int source_connect(const struct source_context *context, size_t max_line, struct wire **ret_wire, struct error *err);
/* After the server's OK to STARTTLS or STLS: the handshake, in place. Bytes that the server sent behind its OK would have come from whoever sits on the
 * line (CVE-2021-22947): ERR_PROTO, and the session is over, as after every other failure. */
int source_start_tls(const struct source_context *context, struct wire *wire, struct error *err);

#endif
