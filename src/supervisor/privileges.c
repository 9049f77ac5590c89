#include "supervisor/privileges.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/user.h"
#include "config/config.h"
#include "spawner/spawner.h"

static int make_state_directory(const char *path, uid_t uid, gid_t gid, struct error *err)
{
	mode_t mask = umask(022); /* the user has to get through the directories above */
	int result = fs_mkdir_parents(path, 0755, err), fd;

	umask(mask);
	if (result < 0)
		return -1;
	/* By descriptor: whoever may write above it could put a link in its place. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0700) < 0 || fchown(fd, uid, gid) < 0)
		result = error_errno(err, SCOPE_PROGRAM, "cannot make the state directory %s", path);
	fs_close(fd);
	return result;
}

int privileges_drop(const struct config *config, struct spawner *spawner, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return 0;
	if (user_find(config->run_as, &uid, &gid, err) < 0)
		return -1;
	if (access(config->state_dir, F_OK) < 0 && make_state_directory(config->state_dir, uid, gid, err) < 0)
		return -1;
	log_say(NULL, LEVEL_NOTICE, "run_as", "started as root, running as %s from here on", config->run_as);
	return spawner_become(spawner, config->run_as, err);
}
