#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int error_vset(struct error *err, enum error_kind kind, enum error_scope scope, int code, const char *format, va_list args)
{
	if (err == NULL)
		return -1;
	err->kind = kind;
	err->scope = scope;
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), format, args);
	return -1;
}

int error_set(struct error *err, enum error_kind kind, enum error_scope scope, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_vset(err, kind, scope, 0, format, args);
	va_end(args);
	return -1;
}

int error_code(struct error *err, enum error_kind kind, enum error_scope scope, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error_vset(err, kind, scope, code, format, args);
	va_end(args);
	return -1;
}

int error_errno(struct error *err, enum error_scope scope, const char *format, ...)
{
	int saved = errno;
	va_list args;
	size_t used;

	if (err == NULL)
		return -1;
	va_start(args, format);
	error_vset(err, ERR_LOCAL, scope, saved, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(saved));
	errno = saved;
	return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
	char old[sizeof(err->text)];
	va_list args;
	size_t used;

	if (err == NULL)
		return -1;
	memcpy(old, err->text, sizeof(old));
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, "%.*s", (int)(sizeof(old) - 1), old);
	return -1;
}

const char *error_kind_name(enum error_kind kind)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",
		[ERR_TEMP] = "temporary",
		[ERR_AUTH] = "login",
		[ERR_TLS] = "tls",
		[ERR_PROTO] = "protocol",
		[ERR_REFUSED] = "refused",
		[ERR_LOCAL] = "local",
		[ERR_CONFIG] = "config",
		[ERR_CANCELED] = "canceled",
	};

	return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

const char *error_scope_name(enum error_scope scope)
{
	static const char *const names[] = {
		[SCOPE_MESSAGE] = "message",
		[SCOPE_RECIPIENT] = "recipient",
		[SCOPE_FOLDER] = "folder",
		[SCOPE_MAILBOX] = "mailbox",
		[SCOPE_DESTINATION] = "destination",
		[SCOPE_PROGRAM] = "program",
	};

	return (unsigned)scope < sizeof(names) / sizeof(names[0]) ? names[scope] : "unknown";
}
