/* spool.h - the bytes of one message: in memory while small, else in the worker's one unnamed file in the state directory.
 * Written once, front to back, and read as often as needed, also what there is of one that still grows. */
#ifndef MAILHAUL_MAIL_SPOOL_H
#define MAILHAUL_MAIL_SPOOL_H

#include <stddef.h>
#include <stdint.h>

struct error;

#define SPOOL_MEMORY_MAX (1024 * 1024)       /* one message */
#define SPOOL_MEMORY_TOTAL (6 * 1024 * 1024) /* all messages of a worker: half its budget of 16 MiB, less buffers */

/* The file that all spools of a worker share: regions are given out at its end, holes punched when they are freed, and it is cut to nothing when no
 * region is left. */
struct spool_file;
struct spool_file *spool_file_new(int fd_take); /* -1: none yet */
/* Who is asked for the file when a message first does not fit into memory: a descriptor, or -1. Without it over-long messages fail. */
typedef int spool_open_fn(void *context, struct error *err);
void spool_file_on_demand(struct spool_file *file, spool_open_fn *open, void *context);
void spool_file_free(struct spool_file *file);

struct spool;
struct spool *spool_new(struct spool_file *file);
void spool_free(struct spool *spool);
/* At most one spool of a file may be growing at a time, from its first bytes to spool_end or spool_free (asserted). A full disk and every other
 * failure is ERR_LOCAL with SCOPE_MAILBOX; the spool is then good for spool_free only. */
int spool_add(struct spool *spool, const void *bytes, size_t len, struct error *err);
/* Writes what was gathered for the file, so it can fail as spool_add does. */
int spool_end(struct spool *spool, struct error *err);
uint64_t spool_size(const struct spool *spool);
/* Some bytes from offset, without copying if they are in memory: *ret_bytes is valid until the next call on any spool of the file. 0 bytes at the end, or
 * behind what there is so far. */
int spool_read(struct spool *spool, uint64_t offset, const char **ret_bytes, size_t *ret_len, struct error *err);

#endif
