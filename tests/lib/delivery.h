/* delivery.h - what the tests of destinations share: messages ready to be offered, and a supervisor that hands out connections. */
#ifndef MAILHAUL_TESTS_LIB_DELIVERY_H
#define MAILHAUL_TESTS_LIB_DELIVERY_H

#include <stddef.h>
#include <sys/types.h>

#include "channel/channel.h"
#include "mail/haul.h"

/* Our header field in front of every message of delivery_new. */
#define DELIVERY_PREPEND "X-Mailhaul-Id: 1\r\n"
#define DELIVERY_ID "cafecafe0123456789abcdef0123456789abcdef"

/* A spooled message on its way to one recipient; ends the test if that fails. bytes are copied, the addresses borrowed. */
struct delivery *delivery_new(const char *bytes, size_t len, const char *sender, const char *recipient);
/* One of a message of len bytes that is still arriving, and nothing of it has yet; then some of it; then it is complete. */
struct delivery *delivery_arriving(size_t len, const char *sender, const char *recipient);
void delivery_arrives(struct delivery *delivery, const char *bytes, size_t len);
void delivery_has_arrived(struct delivery *delivery);
void delivery_free(struct delivery *delivery); /* with its haul */

/* Answers each REC_CONNECT with the next of fds (taken), and after the last one with REC_FAILED, which says how many seconds it was
 * given, 0: no limit. One at a time. */
void connections_start(struct channel *channel, const int *fds_take, unsigned count);
void connections_stop(struct channel *channel);

#endif
