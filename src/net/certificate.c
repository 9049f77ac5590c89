#include "net/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/str.h"

#define HOSTS_SHOWN 3
#define HOST_BYTES_SHOWN 48

char *certificate_name_text(char *out, size_t size, const X509_NAME *name)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *bytes = NULL;
	long len = 0;

	/* As UTF-8 and not yet escaped: that is done once, by us. */
	if (text != NULL && X509_NAME_print_ex(text, name, 0, ASN1_STRFLGS_UTF8_CONVERT | XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN) >= 0)
		len = BIO_get_mem_data(text, &bytes);
	escape_into(out, size, bytes, len > 0 ? (size_t)len : 0);
	BIO_free(text);
	return out;
}

static bool host_of(char *out, size_t size, const GENERAL_NAME *name)
{
	const ASN1_OCTET_STRING *bytes;
	int len;

	if (name->type == GEN_DNS) {
		escape_into(out, size, ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
		return true;
	}
	if (name->type != GEN_IPADD)
		return false;
	bytes = name->d.iPAddress;
	len = ASN1_STRING_length(bytes);
	return (len == 4 || len == 16) && inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), out, (socklen_t)size) != NULL;
}

char *certificate_hosts(char *out, size_t size, const X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char host[HOST_BYTES_SHOWN];
	struct str list = {0};
	unsigned count = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		if (host_of(host, sizeof(host), sk_GENERAL_NAME_value(names, i)) && ++count <= HOSTS_SHOWN)
			str_addf(&list, "%s%s", count > 1 ? ", " : "", host);
	if (count > HOSTS_SHOWN)
		str_addf(&list, " and %u more", count - HOSTS_SHOWN);
	snprintf(out, size, "%s", str_text(&list));
	str_done(&list);
	GENERAL_NAMES_free(names);
	return out;
}

void certificate_pin(char out[PIN_LENGTH + 1], const X509 *certificate)
{
	uint8_t digest[SHA256_BYTES];
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

	sha256_of(der, len > 0 ? (size_t)len : 0, digest);
	OPENSSL_free(der);
	hex_encode(out, digest, sizeof(digest));
}

static int64_t seconds_of(const ASN1_TIME *when)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) != 1)
		return 0;
	return clock_from_civil(
		tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday, (unsigned)tm.tm_hour, (unsigned)tm.tm_min, (unsigned)tm.tm_sec);
}

int64_t certificate_not_before_s(const X509 *certificate)
{
	return seconds_of(X509_get0_notBefore(certificate));
}

int64_t certificate_not_after_s(const X509 *certificate)
{
	return seconds_of(X509_get0_notAfter(certificate));
}
