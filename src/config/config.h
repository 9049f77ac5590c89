/* config.h - the configuration as the program uses it: checked, defaults applied, destinations resolved.
 * Built from YAML by schema.c, which also encodes the parts that a worker needs (job_encode) from the same table. */
#ifndef MAILHAUL_CONFIG_CONFIG_H
#define MAILHAUL_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NAME_BYTES 65 /* of a mailbox or a destination, with its NUL */

struct secret;

enum tls_mode { TLS_DEFAULT, TLS_IMPLICIT, TLS_STARTTLS, TLS_NONE };
enum protocol { PROTOCOL_POP3 = 1, PROTOCOL_IMAP };
enum dest_kind { DEST_MAILDIR = 1, DEST_LMTP, DEST_SMTP, DEST_MDA };
enum auth_mode { AUTH_DEFAULT, AUTH_PLAIN, AUTH_LOGIN, AUTH_XOAUTH2, AUTH_OAUTHBEARER };
enum refuse_action { REFUSE_HOLD, REFUSE_DELETE, REFUSE_DELIVER_TO };
enum disposal { DISPOSE_KEEP, DISPOSE_DELETE, DISPOSE_MARK_SEEN, DISPOSE_MOVE };
enum first_run { FIRST_RUN_ALL, FIRST_RUN_NEW, FIRST_RUN_DATE };
enum sandbox_mode { SANDBOX_BEST, SANDBOX_REQUIRE, SANDBOX_OFF };
enum quirk { QUIRK_NO_PIPELINING = 1 }; /* bits */
enum log_format { LOG_FORMAT_DEFAULT, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL };

enum password_kind { PASSWORD_NONE, PASSWORD_LITERAL, PASSWORD_FILE, PASSWORD_COMMAND, PASSWORD_ENV, PASSWORD_CREDENTIAL };
struct password {
	enum password_kind kind;
	struct secret *literal;
	char *name;     /* file (absolute), environment variable, or credential */
	char **command; /* argv */
};

struct endpoint {
	char *host;        /* as written, IDN turned to A-labels; NULL if path is set */
	uint16_t port;     /* never 0 once checked */
	char *path;        /* unix socket */
	enum tls_mode tls; /* never TLS_DEFAULT once checked */
};

struct after_delivery {
	enum disposal what;
	char *folder;         /* DISPOSE_MOVE */
	uint32_t retention_s; /* DISPOSE_DELETE: so long after the last delivery */
};

struct on_refuse {
	enum refuse_action what;
	char *destination; /* REFUSE_DELIVER_TO */
};

struct first_run_setting {
	enum first_run what;
	int64_t date_s; /* FIRST_RUN_DATE: messages that arrived before are baseline */
};

/* What source and destination have in common when they are servers. */
struct server {
	struct endpoint endpoint;
	char *user; /* NULL: none */
	struct password password;
	enum auth_mode auth;
	char *ca_file;      /* path; read by the supervisor */
	char *ca_pem;       /* its content, filled for the job */
	char **pins;        /* hex SHA-256, lower case */
	bool insecure;      /* tls: none beyond loopback */
	uint32_t timeout_s; /* without progress; 0: the default of each step */
};

struct dest_config {
	char *name;
	char *was; /* its name in an earlier configuration; NULL: none */
	enum dest_kind kind;
	struct server server; /* LMTP, SMTP */
	char *path;           /* Maildir, ~ expanded, absolute */
	char **argv;          /* MDA; {recipient} and {sender} stand as whole elements */
	char **recipients;    /* NULL-terminated; empty for a Maildir and an MDA that does not ask */
	char *sender;         /* NULL: Return-Path; "" or "<>": the null sender */
	uint32_t window;      /* LMTP, SMTP: messages without verdict, at most */
};

struct mailbox_config {
	char *name;
	char *was; /* its name in an earlier configuration; NULL: none */
	enum protocol protocol;
	struct server server;
	char **folders; /* IMAP: UTF-8, at least one; POP3: NULL */
	uint32_t poll_every_s;
	bool push;
	struct first_run_setting first_run;
	char **deliver_to; /* names of destinations, at least one */
	struct after_delivery after_delivery;
	struct on_refuse on_refuse; /* for the supervisor alone: it does not travel in a job */
	uint64_t max_message;       /* bytes */
	uint32_t max_messages;      /* per session; 0: no limit */
	char **recipients;          /* instead of the destinations' own; may be NULL */
	char *sender;               /* instead of the destinations' own; may be NULL */
	unsigned quirks;            /* enum quirk: what this server gets wrong */
	bool enabled;
	unsigned line; /* in the file, for messages */
};

struct config {
	char *file;      /* absolute path */
	char *state_dir; /* absolute; from the file or the rules of the manual */
	char *run_as;
	enum sandbox_mode sandbox;
	uint32_t max_workers;  /* 0: number of mailboxes, at most 1000 */
	uint32_t max_per_host; /* sessions at the same time; not for servers on this machine */
	enum log_format log_format;
	char **notify_command; /* NULL: none */
	char *metrics_file;    /* absolute; NULL: none */
	struct mailbox_config *mailboxes;
	size_t mailbox_count;
	struct dest_config *destinations;
	size_t destination_count;
};

/* Reads, checks and completes. On any error returns NULL after writing all of them to errors, one a line: "file:line:column: what to change".
 * path NULL: searched as the manual says. state_dir_option: --state-dir or NULL. */
struct config *config_load(const char *path, const char *state_dir_option, FILE *errors);
void config_free(struct config *config); /* wipes literal passwords */

struct mailbox_config *config_mailbox(const struct config *config, const char *name); /* NULL if there is none */
struct dest_config *config_destination(const struct config *config, const char *name);
/* Does it deliver to a recipient of the envelope? Not a Maildir, nor an MDA without "{recipient}". */
bool config_asks_recipient(const struct dest_config *destination);
/* The recipients that a mailbox's mail has at a destination: NULL-terminated, borrowed. NULL: it asks for none, and gets each message once. */
char *const *config_recipients(const struct mailbox_config *mailbox, const struct dest_config *destination);
/* The name nearest to a mistyped one, or NULL. */
const char *config_nearest(const char *word, const char *const *candidates, size_t count);

#endif
