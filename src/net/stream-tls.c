#include "net/stream-tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/stream.h"

struct tls_stream {
	struct stream base;
	struct stream *inner;
	SSL *ssl;
	bool adopted;
	bool broken;             /* after a fatal error not even a goodbye may be sent */
	bool drained;            /* OpenSSL has asked for more: what it still holds is a part of a record */
	bool inner_ended;        /* without close_notify, unless OpenSSL says otherwise */
	struct error inner_err;  /* kind ERR_NONE while nothing went wrong below */
	unsigned char first[48]; /* what the peer said first, for the case that it is not TLS */
	size_t first_len;
};

/* OpenSSL's own socket BIO writes without MSG_NOSIGNAL and loses errno's meaning; this one leads to the stream
 * below. */
static int bio_read(BIO *bio, char *buffer, size_t len, size_t *ret_len)
{
	struct tls_stream *tls = BIO_get_data(bio);
	ssize_t n = stream_read(tls->inner, buffer, len, &tls->inner_err);

	BIO_clear_retry_flags(bio);
	if (n > 0) {
		size_t room = sizeof(tls->first) - tls->first_len, more = (size_t)n < room ? (size_t)n : room;

		memcpy(tls->first + tls->first_len, buffer, more);
		tls->first_len += more;
		*ret_len = (size_t)n;
		return 1;
	}
	if (n == STREAM_AGAIN)
		BIO_set_retry_read(bio);
	if (n == STREAM_END)
		tls->inner_ended = true;
	return 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_len)
{
	struct tls_stream *tls = BIO_get_data(bio);
	/* After the peer's end OpenSSL sends an alert; that it does not get through is no news. */
	ssize_t n = stream_write(tls->inner, bytes, len, tls->inner_ended ? NULL : &tls->inner_err);

	BIO_clear_retry_flags(bio);
	if (n > 0) {
		*ret_len = (size_t)n;
		return 1;
	}
	if (n == STREAM_AGAIN)
		BIO_set_retry_write(bio);
	return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_stream *tls = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return tls->inner_ended;
	default:
		return 0;
	}
}

/* One for the life of the process: made before the first fork, shared by all workers. */
static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mailhaul stream");
		if (method == NULL || BIO_meth_set_read_ex(method, bio_read) != 1 || BIO_meth_set_write_ex(method, bio_write) != 1 ||
			BIO_meth_set_ctrl(method, bio_ctrl) != 1)
			abort();
	}
	return method;
}

static struct tls_stream *tls_of(const struct stream *stream)
{
	return (struct tls_stream *)stream;
}

/* OpenSSL's verdict on a call that moved nothing: STREAM_AGAIN, STREAM_END, or STREAM_FAILED. */
static int outcome(struct tls_stream *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		tls->base.want = POLLIN;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		tls->base.want = POLLOUT;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return STREAM_END;
	default:
		tls->broken = true;
		return STREAM_FAILED;
	}
}

static int describe(const struct tls_stream *tls, struct error *err)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	if (tls->inner_err.kind != ERR_NONE) {
		if (err != NULL)
			*err = tls->inner_err;
		return STREAM_FAILED;
	}
	/* RFC 8446 6.1: an end that TLS did not announce may be an attacker's, who wants a shorter message to look complete. */
	if (tls->inner_ended)
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the connection was cut (it ended without the goodbye that TLS asks for)");
	return error_set(err, ERR_TLS, SCOPE_MAILBOX, "the TLS connection broke: %s", reason != NULL ? reason : "no reason given");
}

static ssize_t tls_read(struct stream *stream, void *buffer, size_t len, struct error *err)
{
	struct tls_stream *tls = tls_of(stream);
	size_t n = 0;
	int end;

	ERR_clear_error();
	if (SSL_read_ex(tls->ssl, buffer, len, &n) == 1) {
		tls->drained = false;
		return (ssize_t)n;
	}
	tls->drained = true;
	end = outcome(tls, 0);
	return end == STREAM_FAILED ? describe(tls, err) : end;
}

static ssize_t tls_write(struct stream *stream, const void *bytes, size_t len, struct error *err)
{
	struct tls_stream *tls = tls_of(stream);
	size_t n = 0;
	int end;

	ERR_clear_error();
	if (SSL_write_ex(tls->ssl, bytes, len, &n) == 1)
		return (ssize_t)n;
	end = outcome(tls, 0);
	if (end == STREAM_END)
		return error_set(err, ERR_TEMP, SCOPE_MAILBOX, "the server has closed the TLS connection");
	return end == STREAM_FAILED ? describe(tls, err) : end;
}

/* SSL_has_pending is also true for half a record, which would have callers spin until the other half arrives. */
static bool tls_pending(const struct stream *stream)
{
	return !tls_of(stream)->drained && SSL_has_pending(tls_of(stream)->ssl) == 1;
}

void stream_tls_abandon(struct stream *stream)
{
	ERR_clear_error();
	SSL_free(tls_of(stream)->ssl);
	free(stream);
}

static void tls_close(struct stream *stream)
{
	struct tls_stream *tls = tls_of(stream);
	struct stream *inner = tls->adopted ? tls->inner : NULL;

	if (!tls->broken)
		(void)SSL_shutdown(tls->ssl); /* says goodbye if the socket takes it now; the peer's answer is of no use to us */
	stream_tls_abandon(stream);
	stream_close(inner);
}

static const struct stream_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.pending = tls_pending,
	.close = tls_close,
};

struct stream *stream_tls_new(SSL *ssl_take, struct stream *inner)
{
	struct tls_stream *tls = xcalloc(1, sizeof(*tls));
	BIO *bio = BIO_new(bio_method());

	if (bio == NULL)
		abort();
	tls->base.ops = &tls_ops;
	tls->base.fd = inner->fd;
	tls->base.want = POLLIN;
	tls->inner = inner;
	tls->ssl = ssl_take;
	tls->drained = true;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl_take, bio, bio);
	return &tls->base;
}

int stream_tls_handshake(struct stream *stream)
{
	struct tls_stream *tls = tls_of(stream);
	int result, end;

	ERR_clear_error();
	result = SSL_connect(tls->ssl);
	if (result == 1) {
		tls->drained = false; /* bytes may have come along with the last flight */
		return 1;
	}
	end = outcome(tls, result);
	return end == STREAM_END ? STREAM_FAILED : end;
}

enum handshake_end stream_tls_failure(const struct stream *stream, struct error *err)
{
	const struct tls_stream *tls = tls_of(stream);

	/* RFC 8446 5.1: a server begins with an alert (21) or with a handshake record (22). */
	if (tls->first_len != 0 && tls->first[0] != 21 && tls->first[0] != 22) {
		size_t line = 0;

		while (line < tls->first_len && tls->first[line] != '\r' && tls->first[line] != '\n')
			line++;
		escape_into(err->text, sizeof(err->text), tls->first, line);
		return HANDSHAKE_NO_TLS;
	}
	if (tls->inner_err.kind != ERR_NONE || tls->inner_ended) {
		describe(tls, err);
		return HANDSHAKE_LOST;
	}
	return HANDSHAKE_TLS;
}

void stream_tls_adopt(struct stream *stream)
{
	tls_of(stream)->adopted = true;
}

SSL *stream_tls_ssl(const struct stream *stream)
{
	return tls_of(stream)->ssl;
}
