#include "base/user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/error.h"

int user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM,
				 "there is no user \"%s\" to run as; make one with: useradd --system --home-dir /var/lib/mailhaul --shell /usr/sbin/nologin %s",
				 name, name);
	if (user->pw_uid == 0)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "mailhaul does not haul mail as root; name another user in run_as");
	*ret_uid = user->pw_uid;
	*ret_gid = user->pw_gid;
	return 0;
}

int user_become(const char *name, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (user_find(name, &uid, &gid, err) < 0)
		return -1;
	if (initgroups(name, gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot become user \"%s\"", name);
	return 0;
}
