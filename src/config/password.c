#include "config/password.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/secret.h"
#include "config/config.h"

#define NOBODY ((uid_t)-1)

int password_check_owner(const char *path, const struct stat *st, uid_t owner, struct error *err)
{
	if (!S_ISREG(st->st_mode))
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "%s is not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid() && (owner == NOBODY || st->st_uid != owner))
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM,
			"%s holds a password but belongs to somebody else (user number %lu); run: chown %lu %s", path, (unsigned long)st->st_uid,
			(unsigned long)geteuid(), path);
	if ((st->st_mode & 007) != 0)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "%s holds a password and is open to every user of this machine; run: chmod o-rwx %s",
			path, path);
	return 0;
}

static int open_file(const char *path, uid_t owner, struct error *err)
{
	/* O_NONBLOCK: a FIFO must not stop us; it is refused below. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "the password file %s does not exist; write the password into its first line", path);
	if (fd < 0 && errno == EACCES)
		return error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "the password file %s cannot be read by user number %lu; change its owner or group",
			path, (unsigned long)geteuid());
	if (fd < 0 || fstat(fd, &st) < 0) {
		error_errno(err, SCOPE_PROGRAM, "cannot open the password file %s", path);
		return fs_close(fd);
	}
	return password_check_owner(path, &st, owner, err) == 0 ? fd : fs_close(fd);
}

int password_check_file(const char *path, uid_t owner, struct error *err)
{
	int fd = open_file(path, owner, err);

	if (fd < 0)
		return -1;
	fs_close(fd);
	return 0;
}

struct secret *password_first_line(const char *bytes, size_t len, const char *what, struct error *err)
{
	const char *end = len != 0 ? memchr(bytes, '\n', len) : NULL;
	size_t line = end != NULL ? (size_t)(end - bytes) : len;

	if (end != NULL && line != 0 && bytes[line - 1] == '\r')
		line--;
	if (line == 0)
		error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "%s has no password in its first line", what);
	else if (line > SECRET_MAX_BYTES)
		error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "the first line of %s is longer than %d bytes", what, SECRET_MAX_BYTES);
	else if (memchr(bytes, '\r', line) != NULL || memchr(bytes, '\0', line) != NULL)
		error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "the password in %s holds a carriage return or NUL, which no server accepts", what);
	else
		return secret_new(bytes, line);
	return NULL;
}

static struct secret *read_file(const char *path, struct error *err)
{
	struct secret *buffer, *secret = NULL;
	size_t used = 0, room = SECRET_MAX_BYTES + 2; /* for the line end */
	int fd = open_file(path, NOBODY, err);
	ssize_t n = 1;

	if (fd < 0)
		return NULL;
	buffer = secret_new_size(room);
	while (used < room && n > 0) {
		n = read(fd, secret_buffer(buffer) + used, room - used);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			used += (size_t)n;
	}
	if (n < 0)
		error_errno(err, SCOPE_PROGRAM, "cannot read the password file %s", path);
	else
		secret = password_first_line(secret_bytes(buffer), used, path, err);
	secret_free(buffer);
	fs_close(fd);
	return secret;
}

static struct secret *read_variable(const char *name, struct error *err)
{
	const char *value = getenv(name);

	if (value != NULL)
		return password_first_line(value, strlen(value), name, err);
	error_set(err, ERR_CONFIG, SCOPE_PROGRAM, "the environment variable %s, which should hold the password, is not set", name);
	return NULL;
}

static struct password *password_at(const struct config *config, size_t i)
{
	return i < config->mailbox_count ? &config->mailboxes[i].server.password : &config->destinations[i - config->mailbox_count].server.password;
}

void passwords_leave_environment(struct config *config)
{
	size_t count = config->mailbox_count + config->destination_count;

	/* One variable may serve many. */
	for (size_t i = 0; i < count; i++) {
		struct password *password = password_at(config, i);

		if (password->kind == PASSWORD_ENV)
			password->literal = read_variable(password->name, NULL);
	}
	for (size_t i = 0; i < count; i++) {
		struct password *password = password_at(config, i);
		char *value;

		if (password->kind != PASSWORD_ENV || password->literal == NULL)
			continue;
		password->kind = PASSWORD_LITERAL;
		value = getenv(password->name);
		if (value != NULL)
			secret_wipe(value, strlen(value));
	}
}

static const struct secret *find_kept(const struct config *config, const char *variable)
{
	for (size_t i = 0; i < config->mailbox_count + config->destination_count; i++) {
		const struct password *password = password_at(config, i);

		if (password->kind == PASSWORD_LITERAL && password->name != NULL && strcmp(password->name, variable) == 0)
			return password->literal;
	}
	return NULL;
}

void passwords_keep(struct config *config, const struct config *former)
{
	for (size_t i = 0; i < config->mailbox_count + config->destination_count; i++) {
		struct password *password = password_at(config, i);
		const struct secret *kept = password->kind == PASSWORD_ENV ? find_kept(former, password->name) : NULL;

		if (kept == NULL)
			continue;
		password->literal = secret_new(secret_bytes(kept), secret_length(kept));
		password->kind = PASSWORD_LITERAL;
	}
}

static struct secret *read_credential(const char *name, struct error *err)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	struct secret *secret;
	char *path;

	if (directory == NULL) {
		error_set(err, ERR_CONFIG, SCOPE_PROGRAM,
			"there are no systemd credentials; add LoadCredential=%s:FILE to the unit, or use {file: FILE} when started by hand", name);
		return NULL;
	}
	path = xasprintf("%s/%s", directory, name);
	secret = read_file(path, err);
	free(path);
	return secret;
}

struct secret *password_read(const struct password *password, struct error *err)
{
	switch (password->kind) {
	case PASSWORD_LITERAL:
		return secret_new(secret_bytes(password->literal), secret_length(password->literal));
	case PASSWORD_FILE:
		return read_file(password->name, err);
	case PASSWORD_ENV:
		return read_variable(password->name, err);
	case PASSWORD_CREDENTIAL:
		return read_credential(password->name, err);
	case PASSWORD_NONE:
	case PASSWORD_COMMAND:
		break;
	}
	assert(!"no password to read");
	return NULL;
}
