/* lock.h - one haul of a mailbox at a time: an open file description that is locked here and shared with its workers, so that the lock ends with the last
 * of them, even when the supervisor was killed. */
#ifndef MAILHAUL_SUPERVISOR_LOCK_H
#define MAILHAUL_SUPERVISOR_LOCK_H

#include <errno.h>
#include <stdbool.h>

struct error;

/* Held by somebody: ERR_TEMP with SCOPE_MAILBOX and code LOCK_HELD says by whom. */
#define LOCK_HELD EWOULDBLOCK
int lock_mailbox(int state_dir_fd, const char *name, int *ret_fd, struct error *err);
/* One daemon for each state. Held: the same, but with SCOPE_PROGRAM. */
int lock_daemon(int state_dir_fd, int *ret_fd, struct error *err);
/* False: nobody has ever held it. */
bool lock_exists(int state_dir_fd, const char *name);

#endif
