/* recognize.h - after a renumbering: which of the listed messages were hauled under their old numbers? Headers first, where the protocol has a way to
 * fetch them alone that shows them whole (not POP3, whose TOP truncates, or marks as read, depending on the server); then all bytes of the others.
 * Invariant: nothing is delivered before all that can be fetched has been judged, and the supervisor agrees that it looks like a renumbering. */
#ifndef MAILHAUL_WORKER_RECOGNIZE_H
#define MAILHAUL_WORKER_RECOGNIZE_H

struct error;
struct plan;
struct session;

/* Does nothing if no item of the plan is in question. Else the plan holds afterwards what is to be done now: new messages, and what is owed to those that
 * were recognised; what could not be fetched is left to a later session. -1: the source is lost, or the mailbox has stopped; what was recognised stays so. */
int recognize_run(struct plan *plan, struct session *session, struct error *err);

#endif
