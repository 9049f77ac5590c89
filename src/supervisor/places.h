/* places.h - who of a roster may have a session now, and whose turn it is. */
#ifndef MAILHAUL_SUPERVISOR_PLACES_H
#define MAILHAUL_SUPERVISOR_PLACES_H

#include <stdbool.h>
#include <stdint.h>

struct post;
struct roster;
struct roster_host;

/* Of those that wait, the one whose turn it is; NULL: none may start now. */
struct post *places_next(const struct roster *roster);
/* For one that stays with its connection; whoever is polled on that host needs one, too, now and then. */
bool places_has_room(const struct roster *roster, const struct roster_host *host);
/* CLOCK_MONOTONIC, ns: if it says nothing until then, its place is free. It has an attendant. */
int64_t places_silent_from(const struct post *post);

#endif
