#include "net/tls-rehearsal.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls.h"

#define HOST "rehearsal.invalid"
#define VALID_S 3600
#define FLIGHTS_MAX 8 /* TLS 1.3 needs three */

/* A certificate for HOST, signed by itself. Thrown away with its key. */
static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509V3_CTX context;
	X509_EXTENSION *names;
	bool good;

	if (certificate == NULL)
		return NULL;
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	names = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:" HOST);
	good = names != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 && X509_add_ext(certificate, names, -1) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -VALID_S) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_S) != NULL && X509_set_pubkey(certificate, key) == 1 &&
	       X509_sign(certificate, key, EVP_sha256()) > 0;
	X509_EXTENSION_free(names);
	if (good)
		return certificate;
	X509_free(certificate);
	return NULL;
}

static char *pem_of(X509 *certificate)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *bytes, *pem = NULL;

	if (text != NULL && PEM_write_bio_X509(text, certificate) == 1) {
		long len = BIO_get_mem_data(text, &bytes);

		pem = xstrndup(bytes, (size_t)len);
	}
	BIO_free(text);
	return pem;
}

static SSL *make_server(EVP_PKEY *key, X509 *certificate)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *server = NULL;

	if (context != NULL && SSL_CTX_use_certificate(context, certificate) == 1 && SSL_CTX_use_PrivateKey(context, key) == 1)
		server = SSL_new(context);
	SSL_CTX_free(context);
	return server;
}

static bool shake_hands(SSL *client, SSL *server)
{
	BIO *ours = NULL, *theirs = NULL;

	if (BIO_new_bio_pair(&ours, 0, &theirs, 0) != 1)
		return false;
	SSL_set_bio(client, ours, ours);
	SSL_set_bio(server, theirs, theirs);
	for (int flight = 0; flight < FLIGHTS_MAX; flight++) {
		bool client_done = SSL_connect(client) == 1, server_done = SSL_accept(server) == 1;

		if (client_done && server_done)
			return true;
	}
	return false;
}

int tls_rehearse(tls_client_fn *new_client, void *context, struct error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = key != NULL ? make_certificate(key) : NULL;
	char *pem = certificate != NULL ? pem_of(certificate) : NULL;
	const struct tls_settings settings = {.host = HOST, .ca_pem = pem};
	SSL *server = NULL, *client = NULL;
	int result = -1;

	if (pem == NULL || (server = make_server(key, certificate)) == NULL)
		error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "OpenSSL cannot make a P-256 certificate: is it installed as it should be?");
	else if ((client = new_client(&settings, context, err)) != NULL && shake_hands(client, server))
		result = 0;
	else
		error_set(err, ERR_LOCAL, SCOPE_PROGRAM, "OpenSSL cannot finish a TLS handshake with itself: is it installed as it should be?");
	ERR_clear_error();
	SSL_free(client);
	SSL_free(server);
	free(pem);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return result;
}
