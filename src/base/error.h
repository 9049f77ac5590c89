/* error.h - what went wrong: what to do about it, how far it reaches, and one sentence for the operator.
 * The text lives inside the struct, so no error path allocates. Every fallible call returns 0 or -1 and takes one of these last. */
#ifndef MAILHAUL_BASE_ERROR_H
#define MAILHAUL_BASE_ERROR_H

enum error_kind {
	ERR_NONE,
	ERR_TEMP,     /* try again later: network, 4xx, server busy */
	ERR_AUTH,     /* the credential was refused */
	ERR_TLS,      /* handshake or certificate */
	ERR_PROTO,    /* the peer broke its protocol */
	ERR_REFUSED,  /* the peer said no for good: 5xx */
	ERR_LOCAL,    /* disk, memory, descriptors: our machine */
	ERR_CONFIG,   /* the operator has to change something */
	ERR_CANCELED, /* we were told to stop */
};

enum error_scope {
	SCOPE_MESSAGE,
	SCOPE_RECIPIENT,
	SCOPE_FOLDER,  /* on the server */
	SCOPE_MAILBOX, /* an entry of the configuration */
	SCOPE_DESTINATION,
	SCOPE_PROGRAM,
};

struct error {
	enum error_kind kind;
	enum error_scope scope;
	int code; /* the peer's number (SMTP reply, errno, sysexits), else 0 */
	char text[240];
};

/* All return -1, so that callers write: return error_set(...). Over-long texts are cut. err may be NULL. */
int error_set(struct error *err, enum error_kind kind, enum error_scope scope, const char *format, ...) __attribute__((format(printf, 4, 5)));
int error_code(struct error *err, enum error_kind kind, enum error_scope scope, int code, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* Appends ": " and the text of errno; code = errno. ENOSPC, EDQUOT and EROFS included: kind is ERR_LOCAL. */
int error_errno(struct error *err, enum error_scope scope, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts context in front, once. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *error_kind_name(enum error_kind kind);
const char *error_scope_name(enum error_scope scope);

#endif
