#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "channel/job.h"
#include "config/config.h"

static const char yaml[] =
	"destinations:\n"
	"  home: {maildir: /home/anna/Maildir}\n"
	"  mta: {smtp: '[::1]', recipient: [anna, bert], sender: <>}\n"
	"  relay: {smtp: relay.example, tls: starttls, user: u, password: hunter2, recipient: a@b.example, auth: login, timeout: 7s}\n"
	"  near: {lmtp: /run/lmtp, recipient: anna}\n"
	"  sorted: {mda: [/bin/mda, -d, '{recipient}'], recipient: anna}\n"
	"mailboxes:\n"
	"  - name: imap\n"
	"    imap: imap.example\n"
	"    user: anna\n"
	"    password: hunter2\n"
	"    folders: [INBOX, \"\xC3\x84\"]\n"
	"    push: yes\n"
	"    first_run: 2026-01-01\n"
	"    after_delivery: {move_to: Done}\n"
	"    pin_sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
	"    auth: oauthbearer\n"
	"    max_messages: 9\n"
	"    sender: ''\n"
	"    recipients: [x, y]\n"
	"    deliver_to: [home, mta, relay, near, sorted]\n"
	"  - {name: pop, pop3: pop.example, tls: none, insecure: yes, user: bert, password: {env: P}, deliver_to: home, max_message: 5GB}\n";

static struct config *load(void)
{
	int fd = memfd_create("config", MFD_CLOEXEC);
	char *path = xasprintf("/proc/self/fd/%d", fd);
	struct config *config;

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(fs_write_all(fd, yaml, sizeof(yaml) - 1), 0);
	config = config_load(path, "/state", stderr);
	assert_non_null(config);
	free(path);
	close(fd);
	return config;
}

/* Borrows everything from the configuration but what it says itself; forget() frees that. */
static struct job make_job(const struct config *config, const char *mailbox)
{
	struct job job = {
		.mode = JOB_CHECK,
		.trace = true,
		.log_level = 4,
		.sandbox = SANDBOX_REQUIRE,
		.host = xstrdup("our.example"),
		.installation = xstrdup("k3jx9"),
		.adopt_before = 1800000000123,
		.mailbox = config_mailbox(config, mailbox),
		.destinations = config->destinations,
		.destination_count = (unsigned)config->destination_count,
		.target_count = 3,
		.frozen = 5,
		.closed = 2,
		.tidied = {UINT64_MAX, 0, 3},
		.host_facts = {.known = true,
			.before = 1,
			.after = UINT32_MAX,
			.mechanisms = 4,
			.boundary = BOUNDARY_UNSAFE,
			.idle_s = 600,
			.login_delay_s = 900},
	};

	job.folder_facts = xcalloc(strv_length(job.mailbox->folders) + 1, sizeof(*job.folder_facts));
	job.folder_facts[0] = (struct folder_facts){
		.settled = true, .uidvalidity = UINT64_MAX, .mark = 77, .present = 3, .has_listing = true, .listing = {[0 ... 31] = 0xAB}};
	job.targets[0] = (struct target){0, xstrdup("")};
	job.targets[1] = (struct target){1, xstrdup("anna")};
	job.targets[2] = (struct target){4, xstrdup("bert@example.org")};
	return job;
}

static void forget(struct job *job)
{
	free(job->host);
	free(job->folder_facts);
	free(job->installation);
	for (unsigned i = 0; i < job->target_count; i++)
		free(job->targets[i].recipient);
}

/* The encoded bytes, in a block of their size. */
static char *encoded(const struct job *job, size_t *ret_len)
{
	struct error err;
	const void *map;
	char *copy;
	int fd = job_encode(job, &err);

	assert_true(fd >= 0);
	assert_int_equal(fs_map_sealed(fd, 1 << 20, &map, ret_len, &err), 0);
	copy = xmalloc(*ret_len);
	memcpy(copy, map, *ret_len);
	munmap((void *)map, *ret_len);
	return copy;
}

static struct job *decoded(const char *bytes, size_t len)
{
	struct error err = {0};
	int fd = fs_sealed("test", bytes, len, &err);
	struct job *job;

	assert_true(fd >= 0);
	job = job_decode(fd, &err);
	assert_int_equal(job == NULL, err.kind != ERR_NONE);
	return job;
}

static void test_round_trip(void **state)
{
	static const char *const names[] = {"imap", "pop"};
	struct config *config = load();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct job job = make_job(config, names[i]), *copy;
		size_t len, again_len;
		char *bytes = encoded(&job, &len), *again;

		assert_null(memmem(bytes, len, "hunter2", 7)); /* secrets travel apart */
		copy = decoded(bytes, len);
		assert_non_null(copy);
		again = encoded(copy, &again_len);
		assert_int_equal(again_len, len);
		assert_memory_equal(again, bytes, len);
		job_free(copy);
		free(again);
		free(bytes);
		forget(&job);
	}
	config_free(config);
}

static void check_mailbox(const struct mailbox_config *mailbox)
{
	assert_string_equal(mailbox->name, "imap");
	assert_int_equal(mailbox->protocol, PROTOCOL_IMAP);
	assert_string_equal(mailbox->server.endpoint.host, "imap.example");
	assert_int_equal(mailbox->server.endpoint.port, 993);
	assert_int_equal(mailbox->server.endpoint.tls, TLS_IMPLICIT);
	assert_string_equal(mailbox->server.user, "anna");
	assert_int_equal(mailbox->server.password.kind, PASSWORD_NONE);
	assert_int_equal(mailbox->server.auth, AUTH_OAUTHBEARER);
	assert_string_equal(mailbox->server.ca_pem, "-----BEGIN CERTIFICATE-----\n");
	assert_string_equal(mailbox->server.pins[0], "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_string_equal(mailbox->folders[1], "\xC3\x84");
	assert_null(mailbox->folders[2]);
	assert_true(mailbox->push);
	assert_int_equal(mailbox->first_run.what, FIRST_RUN_DATE);
	assert_int_equal(mailbox->first_run.date_s, 1767225600);
	assert_int_equal(mailbox->after_delivery.what, DISPOSE_MOVE);
	assert_string_equal(mailbox->after_delivery.folder, "Done");
	assert_int_equal(mailbox->max_messages, 9);
	assert_int_equal(mailbox->max_message, 150 << 20);
	assert_string_equal(mailbox->sender, "");
	assert_string_equal(mailbox->recipients[1], "y");
	assert_true(mailbox->enabled);
}

static void check_destinations(const struct dest_config *destinations)
{
	assert_string_equal(destinations[0].name, "home");
	assert_int_equal(destinations[0].kind, DEST_MAILDIR);
	assert_string_equal(destinations[0].path, "/home/anna/Maildir");
	assert_null(destinations[0].recipients);
	assert_null(destinations[0].sender);
	assert_int_equal(destinations[1].kind, DEST_SMTP);
	assert_string_equal(destinations[1].server.endpoint.host, "::1");
	assert_int_equal(destinations[1].server.endpoint.tls, TLS_NONE);
	assert_string_equal(destinations[1].sender, "<>");
	assert_string_equal(destinations[2].server.user, "u");
	assert_int_equal(destinations[2].server.timeout_s, 7);
	assert_int_equal(destinations[2].server.auth, AUTH_LOGIN);
	assert_int_equal(destinations[3].kind, DEST_LMTP);
	assert_string_equal(destinations[3].server.endpoint.path, "/run/lmtp");
	assert_null(destinations[3].server.endpoint.host);
	assert_int_equal(destinations[4].kind, DEST_MDA);
	assert_string_equal(destinations[4].argv[2], "{recipient}");
}

static void test_every_field(void **state)
{
	struct config *config = load();
	struct job job = make_job(config, "imap"), *copy;
	size_t len;
	char *bytes;

	(void)state;
	job.mailbox->server.ca_pem = xstrdup("-----BEGIN CERTIFICATE-----\n");
	bytes = encoded(&job, &len);
	copy = decoded(bytes, len);
	assert_non_null(copy);
	assert_int_equal(copy->mode, JOB_CHECK);
	assert_true(copy->trace);
	assert_int_equal(copy->log_level, 4);
	assert_int_equal(copy->sandbox, SANDBOX_REQUIRE);
	assert_string_equal(copy->host, "our.example");
	assert_true(host_facts_equal(&copy->host_facts, &job.host_facts));
	assert_true(copy->folder_facts[0].settled && copy->folder_facts[0].has_listing);
	assert_true(copy->folder_facts[0].uidvalidity == UINT64_MAX);
	assert_int_equal(copy->folder_facts[0].mark, 77);
	assert_int_equal(copy->folder_facts[0].present, 3);
	assert_memory_equal(copy->folder_facts[0].listing, job.folder_facts[0].listing, sizeof(job.folder_facts[0].listing));
	assert_string_equal(copy->installation, "k3jx9");
	check_mailbox(copy->mailbox);
	assert_int_equal(copy->destination_count, 5);
	check_destinations(copy->destinations);
	assert_int_equal(copy->target_count, 3);
	assert_int_equal(copy->frozen, 5);
	assert_int_equal(copy->closed, 2);
	assert_memory_equal(copy->tidied, job.tidied, sizeof(job.tidied));
	assert_int_equal(copy->targets[2].dest, 4);
	assert_string_equal(copy->targets[0].recipient, "");
	assert_string_equal(copy->targets[2].recipient, "bert@example.org");
	job_free(copy);
	free(bytes);
	forget(&job);
	config_free(config);
}

static void test_truncated(void **state)
{
	struct config *config = load();
	struct job job = make_job(config, "imap");
	size_t len;
	char *bytes = encoded(&job, &len), *longer;

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		if (decoded(bytes, cut) != NULL)
			fail_msg("%zu of %zu bytes are a job", cut, len);
	longer = xcalloc(len + 1, 1);
	memcpy(longer, bytes, len);
	assert_null(decoded(longer, len + 1));
	free(longer);
	free(bytes);
	forget(&job);
	config_free(config);
}

/* Whatever passes the decoder is a job that can be used: it encodes to the very bytes it came from. */
static void test_flipped_bits(void **state)
{
	struct config *config = load();
	struct job job = make_job(config, "imap");
	size_t len, refused = 0;
	char *bytes = encoded(&job, &len);

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		struct job *other;

		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
		other = decoded(bytes, len);
		if (other != NULL) {
			size_t again_len;
			char *again = encoded(other, &again_len);

			assert_int_equal(again_len, len);
			assert_memory_equal(again, bytes, len);
			for (unsigned i = 0; i < other->target_count; i++)
				assert_true(other->targets[i].dest < other->destination_count);
			free(again);
		} else {
			refused++;
		}
		job_free(other);
		bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
	}
	assert_true(refused > len); /* lengths and enumerators are noticed */
	free(bytes);
	forget(&job);
	config_free(config);
}

static void test_not_sealed(void **state)
{
	struct error err = {0};
	int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_null(job_decode(fd, &err));
	assert_int_equal(err.kind, ERR_LOCAL);
}

static void test_too_large(void **state)
{
	struct config *config = load();
	struct job job = make_job(config, "imap");
	struct error err = {0};
	char *pem = xmalloc((16 << 20) + 1);

	(void)state;
	memset(pem, 'A', 16 << 20);
	pem[16 << 20] = '\0';
	job.mailbox->server.ca_pem = pem;
	assert_int_equal(job_encode(&job, &err), -1);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "ca_file"));
	forget(&job);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_not_sealed),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
