/* password.h - from where the configuration says a password is, into a struct secret. Files that hold one must not be readable by everybody. */
#ifndef MAILHAUL_CONFIG_PASSWORD_H
#define MAILHAUL_CONFIG_PASSWORD_H

#include <stddef.h>
#include <sys/types.h>

struct config;
struct error;
struct password;
struct secret;
struct stat;

/* Of any kind but PASSWORD_NONE and PASSWORD_COMMAND (whoever runs the program gives its output to password_first_line). Files are checked again:
 * they may have changed since the configuration was loaded. The caller frees; NULL is ERR_CONFIG, or ERR_LOCAL for an I/O error. */
struct secret *password_read(const struct password *password, struct error *err);
/* Passwords that are in environment variables move into memory of our own, and the variables are wiped: /proc shows an environment to every program of the
 * same user. A variable without a usable password stays, for password_read to complain about. */
void passwords_leave_environment(struct config *config);
/* For a configuration that is loaded anew: what the former one took out of the environment. */
void passwords_keep(struct config *config, const struct config *former);
/* The first line without its end (LF or CRLF) of what a file, variable or program holds; what: its name for the error. Empty, longer than
 * SECRET_MAX_BYTES, or with a CR or NUL inside: NULL. The caller wipes bytes. */
struct secret *password_first_line(const char *bytes, size_t len, const char *what, struct error *err);

/* owner: somebody besides root and ourselves to whom a secret may belong: the user we are going to become. (uid_t)-1: nobody. */
int password_check_owner(const char *path, const struct stat *st, uid_t owner, struct error *err);
/* Is there such a file, can we read it, may it hold a password? */
int password_check_file(const char *path, uid_t owner, struct error *err);

#endif
