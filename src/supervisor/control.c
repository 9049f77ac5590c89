#include "supervisor/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "supervisor/attendant.h"
#include "supervisor/outlook.h"
#include "supervisor/roster.h"
#include "supervisor/visitor.h"

#define BACKLOG 16

/* -- claims -- */

static bool is_lent(void *context, const char *name)
{
	return control_is_lent(context, name);
}

bool control_is_lent(const struct control *control, const char *name)
{
	for (unsigned v = 0; v < control->count; v++)
		if (strcmp(control->visitors[v]->claim, name) == 0)
			return true;
	return false;
}

static bool is_being_hauled(const struct control *control, const char *name)
{
	const struct post *post = roster_find(control->roster, name);

	return post != NULL && post->attendant != NULL;
}

/* Each that nobody has any more, to who asked first. */
void control_grant(struct control *control, const char *name)
{
	if (name[0] == '\0' || is_being_hauled(control, name))
		return;
	for (unsigned v = 0; v < control->count; v++) {
		struct visitor *visitor = control->visitors[v];

		if (strcmp(visitor->claim, name) != 0)
			continue;
		if (!visitor->granted)
			visitor_reply(visitor, VISIT_YOURS, "", 0);
		visitor->granted = true;
		return;
	}
}

/* -- requests: words up to end -- */

void control_refuse(struct visitor *visitor, const char *why)
{
	visitor_reply(visitor, VISIT_REFUSED, why, strlen(why));
	visitor_end(visitor);
}

static void claim(struct control *control, struct visitor *visitor, const char *name)
{
	const struct post *post = roster_find(control->roster, name);

	if (strlen(name) >= sizeof(visitor->claim) || name[0] == '\0') {
		control_refuse(visitor, "the daemon does not understand this request");
		return;
	}
	snprintf(visitor->claim, sizeof(visitor->claim), "%s", name);
	if (post != NULL && post->attendant != NULL)
		attendant_stop(post->attendant);
	control_grant(control, name);
}

static void show_outlook(struct control *control, struct visitor *visitor)
{
	struct str text = {0};
	int fd;

	outlook_write(control->roster, control->started_s, is_lent, control, &text);
	fd = fs_sealed("outlook", text.data, text.len, NULL);
	str_done(&text);
	if (fd >= 0)
		visitor_send_fd(visitor, VISIT_OUTLOOK, fd);
	fs_close(fd);
	visitor_end(visitor);
}

static void serve(struct control *control, struct visitor *visitor, const char *words, const char *end)
{
	const char *argument = control_next_word(words);

	visitor->asked = true;
	if (control->roster->closed)
		control_refuse(visitor, control->roster->service->short_of_room
						? "the disk that holds the state is full: make room, and the daemon goes on within a minute"
						: "the daemon is leaving");
	else if (strcmp(words, "run") == 0 && argument < end)
		control_run(control, visitor, argument, end);
	else if (strcmp(words, "claim") == 0 && argument < end && control_next_word(argument) == end)
		claim(control, visitor, argument);
	else if (strcmp(words, "outlook") == 0 && argument == end)
		show_outlook(control, visitor);
	else
		control_refuse(visitor, "the daemon does not understand this request, which may be one of a newer mailhaul: restart the daemon");
}

/* -- visitors -- */

static void dismiss(struct control *control, struct visitor *visitor)
{
	char returned[NAME_BYTES];
	struct post *post;
	unsigned i = 0;

	snprintf(returned, sizeof(returned), "%s", visitor->claim);
	while (control->visitors[i] != visitor)
		i++;
	/* In order: who came first is first. */
	memmove(&control->visitors[i], &control->visitors[i + 1], (--control->count - i) * sizeof(control->visitors[0]));
	visitor_free(visitor);
	post = returned[0] != '\0' ? roster_find(control->roster, returned) : NULL;
	control_grant(control, returned);
	if (post != NULL && !control_is_lent(control, returned))
		roster_want(control->roster, post, false); /* it was changed, most likely so that something happens */
}

static int on_visitor(sd_event_source *source, int fd, uint32_t events, void *context)
{
	static char request[VISIT_REQUEST_MAX];
	struct visitor *visitor = context;
	struct control *control = visitor->control;
	struct roster *roster = control->roster;
	int len = 0;

	(void)source;
	(void)fd;
	visitor_flush(visitor);
	if ((events & (EPOLLIN | EPOLLHUP)) != 0)
		len = visitor_read(visitor, request, sizeof(request));
	if (len > 0 && visitor->asked)
		len = -1; /* one visit, one request */
	if (len > 0)
		serve(control, visitor, request, request + len);
	if (len < 0)
		dismiss(control, visitor);
	roster_fill(roster);
	return 0;
}

static bool is_welcome(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static int on_arrival(sd_event_source *source, int listener, uint32_t events, void *context)
{
	struct control *control = context;
	struct visitor *visitor;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)source;
	(void)events;
	if (fd < 0)
		return 0;
	if (!is_welcome(fd)) {
		fs_close(fd);
		return 0;
	}
	visitor = visitor_new(control, control->roster->service->event, fd, on_visitor);
	if (visitor == NULL)
		return 0;
	if (control->count == CONTROL_VISITORS_MAX) {
		control_refuse(visitor, "too many commands talk to the daemon at once: try again later");
		visitor_free(visitor);
		return 0;
	}
	control->visitors[control->count++] = visitor;
	return 0;
}

/* -- the socket -- */

/* By descriptor: the path of the state directory may be longer than the address of a socket. */
static int bind_in(int dir_fd, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (unlinkat(dir_fd, CONTROL_FILE, 0) < 0 && faccessat(dir_fd, CONTROL_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, CONTROL_FILE);
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return listen(fd, BACKLOG);
}

int control_open(struct roster *roster, struct control **ret_control, struct error *err)
{
	struct control *control = xcalloc(1, sizeof(*control));

	control->roster = roster;
	control->started_s = clock_wall_s();
	control->dir_fd = state_dir_fd(roster->service->state);
	control->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	*ret_control = control;
	if (control->fd < 0 || bind_in(control->dir_fd, control->fd) < 0)
		return error_errno(err, SCOPE_PROGRAM, "cannot make the socket %s in the state directory", CONTROL_FILE);
	if (sd_event_add_io(roster->service->event, &control->event, control->fd, EPOLLIN, on_arrival, control) < 0)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "cannot watch the socket %s", CONTROL_FILE);
	return 0;
}

void control_close(struct control *control)
{
	if (control == NULL)
		return;
	while (control->count != 0)
		visitor_free(control->visitors[--control->count]);
	if (control->event != NULL)
		unlinkat(control->dir_fd, CONTROL_FILE, 0);
	sd_event_source_disable_unref(control->event);
	fs_close(control->fd);
	free(control);
}
