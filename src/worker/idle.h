/* idle.h - what a session does when all is hauled and its mailbox is pushed: it stays, as small as it can be made, and sleeps until mail is announced, or
 * until it is time to look anyway. */
#ifndef MAILHAUL_WORKER_IDLE_H
#define MAILHAUL_WORKER_IDLE_H

struct error;
struct session;

/* 1: there may be mail, in the folders that session->due says. 0: time to leave: the server announces nothing, the supervisor does not want us to stay, or
 * the connection ended while nothing was under way. -1: stopped, or a session that failed. */
int idle_run(struct session *session, struct error *err);

#endif
