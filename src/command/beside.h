/* beside.h - commands beside a daemon, which has the mailboxes: it is asked to haul, to let go of one, or what it is doing. control.h has the words.
 * Without a daemon for this state, each says so and does nothing. */
#ifndef MAILHAUL_COMMAND_BESIDE_H
#define MAILHAUL_COMMAND_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct error;
struct options;

bool beside_is_there(const struct config *config);
/* The named mailboxes, or all, are hauled by the daemon, and this waits for it. False: do it yourself, there is no daemon, or it serves none of them. */
bool beside_run(const struct config *config, const struct options *options, int *ret_exit_code);
/* They are hauled soon, or all; nobody waits. */
void beside_wake(const struct config *config, char *const *names);
/* 0: the daemon has let go of the mailbox, until *ret_fd is closed; or there is none, and *ret_fd is -1. It says on stderr what it waits for. */
int beside_claim(const struct config *config, const char *name, int *ret_fd, struct error *err);
/* What outlook.h describes, in a sealed memory file that the caller closes; -1: there is no daemon that answers. */
int beside_outlook(const struct config *config);

#endif
