/* test-tls.c - TLS as a client, against a server of our own in a child process for every case. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "net/certificate.h"
#include "net/stream.h"
#include "net/tls-fault.h"
#include "net/tls-trust.h"
#include "net/wire.h"
#include "tests/lib/certificate.h"

#define HOST "mail.example.org"
#define DAY 86400L
#define SERVER_S 20 /* a server that nobody leaves ends itself */

/* authority: the tests' own, in SSL_CERT_DIR. stranger: another one of the same kind, which nobody trusts. */
static struct certificate authority, stranger;
static char *authority_pem, *stranger_pem;
static char trust_directory[] = "/tmp/mailhaul-trust-XXXXXX", trust_file[64];

struct server {
	const struct certificate *leaf;
	const struct certificate *intermediate; /* sent along */
	int max_version;                        /* 0: any */
	bool wants_certificate;
	void (*instead)(int fd); /* of TLS */
	void (*after)(SSL *ssl); /* the handshake; NULL: waits for the client to leave */
	pid_t child;
};

static void until_the_client_leaves(SSL *ssl)
{
	char buffer[4096];

	while (SSL_read(ssl, buffer, sizeof(buffer)) > 0)
		;
}

static void serve(const struct server *server, int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	alarm(SERVER_S);
	if (server->instead != NULL) {
		server->instead(fd);
		_exit(0);
	}
	SSL_CTX_use_certificate(context, server->leaf->x509);
	SSL_CTX_use_PrivateKey(context, server->leaf->key);
	if (server->intermediate != NULL)
		SSL_CTX_add1_chain_cert(context, server->intermediate->x509);
	if (server->max_version != 0)
		SSL_CTX_set_max_proto_version(context, server->max_version);
	if (server->max_version != 0 && server->max_version < TLS1_2_VERSION)
		SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
	if (server->wants_certificate)
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) != 1)
		_exit(1);
	(server->after != NULL ? server->after : until_the_client_leaves)(ssl);
	_exit(0);
}

static struct stream *start(struct server *server)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	server->child = fork();
	if (server->child == 0) {
		close(fds[0]);
		serve(server, fds[1]);
	}
	close(fds[1]);
	return stream_socket(fds[0]);
}

static void stop(struct server *server, struct stream *stream)
{
	stream_close(stream);
	assert_int_equal(waitpid(server->child, NULL, 0), server->child);
}

static int handshake(struct stream **stream, const struct tls_settings *settings, struct tls_summary *summary, struct error *err)
{
	return tls_start(stream, settings, deadline_in_s(SERVER_S), NULL, summary, err);
}

/* One handshake and nothing else: NULL, or the error, which must say where it belongs. */
static const char *try(struct server *server, const struct tls_settings *settings)
{
	static struct error err;
	struct stream *plain = start(server), *stream = plain;
	int result = handshake(&stream, settings, NULL, &err);

	if (result == 0)
		assert_ptr_not_equal(stream, plain);
	else
		assert_ptr_equal(stream, plain);
	stop(server, stream);
	if (result < 0)
		assert_int_equal(err.kind, ERR_TLS);
	return result == 0 ? NULL : err.text;
}

static void assert_outcome(const char *said, const char *expected, const char *what)
{
	if ((said == NULL) != (expected == NULL) || (said != NULL && strstr(said, expected) == NULL))
		fail_msg("%s: \"%s\" instead of \"%s\"", what, said != NULL ? said : "fine", expected != NULL ? expected : "fine");
}

static struct certificate leaf_for(const char *alt_names)
{
	return certificate_make(&(struct certificate_spec){.name = HOST, .alt_names = alt_names, .issuer = &authority});
}

/* RFC 9525. The common name is mail.example.org throughout, and never counts. */
static void the_name_must_be_in_the_certificate(void **state)
{
	static const struct {
		const char *host, *alt_names, *error;
	} cases[] = {
		{HOST, "DNS:mail.example.org", NULL},
		{"MAIL.example.org", "DNS:mail.EXAMPLE.org", NULL},
		{HOST, "DNS:a.example.org,DNS:mail.example.org", NULL},
		{HOST, "DNS:*.example.org", NULL},
		{"xn--bcher-kva.example", "DNS:xn--bcher-kva.example", NULL},
		{"127.0.0.1", "IP:127.0.0.1", NULL},
		{"::1", "IP:::1", NULL},
		{HOST, "DNS:www.example.org", "not for mail.example.org but for www.example.org: is the host name right?"},
		{HOST, "DNS:a.example,DNS:b.example,IP:10.0.0.1,DNS:c.example,DNS:d.example", "but for a.example, b.example, 10.0.0.1 and 2 more"},
		{HOST, NULL, "names no host at all (only its old subject \"CN=mail.example.org\""},
		{HOST, "email:anna@mail.example.org", "names no host at all"},
		{HOST, "DNS:example.org", "but for example.org"},
		{"a.mail.example.org", "DNS:*.example.org", "but for *.example.org"},
		{"example.org", "DNS:*.example.org", "but for *.example.org"},
		{"example.org", "DNS:*.org", "but for *.org"},
		{HOST, "DNS:m*.example.org", "but for m*.example.org"},
		{HOST, "DNS:mail.*.org", "but for mail.*.org"},
		{HOST, "DNS:*", "but for *"},
		{HOST, "DNS:mail.example.org.evil.example", "but for mail.example.org.evil.example"},
		{"xn--bcher-kva.example", "DNS:b\303\274cher.example", "but for b\\xC3\\xBCcher.example"},
		{"127.0.0.1", "DNS:127.0.0.1", "but for 127.0.0.1"},
		{"127.0.0.1", "DNS:*.0.0.1", "but for *.0.0.1"},
		{"127.0.0.1", "IP:127.0.0.2", "not for 127.0.0.1 but for 127.0.0.2"},
		{HOST, "IP:127.0.0.1", "but for 127.0.0.1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct certificate leaf = leaf_for(cases[i].alt_names);
		struct server server = {.leaf = &leaf};

		assert_outcome(try(&server, &(struct tls_settings){.host = cases[i].host, .ca_pem = authority_pem}), cases[i].error, cases[i].host);
		certificate_free(&leaf);
	}
}

static void somebody_trusted_must_vouch_for_it(void **state)
{
	const struct certificate_spec specs[] = {
		{.name = HOST, .alt_names = "DNS:" HOST, .issuer = &authority},
		{.name = HOST, .alt_names = "DNS:" HOST, .issuer = &stranger},
		{.name = HOST, .alt_names = "DNS:" HOST},
		{.name = HOST, .alt_names = "DNS:" HOST, .issuer = &authority, .from_s = -10 * DAY, .until_s = -3 * DAY},
		{.name = HOST, .alt_names = "DNS:" HOST, .issuer = &authority, .from_s = 3 * DAY, .until_s = 10 * DAY},
	};
	const struct {
		unsigned spec;
		const char *ca_pem;
		const struct certificate *intermediate;
		const char *error;
	} cases[] = {
		{0, NULL, NULL, NULL}, /* the authority is in the system's directory, so to speak */
		{0, authority_pem, NULL, NULL},
		{0, stranger_pem, NULL, "comes from \"CN=Test Authority\", which this computer does not trust: name a private authority in ca_file"},
		{1, NULL, NULL, "comes from \"CN=Stranger \\x1B[2J\", which this computer does not trust"},
		{1, NULL, &stranger, "comes from \"CN=Stranger \\x1B[2J\", which this computer does not trust"},
		{1, authority_pem, NULL, "which this computer does not trust"},
		{1, stranger_pem, NULL, NULL},
		{2, NULL, NULL, "has a self-signed certificate, which anybody can make; if you know it to be the right one, write \"pin_sha256: "},
		{3, NULL, NULL, "the certificate of mail.example.org expired on 20"},
		{4, NULL, NULL, "the certificate of mail.example.org is valid only from 20"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct certificate leaf = certificate_make(&specs[cases[i].spec]);
		struct server server = {.leaf = &leaf, .intermediate = cases[i].intermediate};
		char what[16];

		snprintf(what, sizeof(what), "case %zu", i);
		assert_outcome(try(&server, &(struct tls_settings){.host = HOST, .ca_pem = cases[i].ca_pem}), cases[i].error, what);
		certificate_free(&leaf);
	}
}

static void an_authority_can_expire_too(void **state)
{
	struct certificate old = certificate_make(&(struct certificate_spec){.name = "Old", .from_s = -9 * DAY, .until_s = -DAY});
	struct certificate leaf = certificate_make(&(struct certificate_spec){.name = HOST, .alt_names = "DNS:" HOST, .issuer = &old});
	struct server server = {.leaf = &leaf};
	char *pem = certificate_pem(&old);

	(void)state;
	assert_outcome(try(&server, &(struct tls_settings){.host = HOST, .ca_pem = pem}),
		"a certificate in the chain of mail.example.org expired on 20", "expired authority");
	free(pem);
	certificate_free(&leaf);
	certificate_free(&old);
}

/* The server's own certificate in ca_file: nobody else may vouch for it. */
static void ca_file_may_hold_the_server_itself(void **state)
{
	struct certificate own = certificate_make(&(struct certificate_spec){.name = HOST, .alt_names = "DNS:" HOST});
	struct certificate other = certificate_make(&(struct certificate_spec){.name = HOST, .alt_names = "DNS:" HOST});
	struct certificate issued = leaf_for("DNS:" HOST);
	struct server good = {.leaf = &own}, bad = {.leaf = &other}, partial = {.leaf = &issued};
	char *pem = certificate_pem(&own), *issued_pem = certificate_pem(&issued);

	(void)state;
	assert_outcome(try(&good, &(struct tls_settings){.host = HOST, .ca_pem = pem}), NULL, "own");
	assert_outcome(try(&good, &(struct tls_settings){.host = "other.example", .ca_pem = pem}), "not for other.example", "own, other name");
	assert_non_null(try(&bad, &(struct tls_settings){.host = HOST, .ca_pem = pem}));
	assert_outcome(try(&partial, &(struct tls_settings){.host = HOST, .ca_pem = issued_pem}), NULL, "issued");
	free(pem);
	free(issued_pem);
	certificate_free(&own);
	certificate_free(&other);
	certificate_free(&issued);
}

static void ca_file_must_hold_certificates(void **state)
{
	static const struct {
		const char *pem, *error;
	} cases[] = {
		{"", "holds no certificate"},
		{"hello\n", "holds no certificate"},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"},
		{"-----BEGIN CERTIFICATE-----\n", "cannot be read"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct stream *stream = stream_memory("", 0, 1), *same = stream;
		struct error err = {0};

		assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST, .ca_pem = cases[i].pem}, NULL, &err), -1);
		assert_int_equal(err.kind, ERR_CONFIG);
		assert_non_null(strstr(err.text, cases[i].error));
		assert_ptr_equal(stream, same);
		stream_close(stream);
	}
}

static void pins_replace_the_chain_or_come_on_top(void **state)
{
	struct certificate self = certificate_make(&(struct certificate_spec){.name = "box", .from_s = -9 * DAY, .until_s = -DAY});
	struct certificate issued = leaf_for("DNS:" HOST);
	char self_pin[PIN_LENGTH + 1], issued_pin[PIN_LENGTH + 1], upper[PIN_LENGTH + 1], wrong[PIN_LENGTH + 1], expected[200];
	char *const right_pins[] = {self_pin, NULL}, *const two_pins[] = {wrong, self_pin, NULL}, *const wrong_pins[] = {wrong, NULL};
	char *const upper_pins[] = {upper, NULL}, *const issued_pins[] = {issued_pin, NULL}, *const no_pins[] = {NULL};
	struct server selfish = {.leaf = &self}, proper = {.leaf = &issued};
	const struct {
		struct server *server;
		struct tls_settings settings;
		const char *error;
	} cases[] = {
		{&selfish, {.host = HOST, .pins = right_pins}, NULL}, /* although self-signed, expired, and for nobody */
		{&selfish, {.host = HOST, .pins = two_pins}, NULL},
		{&selfish, {.host = HOST, .pins = upper_pins}, NULL},
		{&selfish, {.host = HOST, .pins = wrong_pins}, expected},
		{&selfish, {.host = HOST, .pins = no_pins}, "self-signed"},
		{&selfish, {.host = HOST, .pins = right_pins, .ca_pem = authority_pem}, "self-signed"},
		{&proper, {.host = HOST, .pins = issued_pins, .ca_pem = authority_pem}, NULL},
		{&proper, {.host = HOST, .pins = wrong_pins, .ca_pem = authority_pem}, "is not the one pinned"},
		{&proper, {.host = HOST, .pins = issued_pins, .ca_pem = stranger_pem}, "does not trust"},
		{&proper, {.host = "other.example", .pins = issued_pins, .ca_pem = authority_pem}, "not for other.example"},
		{&proper, {.host = HOST, .pins = wrong_pins}, "is not the one pinned"},
	};

	(void)state;
	certificate_pin(self_pin, self.x509);
	certificate_pin(issued_pin, issued.x509);
	memset(wrong, '0', PIN_LENGTH);
	wrong[PIN_LENGTH] = '\0';
	for (size_t i = 0; i <= PIN_LENGTH; i++)
		upper[i] = self_pin[i] >= 'a' ? (char)(self_pin[i] - 32) : self_pin[i];
	snprintf(expected, sizeof(expected), "the key of mail.example.org is not the one pinned: it has pin_sha256 %s;", self_pin);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char what[16];

		snprintf(what, sizeof(what), "case %zu", i);
		assert_outcome(try(cases[i].server, &cases[i].settings), cases[i].error, what);
	}
	certificate_free(&self);
	certificate_free(&issued);
}

static void speaks_no_old_versions(void **state)
{
	static const struct {
		int version;
		const char *name, *error;
	} cases[] = {
		{TLS1_VERSION, NULL, "mail.example.org speaks only versions of TLS that are too old to be safe"},
		{TLS1_1_VERSION, NULL, "mail.example.org speaks only versions of TLS that are too old to be safe"},
		{TLS1_2_VERSION, "TLSv1.2", NULL},
		{TLS1_3_VERSION, "TLSv1.3", NULL},
	};
	struct certificate leaf = leaf_for("DNS:" HOST);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server server = {.leaf = &leaf, .max_version = cases[i].version};
		struct stream *stream = start(&server);
		struct tls_summary summary = {.not_after_s = 0};
		struct error err = {0};
		int result = handshake(&stream, &(struct tls_settings){.host = HOST}, &summary, &err);

		assert_outcome(result == 0 ? NULL : err.text, cases[i].error, cases[i].name != NULL ? cases[i].name : "old");
		if (result == 0) {
			char pin[PIN_LENGTH + 1];

			certificate_pin(pin, leaf.x509);
			assert_string_equal(summary.version, cases[i].name);
			assert_true(strlen(summary.cipher) > 4);
			assert_string_equal(summary.subject, "CN=mail.example.org");
			assert_string_equal(summary.issuer, "CN=Test Authority");
			assert_string_equal(summary.pin, pin);
			assert_true(llabs(summary.not_after_s - clock_wall_s() - DAY) < 60);
		}
		stop(&server, stream);
	}
	certificate_free(&leaf);
}

static void greet_in_the_clear(int fd)
{
	char byte;

	(void)fs_write_all(fd, "+OK \033POP3 server ready\r\nsecond line", 36);
	while (read(fd, &byte, 1) > 0)
		;
}

static void hang_up(int fd)
{
	char buffer[4096];

	(void)!read(fd, buffer, sizeof(buffer));
}

static void say_nothing(int fd)
{
	char buffer[4096];

	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
}

static void explains_a_peer_without_tls(void **state)
{
	struct server plain = {.instead = greet_in_the_clear};

	(void)state;
	assert_outcome(try(&plain, &(struct tls_settings){.host = HOST}),
		"mail.example.org does not speak TLS on this port (it says \"+OK \\x1BPOP3 server ready\"): the port is wrong, or it needs \"tls: "
		"starttls\"",
		"plain");
}

static void a_lost_or_silent_peer_is_temporary(void **state)
{
	struct server rude = {.instead = hang_up}, mute = {.instead = say_nothing};
	struct stream *stream = start(&rude);
	struct error err = {0};

	(void)state;
	assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST}, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_string_equal(err.text, "mail.example.org ended the connection in the middle of the TLS handshake (it hung up)");
	stop(&rude, stream);
	stream = start(&mute);
	assert_int_equal(tls_start(&stream, &(struct tls_settings){.host = HOST}, deadline_in_s(0.02), NULL, NULL, &err), -1);
	assert_int_equal(err.kind, ERR_TEMP);
	assert_non_null(strstr(err.text, "mail.example.org did not finish the TLS handshake in time"));
	stop(&mute, stream);
}

static void say_whom_the_client_asked_for(SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char line[100];

	snprintf(line, sizeof(line), "%s\r\n", name != NULL ? name : "nobody");
	SSL_write(ssl, line, (int)strlen(line));
	until_the_client_leaves(ssl);
}

static void asks_for_the_host_by_name(void **state)
{
	static const struct {
		const char *host, *heard;
	} cases[] = {{HOST, HOST}, {"127.0.0.1", "nobody"}, {"::1", "nobody"}};
	struct certificate leaf = leaf_for("DNS:" HOST ",IP:127.0.0.1,IP:::1");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server server = {.leaf = &leaf, .after = say_whom_the_client_asked_for};
		struct stream *stream = start(&server);
		struct error err = {0};
		struct wire *wire;
		size_t len;
		char *line;

		assert_int_equal(handshake(&stream, &(struct tls_settings){.host = cases[i].host}, NULL, &err), 0);
		wire = wire_new(stream, NULL, 100);
		assert_int_equal(wire_line(wire, &line, &len, &err), 0);
		assert_string_equal(line, cases[i].heard);
		wire_free(wire);
		stop(&server, NULL);
	}
	certificate_free(&leaf);
}

/* Reads everything; the end. */
static ssize_t read_out(struct stream *stream, size_t *ret_len, struct error *err)
{
	char buffer[1000];
	ssize_t n;

	*ret_len = 0;
	while ((n = stream_read(stream, buffer, sizeof(buffer), err)) >= 0) {
		struct pollfd fd = {.fd = stream->fd, .events = stream->want};

		*ret_len += (size_t)n;
		if (n == STREAM_AGAIN)
			poll(&fd, 1, SERVER_S * 1000);
	}
	return n;
}

static void speak_and_cut(SSL *ssl)
{
	SSL_write(ssl, "half a message", 14);
}

static void speak_and_close(SSL *ssl)
{
	SSL_write(ssl, "whole message!", 14);
	SSL_shutdown(ssl);
}

static void an_end_that_tls_did_not_announce_is_a_cut(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct certificate leaf = leaf_for("DNS:" HOST);

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(versions); i++) {
		bool orderly = i % 2 == 1;
		struct server server = {.leaf = &leaf, .max_version = versions[i / 2], .after = orderly ? speak_and_close : speak_and_cut};
		struct stream *stream = start(&server);
		struct error err = {0};
		size_t len;

		assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST}, NULL, &err), 0);
		assert_int_equal(read_out(stream, &len, &err), orderly ? STREAM_END : STREAM_FAILED);
		assert_int_equal(len, 14);
		if (!orderly) {
			assert_int_equal(err.kind, ERR_TEMP);
			assert_non_null(strstr(err.text, "the connection was cut"));
		}
		stop(&server, stream);
	}
	certificate_free(&leaf);
}

static void tells_an_alert_after_the_handshake(void **state)
{
	struct certificate leaf = leaf_for("DNS:" HOST);
	struct server server = {.leaf = &leaf, .max_version = TLS1_3_VERSION, .wants_certificate = true};
	struct stream *stream = start(&server);
	struct error err = {0};
	size_t len;

	(void)state;
	assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST}, NULL, &err), 0);
	assert_int_equal(read_out(stream, &len, &err), STREAM_FAILED);
	assert_int_equal(err.kind, ERR_TLS);
	assert_non_null(strstr(err.text, "certificate required"));
	stop(&server, stream);
	certificate_free(&leaf);
}

static void ask_to_renegotiate(SSL *ssl)
{
	SSL_renegotiate(ssl);
	SSL_do_handshake(ssl);
	SSL_write(ssl, "after\r\n", 7);
	until_the_client_leaves(ssl);
}

static void does_not_renegotiate(void **state)
{
	struct certificate leaf = leaf_for("DNS:" HOST);
	struct server server = {.leaf = &leaf, .max_version = TLS1_2_VERSION, .after = ask_to_renegotiate};
	struct stream *stream = start(&server);
	struct error err = {0};
	struct wire *wire;
	size_t len;
	char *line;

	(void)state;
	assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST}, NULL, &err), 0);
	wire = wire_new(stream, NULL, 100);
	wire_set_deadline(wire, deadline_in_s(SERVER_S));
	if (wire_line(wire, &line, &len, &err) == 0) /* the server may go on, or give up; we never hang */
		assert_string_equal(line, "after");
	else
		assert_string_not_equal(err.text, "the server did not answer in time");
	wire_free(wire);
	stop(&server, NULL);
	certificate_free(&leaf);
}

#define ECHO_LINES 20000

/* Takes everything before it answers, so that both directions fill their buffers. */
static void echo_lines(SSL *ssl)
{
	static char bytes[ECHO_LINES * 10];
	size_t got = 0, n;

	while (got < sizeof(bytes) && SSL_read_ex(ssl, bytes + got, sizeof(bytes) - got, &n) == 1)
		got += n;
	for (size_t sent = 0; sent < got; sent += n)
		if (SSL_write_ex(ssl, bytes + sent, got - sent, &n) != 1)
			return;
	SSL_shutdown(ssl);
}

static void a_wire_carries_much_over_tls(void **state)
{
	struct certificate leaf = leaf_for("DNS:" HOST);
	struct server server = {.leaf = &leaf, .after = echo_lines};
	struct stream *stream = start(&server);
	struct error err = {0};
	struct wire *wire;
	size_t len;
	char *line, expected[16];

	(void)state;
	assert_int_equal(handshake(&stream, &(struct tls_settings){.host = HOST}, NULL, &err), 0);
	wire = wire_new(stream, NULL, 100);
	wire_set_deadline(wire, deadline_in_s(SERVER_S));
	assert_false(wire_has_input(wire)); /* session tickets are no input */
	for (int i = 0; i < ECHO_LINES; i++)
		wire_addf(wire, "%08d\r\n", i);
	assert_int_equal(wire_flush(wire, &err), 0);
	for (int i = 0; i < ECHO_LINES; i++) {
		assert_int_equal(wire_line(wire, &line, &len, &err), 0);
		snprintf(expected, sizeof(expected), "%08d", i);
		assert_string_equal(line, expected);
	}
	assert_int_equal(wire_line(wire, &line, &len, &err), -1);
	assert_string_equal(err.text, "the server closed the connection");
	wire_free(wire);
	stop(&server, NULL);
	certificate_free(&leaf);
}

static void blames_the_clock_when_it_must_be_wrong(void **state)
{
	struct tls_fault_certificate bad = {.host = HOST, .leaf = authority.x509, .current = authority.x509};
	static const struct {
		long code;
		int64_t now_s;
		const char *error;
	} cases[] = {
		{X509_V_ERR_CERT_NOT_YET_VALID, 0, "the clock of this computer says 1970-01-01, which cannot be right"},
		{X509_V_ERR_CERT_HAS_EXPIRED, 4102444800, "the clock of this computer says 2100-01-01, which cannot be right"},
		{X509_V_ERR_CERT_HAS_EXPIRED, 1800000000, "(today is 2027-01-15): whoever runs the server has to renew it"},
		{X509_V_ERR_INVALID_PURPOSE, 1800000000, "the certificate of mail.example.org cannot be trusted: "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = {0};

		bad.code = cases[i].code;
		bad.now_s = cases[i].now_s;
		assert_int_equal(tls_fault_certificate(&bad, &err), -1);
		assert_int_equal(err.kind, ERR_TLS);
		assert_non_null(strstr(err.text, cases[i].error));
	}
}

/* However long the names are: the text ends with what to do, not in the middle. */
static void long_names_leave_room_for_the_advice(void **state)
{
	char host[254];
	struct tls_fault_certificate bad = {.host = host, .leaf = stranger.x509, .current = stranger.x509, .now_s = 1800000000};
	static const struct {
		long code;
		const char *end;
	} cases[] = {
		{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "\""},
		{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "lacks an intermediate certificate"},
		{X509_V_ERR_HOSTNAME_MISMATCH, "x"},
		{X509_V_ERR_CERT_HAS_EXPIRED, "whoever runs the server has to renew it"},
		{X509_V_ERR_CERT_NOT_YET_VALID, "is the clock right?"},
	};
	struct error err;

	(void)state;
	memset(host, 'x', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bad.code = cases[i].code;
		tls_fault_certificate(&bad, &err);
		assert_string_equal(err.text + strlen(err.text) - strlen(cases[i].end), cases[i].end);
		assert_true(strlen(err.text) < sizeof(err.text) - 1);
	}
	tls_fault_pin(host, stranger.x509, &err);
	assert_string_equal(err.text + strlen(err.text) - 11, "has changed");
	tls_fault_not_tls(host, host, &err);
	assert_string_equal(err.text + strlen(err.text) - 15, "\"tls: starttls\"");
}

/* The last of all: it is kept for good. */
static void what_is_kept_is_trusted_as_what_is_read(void **state)
{
	tls_trust_keep(authority_pem);
	tls_trust_keep(stranger_pem);
	tls_trust_keep("hello\n");
	for (unsigned round = 0; round < 2; round++)
		somebody_trusted_must_vouch_for_it(state);
	ca_file_must_hold_certificates(state);
	for (unsigned i = 0; i < TLS_TRUST_KEPT_MAX; i++) /* no more than there is room for */
		tls_trust_keep(authority_pem);
	somebody_trusted_must_vouch_for_it(state);
}

static void knows_where_its_trust_lies(void **state)
{
	const char *const *at = tls_trust_directories();
	bool found = false;

	(void)state;
	for (; *at != NULL; at++) {
		assert_int_equal((*at)[0], '/');
		assert_int_equal(access(*at, R_OK), 0);
		found |= strcmp(*at, trust_directory) == 0;
	}
	assert_true(found);
	assert_true(tls_trust_has_system());
}

/* The trust store is a hashed directory of our own. */
static int set_up(void **state)
{
	FILE *file;
	struct error err = {0};

	(void)state;
	authority = certificate_make(&(struct certificate_spec){.name = "Test Authority"});
	stranger = certificate_make(&(struct certificate_spec){.name = "Stranger \033[2J"});
	authority_pem = certificate_pem(&authority);
	stranger_pem = certificate_pem(&stranger);
	if (mkdtemp(trust_directory) == NULL)
		return -1;
	snprintf(trust_file, sizeof(trust_file), "%s/%08lx.0", trust_directory, X509_subject_name_hash(authority.x509));
	file = fopen(trust_file, "w");
	if (file == NULL || fputs(authority_pem, file) < 0 || fclose(file) != 0)
		return -1;
	setenv("SSL_CERT_DIR", trust_directory, 1);
	return tls_warm_up(&err);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(trust_file);
	rmdir(trust_directory);
	free(authority_pem);
	free(stranger_pem);
	certificate_free(&authority);
	certificate_free(&stranger);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_must_be_in_the_certificate),
		cmocka_unit_test(somebody_trusted_must_vouch_for_it),
		cmocka_unit_test(an_authority_can_expire_too),
		cmocka_unit_test(ca_file_may_hold_the_server_itself),
		cmocka_unit_test(ca_file_must_hold_certificates),
		cmocka_unit_test(pins_replace_the_chain_or_come_on_top),
		cmocka_unit_test(speaks_no_old_versions),
		cmocka_unit_test(explains_a_peer_without_tls),
		cmocka_unit_test(a_lost_or_silent_peer_is_temporary),
		cmocka_unit_test(asks_for_the_host_by_name),
		cmocka_unit_test(an_end_that_tls_did_not_announce_is_a_cut),
		cmocka_unit_test(tells_an_alert_after_the_handshake),
		cmocka_unit_test(does_not_renegotiate),
		cmocka_unit_test(a_wire_carries_much_over_tls),
		cmocka_unit_test(blames_the_clock_when_it_must_be_wrong),
		cmocka_unit_test(long_names_leave_room_for_the_advice),
		cmocka_unit_test(knows_where_its_trust_lies),
		cmocka_unit_test(what_is_kept_is_trusted_as_what_is_read),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
