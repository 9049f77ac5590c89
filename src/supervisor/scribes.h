/* scribes.h - the markers of a state (state/marker.h), as the supervisor has them read and written: those in Maildirs by scribes, for which it waits at its
 * start alone, and not for long. */
#ifndef MAILHAUL_SUPERVISOR_SCRIBES_H
#define MAILHAUL_SUPERVISOR_SCRIBES_H

#include <stdbool.h>

struct attendant;
struct error;
struct markers;
struct scribes;
struct service;

struct scribes *scribes_new(struct service *service);
void scribes_free(struct scribes *scribes); /* whoever is under way goes on alone; NULL is fine */

/* At the start, before there is an event loop: looks at all of them; text is written there before, unless it is NULL. What does not answer stays
 * MARKER_UNSEEN, which is logged. -1: no process can be had. */
int scribes_survey(struct service *service, struct markers *markers, const char *text, struct error *err);

/* They are right: those in Maildirs need no care until they are a day old. */
void scribes_trust(struct service *service, const struct markers *markers);

/* Mail was planned: what tells of it is to be in order, beside the state and the configuration and in the Maildirs of this session. The latter soon. */
void scribes_mark(struct attendant *attendant);

/* Is a scribe at work that may still come to an end? idle is called when that has happened. */
bool scribes_are_busy(const struct scribes *scribes);
void scribes_when_idle(struct scribes *scribes, void (*idle)(void *), void *context);

#endif
