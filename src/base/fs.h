/* fs.h - files, with every return value looked at. */
#ifndef MAILHAUL_BASE_FS_H
#define MAILHAUL_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct str;

/* Complete or -1; EINTR and short counts are ours to handle. */
int fs_write_all(int fd, const void *bytes, size_t len);
/* Reads until the end; more than max_bytes is an error (errno = EFBIG). */
int fs_read_all(int fd, size_t max_bytes, struct str *out);
/* len bytes from offset, or -1 (errno = EIO if the file is shorter). */
int fs_pread_all(int fd, void *bytes, size_t len, uint64_t offset);

/* Makes the directory's own name durable, as far as we may: its parent may be readable by others only. */
void fs_sync_parent(int dir_fd);
/* mkdir with all parents, like mkdir -p, durably; existing directories are fine. */
int fs_mkdir_parents(const char *path, mode_t mode, struct error *err);

/* Does this errno say that there is no room: on the disk, within a quota, or below the largest file a process may write? */
bool fs_is_full(int code);

/* A file that nobody else can ever name: O_TMPFILE in dir_fd, or a created and unlinked one where that is not to be had. */
int fs_unnamed(int dir_fd, struct error *err);
/* Bytes as a sealed memfd that can no longer change. The caller closes it. */
int fs_sealed(const char *name, const void *bytes, size_t len, struct error *err);
/* Maps a sealed memfd of at most max_bytes for reading, checks its seals, closes fd in any case. *ret_bytes is NULL for an empty one; munmap it. */
int fs_map_sealed(int fd, size_t max_bytes, const void **ret_bytes, size_t *ret_len, struct error *err);

/* close(2) that keeps errno; -1 is fine. Returns -1, so that fields can be reset: fd = fs_close(fd). */
int fs_close(int fd);

/* "~/x" with the home directory of the user we run as; a copy. NULL if there is none. */
char *fs_expand_home(const char *path);

#endif
