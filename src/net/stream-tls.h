/* stream-tls.h - OpenSSL over any stream, as a stream. Only tls.c makes one; everybody else sees a struct stream. */
#ifndef MAILHAUL_NET_STREAM_TLS_H
#define MAILHAUL_NET_STREAM_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct stream;

enum handshake_end { HANDSHAKE_TLS, HANDSHAKE_LOST, HANDSHAKE_NO_TLS };

/* Takes ssl; inner stays the caller's until stream_tls_adopt. */
struct stream *stream_tls_new(SSL *ssl_take, struct stream *inner);
/* 1: done. STREAM_AGAIN: wait for want. STREAM_FAILED: ask stream_tls_failure why; OpenSSL's error queue is as it left it. */
int stream_tls_handshake(struct stream *tls);
/* Why the handshake failed. HANDSHAKE_LOST: the connection ended; *err says how. HANDSHAKE_NO_TLS: the peer's first byte begins no TLS record;
 * *err's text is what it said instead, escaped. HANDSHAKE_TLS: TLS itself failed, *err is untouched. */
enum handshake_end stream_tls_failure(const struct stream *tls, struct error *err);
/* From here on closing the TLS stream closes inner too. */
void stream_tls_adopt(struct stream *tls);
/* After a failed handshake: frees the TLS side, leaves inner alone. */
void stream_tls_abandon(struct stream *tls);
SSL *stream_tls_ssl(const struct stream *tls);

#endif
