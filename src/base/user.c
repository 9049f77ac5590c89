#include "base/user.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

int user_find(const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM,
			"there is no user \"%s\" to run as; make one with: useradd --system --home-dir /var/lib/mailhaul --shell /usr/sbin/nologin "
			"%s",
			name, name);
	if (user->pw_uid == 0)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "mailhaul does not haul mail as root; name another user in run_as");
	*ret_uid = user->pw_uid;
	*ret_gid = user->pw_gid;
	return 0;
}

static void change_environment(const char *name)
{
	static const char *const of_a_session[] = {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK",
		"GNUPGHOME", "PASSWORD_STORE_DIR", "TMPDIR"};
	const struct passwd *user = getpwnam(name);

	for (size_t i = 0; i < ARRAY_SIZE(of_a_session); i++)
		unsetenv(of_a_session[i]);
	setenv("USER", name, 1);
	setenv("LOGNAME", name, 1);
	if (user == NULL)
		return;
	setenv("HOME", user->pw_dir, 1);
	setenv("SHELL", user->pw_shell, 1);
}

int user_become(const char *name, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (user_find(name, &uid, &gid, err) < 0)
		return -1;
	change_environment(name);
	if (initgroups(name, gid) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot become user \"%s\"", name);
	return 0;
}
