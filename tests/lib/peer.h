/* peer.h - a scripted server: plays a transcript against a real session, over a socket that exists before the client starts.
 * A child process plays the server's side in lock step with its script, so a test needs no sleep and no thread; it goes away by itself when the script is
 * over, when the client did something else than the script says, at its deadline, or with the test.
 *
 *	static const struct step script[] = {
 *		S("+OK ready"), C("CAPA"), S("+OK"), S("PIPELINING"), S("."),
 *		C("USER anna"), C("PASS *"), S("+OK"), S("+OK"),
 *		RAW("+OK\r\nSubject: x\r\n"), CLOSE, END,
 *	};
 *	struct peer *peer = peer_start(script, PEER_WHOLE);
 *	... run the client on peer->fd, which closes it ...
 *	peer_finish(peer);
 *
 * A line of the client may be given with wildcards: '*' stands for any bytes, %1 to %9 for a word that is remembered (an IMAP tag) and put in place of
 * %1 to %9 in later S() and C() steps. */
#ifndef MAILHAUL_TESTS_LIB_PEER_H
#define MAILHAUL_TESTS_LIB_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct str;

enum step_kind {
	STEP_END,
	STEP_SEND,
	STEP_SEND_LINE,
	STEP_POUR,
	STEP_EXPECT_LINE,
	STEP_EXPECT_BYTES,
	STEP_READ,
	STEP_READ_TO_DOT,
	STEP_DELETES,
	STEP_QUIET,
	STEP_TLS,
	STEP_TLS_FAILS,
	STEP_SILENCE,
	STEP_DRAIN,
	STEP_HANG,
	STEP_HERE,
	STEP_PAUSE,
	STEP_CLOSE,
	STEP_CUT,
	STEP_PLAY,
	STEP_NEXT,
	STEP_ALSO,
};

struct step {
	enum step_kind kind;
	const char *bytes;
	size_t len;
	const struct step *steps;
};

/* clang-format off */
/* The server sends: a line (CRLF is added), the bytes of a literal, any bytes. */
#define S(line) {STEP_SEND_LINE, line, sizeof(line) - 1, NULL}
#define RAW(literal) {STEP_SEND, literal, sizeof(literal) - 1, NULL}
#define BYTES(pointer, length) {STEP_SEND, pointer, length, NULL}
/* As BYTES, but the client may hang up in the middle, which ends the script. */
#define POUR(pointer, length) {STEP_POUR, pointer, length, NULL}

/* The client must send: a line, exactly these bytes, a number of bytes, anything up to and including CRLF.CRLF. */
#define C(line) {STEP_EXPECT_LINE, line, sizeof(line) - 1, NULL}
#define GET(literal) {STEP_EXPECT_BYTES, literal, sizeof(literal) - 1, NULL}
#define READ(count) {STEP_READ, NULL, count, NULL}
#define DOT {STEP_READ_TO_DOT, NULL, 0, NULL}
/* IMAP: the client deletes exactly these UIDs (1 to 63) by UID STORE and UID EXPUNGE, in as many batches as it likes; each command is answered OK. */
#define DELETES(set) {STEP_DELETES, set, sizeof(set) - 1, NULL}
/* No byte has been sent beyond what was expected: put before a reply where the client must not pipeline. */
#define QUIET {STEP_QUIET, NULL, 0, NULL}

/* A TLS handshake, as server with a certificate for PEER_HOST that peer_ca_pem vouches for: it must succeed, or fail. */
#define TLS {STEP_TLS, NULL, 0, NULL}
#define TLS_FAILS {STEP_TLS_FAILS, NULL, 0, NULL}

/* Sends nothing and stays until the client hangs up, which must send nothing (this stands at the end of every script), or may send anything. */
#define SILENCE {STEP_SILENCE, NULL, 0, NULL}
#define DRAIN {STEP_DRAIN, NULL, 0, NULL}
/* Neither reads nor sends any more, to the end of the test: peer_free. */
#define HANG {STEP_HANG, NULL, 0, NULL}
/* peer_await_here returns, and the script goes on. */
#define HERE {STEP_HERE, NULL, 0, NULL}
/* Waits for peer_go_on. */
#define PAUSE {STEP_PAUSE, NULL, 0, NULL}
/* Hangs up: in order, or without TLS's goodbye. */
#define CLOSE {STEP_CLOSE, NULL, 0, NULL}
#define CUT {STEP_CUT, NULL, 0, NULL}

/* PEER_LISTEN: waits until the client has hung up, and goes on with the next connection. */
#define NEXT {STEP_NEXT, NULL, 0, NULL}
/* PEER_LISTEN: from here on the next connection, at whatever time it comes, is played with that script; this one goes on. */
#define ALSO(script) {STEP_ALSO, NULL, 0, script}

/* Another script, up to its END, at this place. */
#define PLAY(script) {STEP_PLAY, NULL, 0, script}
#define END {STEP_END, NULL, 0, NULL}
/* clang-format on */

#define PEER_HOST "peer.example" /* also "localhost" and 127.0.0.1 */
#define PEER_DEADLINE_S 20       /* for a whole script; a broken test cannot hang */

enum peer_flag {
	PEER_WHOLE = 0,
	PEER_BY_BYTE = 1, /* each byte is sent when the client has taken the one before */
	PEER_LISTEN = 2,  /* on a loopback port; the first connection is played with, then one for each NEXT */
	PEER_LISTS = 4,   /* IMAP: a listing that rides with SELECT is a command as any other; else it is refused, and scripts need not know of it */
};

struct peer_report;
struct peer {
	int fd;        /* the client's end; whoever uses it closes it. -1 with PEER_LISTEN */
	uint16_t port; /* PEER_LISTEN */
	pid_t pid;
	struct peer_report *report; /* shared with the child */
};

/* script and everything it points to must stay unchanged only until this returns. */
struct peer *peer_start(const struct step *script, unsigned flags);
/* Waits for the end of the script and fails the running test with the first difference, if there was one. Frees. The client must have hung up. */
#define peer_finish(peer) peer_finish_at(peer, __FILE__, __LINE__)
void peer_finish_at(struct peer *peer, const char *file, int line);

/* Until the script is at its HANG, or has come by HERE. */
void peer_await_hang(struct peer *peer);
void peer_await_here(struct peer *peer);
void peer_go_on(struct peer *peer); /* from its next PAUSE, be it there or not yet */
/* Waits for the end of the script; the first difference in words, or NULL. Valid until the peer is freed. */
const char *peer_problem(struct peer *peer);
/* Frees without a verdict, for tests that expect a difference. */
void peer_free(struct peer *peer);
/* Waits for the end of the script; adds everything that the client has sent (decrypted). */
void peer_received(struct peer *peer, struct str *out);
/* The certificate authority of all peers of this process, PEM. */
const char *peer_ca_pem(void);

#endif
