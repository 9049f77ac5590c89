/* listen.h - a session that only listens: where a server tells of one folder at a time, each of the others has one of these besides the session that
 * hauls. It tells the supervisor what was announced; it knows no destination, changes nothing, and may end at any instruction. */
#ifndef MAILHAUL_WORKER_LISTEN_H
#define MAILHAUL_WORKER_LISTEN_H

struct error;
struct session;

/* Until it is told to stop, or something goes wrong: -1 in any case. */
int session_listen(struct session *session, struct error *err);

#endif
