#include "supervisor/visitor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fdpass.h"
#include "base/fs.h"
#include "base/mem.h"

#define BACKLOG_MAX (512u * 1024) /* a sentence for each of a thousand mailboxes */

struct visitor *visitor_new(struct control *control, sd_event *event, int fd_take, sd_event_io_handler_t handler)
{
	struct visitor *visitor = xcalloc(1, sizeof(*visitor));

	visitor->control = control;
	visitor->fd = fd_take;
	if (sd_event_add_io(event, &visitor->event, fd_take, EPOLLIN, handler, visitor) >= 0)
		return visitor;
	visitor_free(visitor);
	return NULL;
}

void visitor_free(struct visitor *visitor)
{
	sd_event_source_disable_unref(visitor->event);
	fs_close(visitor->fd);
	str_done(&visitor->backlog);
	free(visitor->errands);
	free(visitor);
}

int visitor_read(struct visitor *visitor, char *buffer, size_t size)
{
	int fds[FDPASS_MAX];
	unsigned fd_count;
	ssize_t len = fdpass_receive(visitor->fd, buffer, size, fds, &fd_count, MSG_DONTWAIT);

	while (fd_count != 0)
		fs_close(fds[--fd_count]);
	if (len < 0)
		return errno == EAGAIN ? 0 : -1;
	return len != 0 && buffer[len - 1] == '\0' ? (int)len : -1;
}

/* What it was sent it can still read. */
static void hang_up(struct visitor *visitor)
{
	visitor->ending = true;
	str_clear(&visitor->backlog);
	shutdown(visitor->fd, SHUT_RDWR);
}

/* 1: sent. 0: it has to wait. -1: nobody listens. */
static int send_now(struct visitor *visitor, const char *bytes, size_t len)
{
	if (fdpass_send(visitor->fd, bytes, len, NULL, 0, MSG_DONTWAIT) == 0)
		return 1;
	return errno == EAGAIN ? 0 : -1;
}

static void keep(struct visitor *visitor, const char *bytes, size_t len)
{
	uint16_t length = (uint16_t)len;

	if (visitor->backlog.len > BACKLOG_MAX) {
		hang_up(visitor);
		return;
	}
	str_add(&visitor->backlog, &length, sizeof(length));
	str_add(&visitor->backlog, bytes, len);
	sd_event_source_set_io_events(visitor->event, EPOLLIN | EPOLLOUT);
}

void visitor_flush(struct visitor *visitor)
{
	size_t at = 0;

	while (at < visitor->backlog.len) {
		uint16_t length;
		int sent;

		memcpy(&length, visitor->backlog.data + at, sizeof(length));
		sent = send_now(visitor, visitor->backlog.data + at + sizeof(length), length);
		if (sent == 0)
			break;
		if (sent < 0) {
			hang_up(visitor);
			return;
		}
		at += sizeof(length) + length;
	}
	if (at == 0)
		return;
	memmove(visitor->backlog.data, visitor->backlog.data + at, visitor->backlog.len - at);
	visitor->backlog.len -= at;
	if (visitor->backlog.len != 0)
		return;
	sd_event_source_set_io_events(visitor->event, EPOLLIN);
	if (visitor->ending)
		hang_up(visitor);
}

void visitor_end(struct visitor *visitor)
{
	visitor->ending = true;
	if (visitor->backlog.len == 0)
		hang_up(visitor);
}

void visitor_reply(struct visitor *visitor, enum visit_reply what, const char *text, size_t len)
{
	char reply[1 + VISIT_REPLY_MAX];
	int sent = 0;

	if (visitor->ending || (visitor->backlog.len != 0 && what == VISIT_PROGRESS))
		return; /* there will be newer figures */
	len = len < VISIT_REPLY_MAX ? len : VISIT_REPLY_MAX;
	reply[0] = (char)what;
	memcpy(reply + 1, text, len);
	if (visitor->backlog.len == 0)
		sent = send_now(visitor, reply, 1 + len);
	if (sent < 0)
		hang_up(visitor);
	else if (sent == 0)
		keep(visitor, reply, 1 + len);
}

void visitor_replyf(struct visitor *visitor, enum visit_reply what, const char *format, ...)
{
	char text[VISIT_REPLY_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= 0)
		visitor_reply(visitor, what, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void visitor_send_fd(struct visitor *visitor, enum visit_reply what, int fd)
{
	char letter = (char)what;

	/* The first thing it hears, so there is room. */
	if (fdpass_send(visitor->fd, &letter, 1, &fd, 1, MSG_DONTWAIT) < 0)
		hang_up(visitor);
}
