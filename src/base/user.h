/* user.h - becoming another user, for good. */
#ifndef MAILHAUL_BASE_USER_H
#define MAILHAUL_BASE_USER_H

#include <sys/types.h>

struct error;

/* ERR_CONFIG, with the command that makes one, if there is no such user; also if it is root. */
int user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err);
/* User, group and supplementary groups, real, effective and saved; and the environment is that user's, for the programs that we start. */
int user_become(const char *name, struct error *err);

#endif
