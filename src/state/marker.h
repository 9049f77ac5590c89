/* marker.h - notes which say that mail was hauled with a state: in its directory, beside the configuration, and in every Maildir. So a state.db that is
 * lost, or that belongs to another machine, is never taken for a first run, which would haul everything again.
 * Their names hold a hash of the state directory's path, so that configurations with states of their own do not disturb each other. */
#ifndef MAILHAUL_STATE_MARKER_H
#define MAILHAUL_STATE_MARKER_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct error;
struct state;

/* Before a state is opened. -1: state.db is missing, and a marker, or what else is left in the directory, says that there was one; ERR_LOCAL and
 * SCOPE_PROGRAM, with the way out. 0: it is there, or it never was. */
int marker_expect(const struct config *config, struct error *err);
/* Is this the state that the markers speak of? -1: it is of another installation. *ret_behind: a marker has seen more messages than this state, so an
 * older copy of it was restored, and what was hauled since will be hauled again. */
int marker_compare(const struct config *config, struct state *state, bool *ret_behind, struct error *err);
/* To be called once mail is planned, so that there is something to lose. A place that cannot be written is no error; a marker that is right and of
 * today is left alone. now: wall clock seconds. */
void marker_write(const struct config *config, struct state *state, int64_t now);

#endif
