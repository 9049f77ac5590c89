/* pop3-listing.h - LIST and UIDL put together: which messages a mailbox holds, by number, and under which key each is remembered.
 * One per listing. Pure. 24 bytes a message and the text of its UIDL, 8 more while keys are compared. RFC 1939 5 and 7.
 *
 * Keys. A UIDL is its own key, byte for byte; one that is too long for a key (KEY_MAX) is replaced by "sha256:" and its SHA-256. RFC 1939 7 promises that no
 * two messages of a mailbox share a UIDL, but servers that hash the message break it for copies: the first of three gets the UIDL, a NUL and "1/3", the
 * others "2/3" and "3/3". Once one of them is deleted nobody can tell which ones are left, and so all of them get other keys, and are compared with what was
 * delivered (state/match.c). No UIDL that a server sends can be such a key, since no line from the wire holds a NUL. */
#ifndef MAILHAUL_SOURCE_POP3_LISTING_H
#define MAILHAUL_SOURCE_POP3_LISTING_H

#include "source/source.h"

#define POP3_LISTING_MAX 1000000              /* messages; further ones wait for a later session */
#define POP3_UIDL_TEXT_MAX (64 * 1024 * 1024) /* of a whole listing: what a million messages may cost */

struct pop3_listing;

/* exists: what STAT said. */
struct pop3_listing *pop3_listing_new(uint32_t exists);
void pop3_listing_free(struct pop3_listing *listing);

/* Lines of the two answers without their terminator: first all of LIST, then pop3_listing_sized, then all of UIDL. A line that makes no sense is left out
 * and remembered as a contradiction. -1: more lines than the mailbox can have messages, or more text than a listing may have (ERR_PROTO). */
int pop3_listing_add_size(struct pop3_listing *listing, const char *line, size_t len, struct error *err);
void pop3_listing_sized(struct pop3_listing *listing);
int pop3_listing_add_uidl(struct pop3_listing *listing, const char *line, size_t len, struct error *err);

/* Hands out what came, by ascending number. has_uidls false: the server refused UIDL, all keys are NULL. With UIDLs, an empty one gives a NULL key, and a
 * message that UIDL did not mention is left out: under any other key it would be taken for a new message once the server does mention it.
 * *ret_contradictory is set (never cleared) if something was left out or the answers and STAT disagree. */
int pop3_listing_each(struct pop3_listing *listing, bool has_uidls, listed_fn *each, void *context, bool *ret_contradictory, struct error *err);

#endif
