#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "command/beside.h"
#include "command/command.h"
#include "policy/policy.h"
#include "state/marker.h"
#include "state/state.h"
#include "supervisor/lock.h"

#define BUSY_RETRY_NS 20000000
#define BUSY_PATIENCE_S 10 /* a commit takes milliseconds; a person is waiting */

int command_patiently(int (*attempt)(void *, struct error *), void *context, struct error *err)
{
	struct deadline until = deadline_in_s(BUSY_PATIENCE_S);

	while (attempt(context, err) < 0) {
		if (err->kind != ERR_TEMP || err->scope != SCOPE_PROGRAM || deadline_passed(until))
			return -1;
		nanosleep(&(struct timespec){.tv_nsec = BUSY_RETRY_NS}, NULL);
	}
	return 0;
}

int command_confirm(const struct options *options, const char *question, struct error *err)
{
	char answer[16] = "";

	if (options->yes)
		return 0;
	if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
		return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "%s Nobody is there to answer; add --yes if so", question);
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(answer, sizeof(answer), stdin) != NULL) {
		answer[strcspn(answer, "\n")] = '\0';
		if (strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0)
			return 0;
	}
	return error_set(err, ERR_CONFIG, SCOPE_MESSAGE, "nothing was changed");
}

int command_failed(const struct error *err)
{
	enum { USAGE = 64 }; /* sysexits.h */

	fprintf(stderr, "mailhaul: %s\n", err->text);
	return err->scope == SCOPE_MESSAGE ? USAGE : policy_exit_code(err->kind, err->scope);
}

int command_lock(const struct config *config, const struct state *state, const char *name, struct mailbox_lock *ret_lock, struct error *err)
{
	if (beside_claim(config, name, &ret_lock->claim_fd, err) < 0)
		return -1;
	if (lock_mailbox(state_dir_fd(state), name, &ret_lock->lock_fd, err) == 0)
		return 0;
	fs_close(ret_lock->claim_fd);
	return -1;
}

void command_unlock(struct mailbox_lock *lock)
{
	lock->lock_fd = fs_close(lock->lock_fd); /* before the daemon wants it */
	lock->claim_fd = fs_close(lock->claim_fd);
}

struct state *command_open_state(const struct config *config, bool read_only, struct error *err)
{
	if (command_become(config, err) < 0 || markers_expect_state(config, err) < 0)
		return NULL;
	return state_open(config->state_dir, read_only, &(bool){false}, err);
}
