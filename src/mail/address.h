/* address.h - envelope addresses: RFC 5321 4.1.2 with RFC 6531 extensions; what may stand in MAIL FROM, RCPT TO and an MDA's argv. */
#ifndef MAILHAUL_MAIL_ADDRESS_H
#define MAILHAUL_MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3, less the <> */

/* A mailbox (local@domain, or a bare local part, which local servers accept): printable, no control characters, no spaces or <> outside quotes, not
 * beginning with '-'. UTF-8 above ASCII must be well-formed. */
bool address_is_valid(const char *address, size_t len);
bool address_is_ascii(const char *address);
/* The value of a Return-Path field: "<a@b>" or "a@b" or "<>", comments and folding around it allowed. out: ADDRESS_MAX + 1 bytes, "" for the null
 * sender. False: not a valid one. A source route is dropped (RFC 5321 App. C). */
bool address_from_return_path(char *out, const char *value, size_t len);

#endif
