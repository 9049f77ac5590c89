/* test-peer.c - the scripted server itself: it must notice every departure from its script, or the flow tests prove nothing. */
#include "tests/lib/peer.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/mem.h"
#include "base/str.h"

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(int fd, const char *text)
{
	char got[200];
	size_t len = 0;

	assert_true(strlen(text) < sizeof(got));
	while (len < strlen(text)) {
		ssize_t n = recv(fd, got + len, strlen(text) - len, 0);

		assert_true(n > 0);
		len += (size_t)n;
	}
	assert_memory_equal(got, text, strlen(text));
}

static void follows_a_whole_script(void **state)
{
	static const struct step login[] = {C("%1 LOGIN *"), S("%1 OK in"), END};
	static const struct step script[] = {
		S("* OK 100%"),
		PLAY(login),
		C("%2 UID FETCH 1:* (UID)"),
		QUIET,
		RAW("a\0b"),
		S("%2 OK"),
		GET("abc"),
		READ(2),
		DOT,
		S("bye"),
		CLOSE,
		END,
	};

	(void)state;
	for (unsigned flags = PEER_WHOLE; flags <= PEER_BY_BYTE; flags++) {
		struct peer *peer = peer_start(script, flags);
		struct str received = {0};
		char byte, raw[3];

		hear(peer->fd, "* OK 100%\r\n");
		say(peer->fd, "x17 LOGIN anna secret\r\n");
		hear(peer->fd, "x17 OK in\r\n");
		say(peer->fd, "x18 UID FETCH 1:7 (UID)\r\n");
		for (size_t i = 0; i < sizeof(raw); i++)
			assert_int_equal(recv(peer->fd, &raw[i], 1, 0), 1);
		assert_memory_equal(raw, "a\0b", 3);
		hear(peer->fd, "x18 OK\r\n");
		say(peer->fd, "abc12body\r\n.\r\n");
		hear(peer->fd, "bye\r\n");
		assert_int_equal(recv(peer->fd, &byte, 1, 0), 0);
		close(peer->fd);
		peer_received(peer, &received);
		assert_string_equal(str_text(&received), "x17 LOGIN anna secret\r\nx18 UID FETCH 1:7 (UID)\r\nabc12body\r\n.\r\n");
		str_done(&received);
		peer_finish(peer);
	}
}

static void notices_every_departure(void **state)
{
	static const struct step user[] = {C("USER anna"), END};
	static const struct step quiet[] = {C("USER anna"), QUIET, S("+OK"), END};
	static const struct step exact[] = {GET("abc"), END};
	static const struct step count[] = {READ(4), END};
	static const struct step dot[] = {DOT, END};
	static const struct step wild[] = {C("a*b*c"), END};
	static const struct step word[] = {C("%1 a"), C("%1 b"), END};
	static const struct step silence[] = {SILENCE, END};
	static const struct step tls[] = {TLS, END};
	static const struct step no_tls[] = {TLS_FAILS, END};
	static const struct {
		const struct step *script;
		const char *sent;
		const char *problem; /* NULL: none */
	} cases[] = {
		{user, "USER anna\r\n", NULL},
		{user, "USER bert\r\n", "step 1 (C: USER anna): the client sent USER bert\\x0D\\x0A"},
		{user, "USER anna\n", "step 1 (C: USER anna): the client's line does not end with CRLF: USER anna\\x0A"},
		{user, "", "step 1 (C: USER anna): the client hung up"},
		{user, "USE", "step 1 (C: USER anna): the client hung up after USE"},
		{user, "USER anna\r\nPASS x\r\n", "step 2 (END): unexpected from the client: PASS x\\x0D\\x0A"},
		{quiet, "USER anna\r\nPASS x\r\n", "step 2 (QUIET): unexpected from the client: PASS x\\x0D\\x0A"},
		{exact, "abd", "step 1 (GET abc): differs at byte 2: d"},
		{exact, "ab", "step 1 (GET abc): the client hung up after 2 of 3 bytes"},
		{count, "ab", "step 1 (READ): the client hung up after 2 of 4 bytes"},
		{dot, "a\r\n.", "step 1 (DOT): the client hung up before its final dot"},
		{wild, "axbxbc\r\n", NULL},
		{wild, "abc\r\n", NULL},
		{wild, "axbxbcx\r\n", "step 1 (C: a*b*c): the client sent axbxbcx\\x0D\\x0A"},
		{word, "t1 a\r\nt1 b\r\n", NULL},
		{word, "t1 a\r\nt2 b\r\n", "step 2 (C: %1 b): the client sent t2 b\\x0D\\x0A"},
		{silence, "", NULL},
		{silence, "x", "step 1 (SILENCE): unexpected from the client: x"},
		{tls, "USER anna\r\n", "step 1 (TLS): the handshake failed"},
		{no_tls, "USER anna\r\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct peer *peer = peer_start(cases[i].script, PEER_WHOLE);
		const char *problem;

		say(peer->fd, cases[i].sent);
		shutdown(peer->fd, SHUT_WR);
		problem = peer_problem(peer);
		assert_string_equal(problem != NULL ? problem : "none", cases[i].problem != NULL ? cases[i].problem : "none");
		close(peer->fd);
		peer_free(peer);
	}
}

static void a_client_may_leave_what_is_poured(void **state)
{
	static char flood[1 << 20];
	const struct step pours[] = {POUR(flood, sizeof(flood)), END};
	const struct step sends[] = {BYTES(flood, sizeof(flood)), END};
	struct peer *peer;

	(void)state;
	peer = peer_start(pours, PEER_WHOLE);
	close(peer->fd);
	assert_null(peer_problem(peer));
	peer_finish(peer);
	peer = peer_start(sends, PEER_WHOLE);
	close(peer->fd);
	assert_non_null(peer_problem(peer));
	peer_free(peer);
}

static SSL *shake_hands(int fd, SSL_CTX *context, const char *host)
{
	SSL *ssl = SSL_new(context);

	SSL_set1_host(ssl, host);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_fd(ssl, fd);
	(void)SSL_connect(ssl);
	return ssl;
}

static void speaks_tls(void **state)
{
	static const struct step script[] = {S("go"), TLS, C("hello"), S("there"), CLOSE, END};
	static const struct step refused[] = {TLS_FAILS, END};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	BIO *pem = BIO_new_mem_buf(peer_ca_pem(), -1);
	X509 *ca = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	struct peer *peer = peer_start(script, PEER_BY_BYTE);
	char got[5];
	SSL *ssl;

	(void)state;
	X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca);
	hear(peer->fd, "go\r\n");
	ssl = shake_hands(peer->fd, context, PEER_HOST);
	assert_int_equal(SSL_get_verify_result(ssl), X509_V_OK);
	assert_int_equal(SSL_write(ssl, "hello\r\n", 7), 7);
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(SSL_read(ssl, got + i, 1), 1);
	assert_memory_equal(got, "there", 5);
	for (int i = 0; i < 2; i++)
		assert_int_equal(SSL_read(ssl, got, 1), 1);
	assert_int_equal(SSL_read(ssl, got, 1), 0);
	SSL_free(ssl);
	close(peer->fd);
	peer_finish(peer);

	peer = peer_start(refused, PEER_WHOLE);
	ssl = shake_hands(peer->fd, context, "other.example");
	assert_int_equal(SSL_get_verify_result(ssl), X509_V_ERR_HOSTNAME_MISMATCH);
	SSL_free(ssl);
	close(peer->fd);
	peer_finish(peer);
	X509_free(ca);
	BIO_free(pem);
	SSL_CTX_free(context);
}

static void listens(void **state)
{
	static const struct step script[] = {S("hi"), C("bye"), CLOSE, END};
	struct peer *peer = peer_start(script, PEER_LISTEN | PEER_BY_BYTE);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(peer->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(peer->fd, -1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	hear(fd, "hi\r\n");
	say(fd, "bye\r\n");
	peer_finish(peer);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_a_whole_script),
		cmocka_unit_test(notices_every_departure),
		cmocka_unit_test(a_client_may_leave_what_is_poured),
		cmocka_unit_test(speaks_tls),
		cmocka_unit_test(listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
