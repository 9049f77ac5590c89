#include "net/tls-trust.h"

#include <dirent.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls.h"

static char **directories;
static bool anybody; /* tls_trust_system found a list of authorities */

/* What the names in a hashed directory are links to, on Debian, Fedora and Arch. */
static const char *const link_targets[] = {
	"/etc/ssl/certs",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/etc/pki/ca-trust/extracted",
	"/etc/ca-certificates/extracted",
};

static const char *setting(const char *variable, const char *otherwise)
{
	const char *value = secure_getenv(variable);

	return value != NULL && value[0] != '\0' ? value : otherwise;
}

static void add_directory(const char *path)
{
	char *real = realpath(path, NULL);
	bool known = real == NULL;

	for (char **at = directories; !known && at != NULL && *at != NULL; at++)
		known = strcmp(*at, real) == 0;
	if (!known)
		strv_add(&directories, real);
	free(real);
}

const char *const *tls_trust_directories(void)
{
	static const char *const none[] = {NULL};

	return directories != NULL ? (const char *const *)directories : none;
}

/* "1a2b3c4d.0": the subject's hash, and a number. */
static bool is_hashed_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] == '0';
}

static bool is_hashed_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	bool found = false;

	if (directory == NULL)
		return false;
	while (!found && (entry = readdir(directory)) != NULL)
		found = is_hashed_name(entry->d_name);
	closedir(directory);
	return found;
}

/* paths: one or more, with colons between them, as OpenSSL takes them. True if certificates can be found there by their hash. */
static bool add_directories(const char *paths)
{
	char *copy = xstrdup(paths), *rest = NULL;
	bool hashed = false;

	for (char *path = strtok_r(copy, ":", &rest); path != NULL; path = strtok_r(NULL, ":", &rest)) {
		hashed |= is_hashed_directory(path);
		add_directory(path);
	}
	free(copy);
	for (size_t i = 0; i < ARRAY_SIZE(link_targets); i++)
		add_directory(link_targets[i]);
	return hashed;
}

X509_STORE *tls_trust_system(void)
{
	const char *paths = setting(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
	X509_STORE *store = X509_STORE_new();
	X509_LOOKUP *lookup;

	if (store == NULL || (lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir())) == NULL ||
		X509_LOOKUP_add_dir(lookup, paths, X509_FILETYPE_PEM) != 1)
		abort();
	anybody = add_directories(paths);
	if (!anybody)
		anybody = X509_STORE_load_file(store, setting(X509_get_default_cert_file_env(), X509_get_default_cert_file())) == 1;
	ERR_clear_error();
	return store;
}

bool tls_trust_has_system(void)
{
	return anybody;
}

static X509_STORE *read_store(const char *pem, struct error *err)
{
	BIO *text = BIO_new_mem_buf(pem, -1);
	X509_STORE *store = X509_STORE_new();
	unsigned count = 0;
	bool good = true;
	X509 *certificate;

	if (text == NULL || store == NULL)
		abort();
	ERR_clear_error();
	while (good && (certificate = PEM_read_bio_X509(text, NULL, NULL, NULL)) != NULL) {
		good = X509_STORE_add_cert(store, certificate) == 1;
		X509_free(certificate);
		count++;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) /* that is how the end of the text looks */
		good = false;
	ERR_clear_error();
	BIO_free(text);
	if (good && count != 0) {
		X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
		return store;
	}
	X509_STORE_free(store);
	error_set(err, ERR_CONFIG, SCOPE_MAILBOX, "ca_file holds %s: it must be a PEM file with certificates",
		good ? "no certificate" : "a certificate that cannot be read");
	return NULL;
}

/* Those that were read before a fork, for all children. */
static struct kept {
	char *pem;
	X509_STORE *store;
} kept[TLS_TRUST_KEPT_MAX];
static unsigned kept_count;

/* What OpenSSL finds out about a certificate when it first uses it. */
static void look_through(X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		(void)X509_check_purpose(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i)), -1, 0);
}

void tls_trust_keep(const char *pem)
{
	X509_STORE *store = kept_count < TLS_TRUST_KEPT_MAX ? read_store(pem, NULL) : NULL;

	if (store == NULL)
		return;
	look_through(store);
	kept[kept_count++] = (struct kept){xstrdup(pem), store};
}

X509_STORE *tls_trust_pem(const char *pem, struct error *err)
{
	for (unsigned i = 0; i < kept_count; i++)
		if (strcmp(kept[i].pem, pem) == 0 && X509_STORE_up_ref(kept[i].store) == 1)
			return kept[i].store;
	return read_store(pem, err);
}
