#include "tests/lib/certificate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

static void must(int good)
{
	if (good == 1)
		return;
	ERR_print_errors_fp(stderr);
	abort();
}

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(extension != NULL);
	must(X509_add_ext(x509, extension, -1));
	X509_EXTENSION_free(extension);
}

static void add_extensions(X509 *x509, const struct certificate_spec *spec)
{
	X509 *issuer = spec->issuer != NULL ? spec->issuer->x509 : x509;

	add_extension(x509, issuer, NID_basic_constraints, spec->issuer == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(x509, issuer, NID_subject_key_identifier, "hash");
	if (spec->issuer != NULL)
		add_extension(x509, issuer, NID_authority_key_identifier, "keyid");
	if (spec->alt_names != NULL)
		add_extension(x509, issuer, NID_subject_alt_name, spec->alt_names);
}

struct certificate certificate_make(const struct certificate_spec *spec)
{
	struct certificate made = {X509_new(), EVP_EC_gen("P-256")};
	bool default_time = spec->from_s == 0 && spec->until_s == 0;
	X509_NAME *name = X509_NAME_new();
	uint64_t serial;

	must(made.x509 != NULL && made.key != NULL && name != NULL);
	must(RAND_bytes((unsigned char *)&serial, sizeof(serial)));
	must(X509_set_version(made.x509, X509_VERSION_3));
	must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.x509), serial >> 1));
	must(X509_gmtime_adj(X509_getm_notBefore(made.x509), default_time ? -3600 : spec->from_s) != NULL);
	must(X509_gmtime_adj(X509_getm_notAfter(made.x509), default_time ? 86400 : spec->until_s) != NULL);
	must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)spec->name, -1, -1, 0));
	must(X509_set_subject_name(made.x509, name));
	must(X509_set_issuer_name(made.x509, spec->issuer != NULL ? X509_get_subject_name(spec->issuer->x509) : name));
	must(X509_set_pubkey(made.x509, made.key));
	add_extensions(made.x509, spec);
	must(X509_sign(made.x509, spec->issuer != NULL ? spec->issuer->key : made.key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	return made;
}

void certificate_free(struct certificate *certificate)
{
	X509_free(certificate->x509);
	EVP_PKEY_free(certificate->key);
	*certificate = (struct certificate){NULL, NULL};
}

char *certificate_pem(const struct certificate *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text;
	long len;

	must(bio != NULL);
	must(PEM_write_bio_X509(bio, certificate->x509));
	len = BIO_get_mem_data(bio, &bytes);
	text = xstrndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}
