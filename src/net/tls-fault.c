#include "net/tls-fault.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "net/certificate.h"
#include "net/tls-trust.h"

#define HOST_SHOWN "%.80s"

static int fault(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fault(struct error *err, const char *format, ...)
{
	char text[sizeof(err->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(err, ERR_TLS, SCOPE_MAILBOX, "%s", text);
}

/* "the certificate of HOST", or "a certificate above that of HOST". */
static const char *which(char *out, size_t size, const struct tls_fault_certificate *bad)
{
	snprintf(out, size, "%s " HOST_SHOWN, bad->depth == 0 ? "the certificate of" : "a certificate in the chain of", bad->host);
	return out;
}

static const char *day(char out[24], int64_t wall_s)
{
	clock_iso8601(out, wall_s);
	out[strcspn(out, "T")] = '\0';
	return out;
}

static int wrong_time(const struct tls_fault_certificate *bad, bool expired, struct error *err)
{
	char subject[120], limit[24], today[24];
	int64_t limit_s = expired ? certificate_not_after_s(bad->current) : certificate_not_before_s(bad->current);

	which(subject, sizeof(subject), bad);
	day(limit, limit_s);
	day(today, bad->now_s);
	if (!clock_is_credible(bad->now_s))
		return fault(
			err, "the clock of this computer says %s, which cannot be right, so no certificate can be checked: set the clock", today);
	if (!expired)
		return fault(err, "%s is valid only from %s on, and today is %s by the clock of this computer: is the clock right?", subject, limit,
			today);
	return fault(err, "%s expired on %s (today is %s): whoever runs the server has to renew it", subject, limit, today);
}

static int wrong_host(const struct tls_fault_certificate *bad, struct error *err)
{
	char hosts[160], subject[80];

	if (certificate_hosts(hosts, sizeof(hosts), bad->leaf)[0] != '\0')
		return fault(err, "the certificate is not for %.60s but for %s: is the host name right?", bad->host, hosts);
	certificate_name_text(subject, sizeof(subject), X509_get_subject_name(bad->leaf));
	return fault(err, "the certificate names no host at all (only its old subject \"%s\", which does not count), so it cannot be that of %.60s",
		subject, bad->host);
}

static int self_signed(const struct tls_fault_certificate *bad, struct error *err)
{
	char pin[PIN_LENGTH + 1];

	certificate_pin(pin, bad->leaf);
	return fault(err, "%.60s has a self-signed certificate, which anybody can make; if you know it to be the right one, write \"pin_sha256: %s\"",
		bad->host, pin);
}

static int unknown_issuer(const struct tls_fault_certificate *bad, struct error *err)
{
	char issuer[72];

	if (!tls_trust_has_system())
		return fault(
			err, "this computer has no list of certificate authorities to trust: install ca-certificates, or set ca_file or pin_sha256");
	certificate_name_text(issuer, sizeof(issuer), X509_get_issuer_name(bad->current));
	return fault(err,
		"the certificate of %.50s comes from \"%s\", which this computer does not trust: name a private authority in ca_file; else the "
		"server "
		"lacks an intermediate certificate",
		bad->host, issuer);
}

int tls_fault_certificate(const struct tls_fault_certificate *bad, struct error *err)
{
	char subject[120];

	switch (bad->code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return wrong_time(bad, true, err);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return wrong_time(bad, false, err);
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return wrong_host(bad, err);
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return self_signed(bad, err);
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return unknown_issuer(bad, err);
	default:
		return fault(err, "%s cannot be trusted: %s", which(subject, sizeof(subject), bad), X509_verify_cert_error_string(bad->code));
	}
}

int tls_fault_pin(const char *host, const X509 *leaf, struct error *err)
{
	char pin[PIN_LENGTH + 1];

	certificate_pin(pin, leaf);
	return fault(err, "the key of %.60s is not the one pinned: it has pin_sha256 %s; change the pin only if you know why the key has changed",
		host, pin);
}

int tls_fault_handshake(const char *host, struct error *err)
{
	static const struct {
		int reason;
		const char *text; /* behind the host */
	} known[] = {
		{SSL_R_UNSUPPORTED_PROTOCOL, "speaks only versions of TLS that are too old to be safe: it has to offer TLS 1.2 or later"},
		{SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "speaks only versions of TLS that are too old to be safe: it has to offer TLS 1.2 or later"},
		{SSL_R_VERSION_TOO_LOW, "speaks only versions of TLS that are too old to be safe: it has to offer TLS 1.2 or later"},
		{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "has no cipher or key in common with us: its TLS is too old or too restricted"},
		{SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, "has no cipher or key in common with us: its TLS is too old or too restricted"},
		{SSL_R_DH_KEY_TOO_SMALL, "uses a key that is too short to be safe: whoever runs the server has to renew it"},
		{SSL_R_EE_KEY_TOO_SMALL, "uses a key that is too short to be safe: whoever runs the server has to renew it"},
		{SSL_R_CA_MD_TOO_WEAK, "has a certificate with a signature that is too weak to be safe"},
		{SSL_R_TLSV1_UNRECOGNIZED_NAME, "says that it does not serve this host name: is the name right?"},
		{SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "wants a certificate from us, and mailhaul has none to show"},
	};
	unsigned long first = ERR_peek_error();
	const char *reason = ERR_reason_error_string(first);

	for (size_t i = 0; ERR_GET_LIB(first) == ERR_LIB_SSL && i < ARRAY_SIZE(known); i++)
		if (ERR_GET_REASON(first) == known[i].reason)
			return fault(err, HOST_SHOWN " %s", host, known[i].text);
	return fault(err, "the TLS handshake with " HOST_SHOWN " failed: %s", host, reason != NULL ? reason : "no reason given");
}

int tls_fault_not_tls(const char *host, const char *said, struct error *err)
{
	return fault(
		err, HOST_SHOWN " does not speak TLS on this port (it says \"%.60s\"): the port is wrong, or it needs \"tls: starttls\"", host, said);
}
