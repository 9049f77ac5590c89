/* idle.h - for how long a connection may be silent before it is spoken on again. Servers end IDLE after 30 minutes (RFC 2177 3), many of them earlier, and
 * what stands in between (NAT, firewalls) forgets a silent connection without a word. So each host has a span of its own, which is learned. Pure. */
#ifndef MAILHAUL_POLICY_IDLE_H
#define MAILHAUL_POLICY_IDLE_H

#include <stdint.h>

#define IDLE_MAX_S (28 * 60)
#define IDLE_MIN_S (2 * 60)

/* Seconds of silence that are dared, from what is known of the host; 0: nothing. */
uint32_t idle_span_s(uint32_t known_s);
/* What is known next: */
uint32_t idle_after_success_s(uint32_t known_s); /* after the whole span the other side answered */
uint32_t idle_after_death_s(uint32_t known_s);   /* when we spoke again, nobody was there */
/* The server closed, or the connection broke, after so much silence. Shortly after the last word that is no matter of patience. */
uint32_t idle_after_close_s(uint32_t known_s, uint32_t silent_s);

#endif
