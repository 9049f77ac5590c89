/* reference.c - the least that a client can do: the floor that mailhaul is measured against. Keeps nothing, checks nothing but tagged replies.
 *
 *   reference fetch CA_FILE PORT USER            LOGIN, SELECT and one UID FETCH of everything in one flight; the mail is thrown away
 *   reference look CA_FILE PORT PREFIX N AT_ONCE connects to N mailboxes PREFIX0, PREFIX1..., AT_ONCE at a time, logs in, selects and leaves
 *
 * The server is localhost, the password "secret". Leaves with 1 if any mailbox could not be read. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)256 * 1024)

static SSL_CTX *make_context(const char *ca_file)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_load_verify_file(context, ca_file) != 1) {
		fprintf(stderr, "cannot use %s\n", ca_file);
		exit(1);
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return context;
}

/* NULL: it did not work. */
static SSL *open_session(SSL_CTX *context, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	SSL *session = SSL_new(context);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (session != NULL && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && SSL_set_fd(session, fd) == 1 &&
		SSL_set1_host(session, "localhost") == 1 && SSL_connect(session) == 1)
		return session;
	SSL_free(session);
	close(fd);
	return NULL;
}

static void close_session(SSL *session)
{
	int fd = SSL_get_fd(session);

	SSL_free(session);
	close(fd);
}

/* Reads until a line begins with tag. The last bytes of each read are kept, so that a tag which is torn is found all the same. */
static bool read_until(SSL *session, const char *tag)
{
	static char buffer[BUFFER_BYTES + 1];
	size_t kept = 0, wanted = strlen(tag), got;

	while (SSL_read_ex(session, buffer + kept, BUFFER_BYTES - kept, &got) == 1) {
		size_t len = kept + got;

		buffer[len] = '\0';
		/* Only the end of what came can be the last reply; within mail the tag does not occur. */
		if (memmem(buffer, len, tag, wanted) != NULL)
			return true;
		kept = len < wanted ? len : wanted;
		memmove(buffer, buffer + len - kept, kept);
	}
	return false;
}

static bool run(SSL_CTX *context, int port, const char *user, const char *last_commands, const char *last_tag)
{
	SSL *session = open_session(context, port);
	char commands[512];
	size_t written;
	bool well;
	int len;

	if (session == NULL)
		return false;
	len = snprintf(commands, sizeof(commands), "a1 LOGIN %s secret\r\na2 SELECT INBOX\r\n%s", user, last_commands);
	well = SSL_write_ex(session, commands, (size_t)len, &written) == 1 && read_until(session, last_tag);
	close_session(session);
	return well;
}

static int look(SSL_CTX *context, int port, const char *prefix, int count, int at_once)
{
	int failed = 0, status;

	for (int first = 0; first < at_once; first++) {
		if (fork() != 0)
			continue;
		for (int i = first; i < count; i += at_once) {
			char user[128];

			snprintf(user, sizeof(user), "%s%d", prefix, i);
			if (!run(context, port, user, "a3 LOGOUT\r\n", "\r\na3 OK"))
				failed = 1;
		}
		_exit(failed);
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}

int main(int argc, char **argv)
{
	SSL_CTX *context;

	if (argc == 5 && strcmp(argv[1], "fetch") == 0) {
		context = make_context(argv[2]);
		return run(context, atoi(argv[3]), argv[4], "a3 UID FETCH 1:* (UID BODY.PEEK[])\r\na4 LOGOUT\r\n", "\r\na3 OK") ? 0 : 1;
	}
	if (argc == 7 && strcmp(argv[1], "look") == 0) {
		context = make_context(argv[2]);
		return look(context, atoi(argv[3]), argv[4], atoi(argv[5]), atoi(argv[6]));
	}
	fprintf(stderr, "usage: reference fetch CA_FILE PORT USER | reference look CA_FILE PORT PREFIX N AT_ONCE\n");
	return 64;
}
