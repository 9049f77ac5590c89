#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "channel/wait.h"
#include "net/certificate.h"
#include "net/stream-tls.h"
#include "net/stream.h"
#include "net/tls-fault.h"
#include "net/tls-rehearsal.h"
#include "net/tls-trust.h"

#define CHAIN_DEPTH_MAX 10

static SSL_CTX *tls_context;

/* What a handshake verifies, and what it found wrong; lives as long as the handshake. */
struct verification {
	const struct tls_settings *settings;
	bool failed;
	struct error err;
};

static bool has_pin(const struct tls_settings *settings, const X509 *leaf)
{
	char pin[PIN_LENGTH + 1];

	certificate_pin(pin, leaf);
	for (char *const *wanted = settings->pins; *wanted != NULL; wanted++)
		if (ascii_equal_nocase(*wanted, pin))
			return true;
	return false;
}

/* 1; or 0, and what is wrong in *err. */
static int verify(const struct verification *verification, X509_STORE_CTX *chain, struct error *err)
{
	const struct tls_settings *settings = verification->settings;
	bool pinned = settings->pins != NULL && settings->pins[0] != NULL;
	const X509 *leaf = X509_STORE_CTX_get0_cert(chain);

	if ((!pinned || settings->ca_pem != NULL) && X509_verify_cert(chain) <= 0) {
		const X509 *current = X509_STORE_CTX_get_current_cert(chain);
		const struct tls_fault_certificate bad = {
			.host = settings->host,
			.code = X509_STORE_CTX_get_error(chain),
			.depth = X509_STORE_CTX_get_error_depth(chain),
			.leaf = leaf,
			.current = current != NULL ? current : leaf,
			.now_s = clock_wall_s(),
		};

		tls_fault_certificate(&bad, err);
		return 0;
	}
	if (pinned && !has_pin(settings, leaf)) {
		X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
		tls_fault_pin(settings->host, leaf, err);
		return 0;
	}
	X509_STORE_CTX_set_error(chain, X509_V_OK);
	return 1;
}

static int verify_callback(X509_STORE_CTX *chain, void *unused)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct verification *verification = SSL_get_app_data(ssl);
	int good = verify(verification, chain, &verification->err);

	(void)unused;
	verification->failed = good == 0;
	return good;
}

static SSL_CTX *new_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	/* Not SSL_OP_ALL, which trades countermeasures for old bugs. No tickets: nothing of one account's session may turn up in another's. */
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1); /* one system call for a record instead of two */
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_verify_depth(context, CHAIN_DEPTH_MAX);
	SSL_CTX_set_cert_verify_callback(context, verify_callback, NULL);
	SSL_CTX_set_cert_store(context, tls_trust_system());
	return context;
}

/* RFC 9525: subjectAltName only, a wildcard only as the whole first label. RFC 6066 3: no address in SNI. */
static bool set_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char address[sizeof(struct in6_addr)];

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_TRUSTED_FIRST);
	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* context: the struct verification, which the handshake reports to. */
static SSL *new_client(const struct tls_settings *settings, void *context, struct error *err)
{
	struct verification *verification = context;
	X509_STORE *store = NULL;
	SSL *ssl;

	if (settings->ca_pem != NULL && (store = tls_trust_pem(settings->ca_pem, err)) == NULL)
		return NULL;
	ssl = SSL_new(tls_context);
	if (ssl == NULL)
		abort();
	if (store != NULL)
		SSL_set0_verify_cert_store(ssl, store);
	*verification = (struct verification){.settings = settings};
	SSL_set_app_data(ssl, verification);
	if (set_host(ssl, settings->host))
		return ssl;
	SSL_free(ssl);
	ERR_clear_error();
	error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "\"%.80s\" cannot be the name of a TLS server", settings->host);
	return NULL;
}

int tls_prepare(struct error *err)
{
	if (tls_context == NULL)
		tls_context = new_context();
	if (tls_context == NULL)
		return error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "OpenSSL does not start: %s", ERR_reason_error_string(ERR_peek_last_error()));
	return 0;
}

int tls_warm_up(struct error *err)
{
	struct verification verification;

	return tls_prepare(err) < 0 ? -1 : tls_rehearse(new_client, &verification, err);
}

static int why_not(struct stream *tls, const struct verification *verification, struct error *err)
{
	const char *host = verification->settings->host;
	struct error seen;

	if (verification->failed) {
		if (err != NULL)
			*err = verification->err;
		return -1;
	}
	switch (stream_tls_failure(tls, &seen)) {
	case HANDSHAKE_NO_TLS:
		return tls_fault_not_tls(host, seen.text, err);
	case HANDSHAKE_LOST:
		return error_code(err, ERR_TEMP, SCOPE_MAILBOX, seen.code, "%.80s ended the connection in the middle of the TLS handshake (%s)", host,
			seen.code != 0 ? strerror(seen.code) : "it hung up");
	default:
		return tls_fault_handshake(host, err);
	}
}

static int shake_hands(
	struct stream *tls, const struct verification *verification, struct deadline deadline, struct channel *channel, struct error *err)
{
	for (;;) {
		struct pollfd fd = {.fd = tls->fd};
		int done = stream_tls_handshake(tls), ready;

		if (done > 0)
			return 0;
		if (done != STREAM_AGAIN)
			return why_not(tls, verification, err);
		if (deadline_passed(deadline))
			return error_set(err, ERR_TEMP, SCOPE_MAILBOX,
				"%.80s did not finish the TLS handshake in time; if this happens every time, the port may be wrong or need \"tls: "
				"starttls\"",
				verification->settings->host);
		fd.events = tls->want;
		ready = wait_io(&fd, 1, deadline, channel, err);
		if (ready < 0)
			return -1;
	}
}

static void summarize(struct tls_summary *summary, const SSL *ssl)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);

	snprintf(summary->version, sizeof(summary->version), "%s", SSL_get_version(ssl));
	snprintf(summary->cipher, sizeof(summary->cipher), "%s", SSL_get_cipher_name(ssl));
	certificate_name_text(summary->subject, sizeof(summary->subject), X509_get_subject_name(leaf));
	certificate_name_text(summary->issuer, sizeof(summary->issuer), X509_get_issuer_name(leaf));
	certificate_pin(summary->pin, leaf);
	summary->not_after_s = certificate_not_after_s(leaf);
}

int tls_start(struct stream **stream, const struct tls_settings *settings, struct deadline deadline, struct channel *channel,
	struct tls_summary *ret_summary, struct error *err)
{
	struct verification verification;
	struct stream *tls;
	SSL *ssl;

	assert(tls_context != NULL); /* tls_warm_up comes first */
	ssl = new_client(settings, &verification, err);
	if (ssl == NULL)
		return -1;
	tls = stream_tls_new(ssl, *stream);
	if (shake_hands(tls, &verification, deadline, channel, err) < 0) {
		stream_tls_abandon(tls);
		return -1;
	}
	SSL_set_app_data(ssl, NULL); /* certificates are not looked at again: there is no renegotiation */
	if (ret_summary != NULL)
		summarize(ret_summary, ssl);
	stream_tls_adopt(tls);
	*stream = tls;
	return 0;
}
