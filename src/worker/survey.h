/* survey.h - what need not be looked into: folders that look as they did when nothing was left to do in them. That is for the supervisor to say
 * (struct folder_facts), so such a folder costs neither a listing nor a question on the channel. */
#ifndef MAILHAUL_WORKER_SURVEY_H
#define MAILHAUL_WORKER_SURVEY_H

#include <stdbool.h>

struct error;
struct folder_status;
struct session;

/* Asks about all folders at once, where that pays. -1: the source is lost. */
int survey_run(struct session *session, struct error *err);
/* The survey has shown that there is nothing to do in this folder. */
bool survey_has_settled(const struct session *session, unsigned folder_index);
/* The same from what selecting it has shown. */
bool survey_settles(const struct session *session, unsigned folder_index, const struct folder_status *status);

#endif
