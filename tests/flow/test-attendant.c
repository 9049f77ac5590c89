/* test-attendant.c - the supervisor's side of a session, with a child process in the worker's place that lies, floods, hangs or talks nonsense: the session
 * comes to an end, and the supervisor goes on. */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "base/clock.h"
#include "channel/channel.h"
#include "dest/maildir.h"
#include "supervisor/allowance.h"
#include "supervisor/attendant.h"
#include "supervisor/ledger.h"
#include "supervisor/maildirs.h"
#include "tests/unit/state-fixture.h"

#define DEADLINE_S 20

struct bench {
	struct fixture fixture;
	struct service service;
	struct config config;
	struct attendant *attendant;
	struct allowance lines;
	struct dest_config dests[1];
	struct error result;
	bool finished, ledger_failed, short_of_room, late, waits;
	unsigned turns, heard, logged, confessed;
};

static void on_finished(struct service *service, struct attendant *attendant, const struct error *err)
{
	struct bench *bench = service->context;

	(void)attendant;
	bench->result = *err;
	bench->finished = true;
}

static void on_ledger_failure(void *context, const struct error *err)
{
	struct bench *bench = context;

	bench->ledger_failed = true;
	bench->result = *err;
}

static void on_shortage(void *context)
{
	((struct bench *)context)->short_of_room = true;
}

static int on_late(sd_event_source *source, uint64_t when_us, void *context)
{
	(void)source;
	(void)when_us;
	((struct bench *)context)->late = true;
	return 0;
}

static int begin(void **ctx)
{
	static char cat[] = "/bin/cat", name[] = "home", *argv[] = {cat, NULL};
	struct bench *bench = xcalloc(1, sizeof(*bench));
	struct attendant *attendant;

	fixture_begin(&bench->fixture, PROTOCOL_IMAP);
	bench->service = (struct service){
		.state = bench->fixture.state, .mode = JOB_HAUL, .finished = on_finished, .context = bench, .config = &bench->config};
	assert_true(sd_event_new(&bench->service.event) >= 0);
	bench->service.ledger = ledger_new(bench->service.event, bench->fixture.state, on_ledger_failure, on_shortage, bench);
	bench->dests[0] = (struct dest_config){.name = name, .kind = DEST_MDA, .argv = argv};

	attendant = attendant_new(&bench->service, &bench->fixture.config, JOB_HAUL, &bench->lines);
	attendant->mailbox_state.id = bench->fixture.mailbox;
	attendant->job.destination_count = attendant->job.target_count = 1;
	attendant->job.frozen = 1;
	attendant->job.destinations = xmalloc(sizeof(bench->dests));
	memcpy(attendant->job.destinations, bench->dests, sizeof(bench->dests));
	attendant->job.targets[0] = (struct target){0, xstrdup("anna@home")};
	bench->attendant = attendant;
	*ctx = bench;
	return 0;
}

static int end(void **ctx)
{
	struct bench *bench = *ctx;

	log_to(NULL, NULL, LEVEL_ERROR);
	deadline_set_factor(1);
	attendant_free(bench->attendant);
	maildirs_free(bench->service.maildirs);
	ledger_free(bench->service.ledger);
	sd_event_unref(bench->service.event);
	fixture_end(&bench->fixture);
	free(bench);
	return 0;
}

/* Until the condition holds; a hang is a failure. */
static void run_until(struct bench *bench, const bool *condition)
{
	sd_event_source *deadline;

	assert_true(sd_event_add_time_relative(bench->service.event, &deadline, CLOCK_MONOTONIC, DEADLINE_S * 1000000ULL, 0, on_late, bench) >= 0);
	while (!*condition && !bench->late)
		assert_true(sd_event_run(bench->service.event, UINT64_MAX) >= 0);
	sd_event_source_disable_unref(deadline);
	assert_false(bench->late);
}

/* Its destination is a Maildir, which its worker is to open first. */
static void want_maildir(struct bench *bench)
{
	static char path[] = "/nowhere/Maildir";

	bench->service.maildirs = maildirs_new();
	bench->attendant->job.destinations[0] = (struct dest_config){.name = bench->dests[0].name, .kind = DEST_MAILDIR, .path = path};
	maildirs_expect(bench->attendant);
}

/* The child says it and then hangs. */
static void give_worker(struct bench *bench, void (*say)(int channel_fd))
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	bench->attendant->channel_fd = ends[0];
	bench->attendant->worker.pid = fork();
	assert_true(bench->attendant->worker.pid >= 0);
	if (bench->attendant->worker.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		say(ends[1]);
		for (;;)
			pause();
	}
	close(ends[1]);
	bench->attendant->worker.pidfd = (int)syscall(SYS_pidfd_open, bench->attendant->worker.pid, 0);
	assert_true(bench->attendant->worker.pidfd >= 0);
	assert_int_equal(attendant_watch(bench->attendant, &bench->fixture.error), 0);
}

static void send_patiently(int fd, struct record *record, const int *fds, unsigned count)
{
	while (record_send(fd, record, fds, count) == 0) {
		struct pollfd writable = {.fd = fd, .events = POLLOUT};

		poll(&writable, 1, -1);
	}
}

/* -- lies and nonsense -- */

static void leave(int fd, bool well)
{
	send_patiently(fd, &(struct record){.kind = REC_END, .error = well ? ERR_NONE : ERR_PROTO, .scope = SCOPE_MAILBOX}, NULL, 0);
	_exit(0);
}

static void say_too_much_about_nothing(int fd)
{
	for (uint32_t seq = 1; seq <= 2 * CHANNEL_WINDOW; seq++)
		send_patiently(fd, &(struct record){.kind = REC_DISPOSED, .seq = seq, .id = 1000 + seq}, NULL, 0);
}

static void say_half_a_record(int fd)
{
	send(fd, "abc", 3, MSG_NOSIGNAL);
}

static void say_a_record_and_a_half(int fd)
{
	struct record both[2] = {{.kind = REC_PROGRESS}, {.kind = REC_PROGRESS}};

	memmove((char *)both + record_size(&both[0]), &both[1], record_size(&both[1]));
	send(fd, both, record_size(&both[0]) + record_size(&both[1]) - 1, MSG_NOSIGNAL);
}

static void say_in_the_wrong_order(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_UNFETCHED, .seq = 2, .id = 1}, NULL, 0);
}

static void say_what_only_we_say(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_ACK}, NULL, 0);
}

static void say_nothing(int fd)
{
	(void)fd;
}

static void test_ends_what_lies(void **ctx)
{
	static void (*const cases[])(int) = {
		say_too_much_about_nothing, say_half_a_record, say_a_record_and_a_half, say_in_the_wrong_order, say_what_only_we_say};
	struct bench *bench;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		end(ctx);
		begin(ctx);
		bench = *ctx;
		give_worker(bench, cases[i]);
		run_until(bench, &bench->finished);
		assert_int_equal(bench->result.kind, ERR_LOCAL);
		assert_int_equal(bench->result.scope, SCOPE_MAILBOX);
		assert_false(bench->ledger_failed);
	}
}

static void test_ends_one_that_records_while_it_should_only_look(void **ctx)
{
	struct bench *bench = *ctx;

	bench->attendant->mode = JOB_CHECK;
	give_worker(bench, say_too_much_about_nothing);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "only look"));
}

static void test_ends_one_that_says_nothing(void **ctx)
{
	struct bench *bench = *ctx;

	deadline_set_factor(1e-5);
	give_worker(bench, say_nothing);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "said nothing"));
}

static int on_babble(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source, (void)fd, (void)events, (void)context;
	return 0;
}

/* While the worker of another mailbox talks without end. */
static void test_ends_one_that_says_nothing_while_others_babble(void **ctx)
{
	struct bench *bench = *ctx;
	sd_event_source *babble;
	int ends[2];

	deadline_set_factor(1e-5);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "", 1), 1);
	assert_true(sd_event_add_io(bench->service.event, &babble, ends[0], EPOLLIN, on_babble, NULL) >= 0);
	give_worker(bench, say_nothing);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "said nothing"));
	sd_event_source_disable_unref(babble);
	close(ends[0]);
	close(ends[1]);
}

static void say_that_nobody_listens(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_END, .error = ERR_CANCELED, .scope = SCOPE_PROGRAM}, NULL, 0);
	_exit(0);
}

/* Else the run would end well, with mail left. */
static void test_takes_leaving_unasked_for_a_failure(void **ctx)
{
	struct bench *bench = *ctx;

	give_worker(bench, say_that_nobody_listens);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_LOCAL);
	assert_int_equal(bench->result.scope, SCOPE_MAILBOX);
}

/* -- one that would fill the log -- */

static void count_line(const struct log_entry *entry, void *context)
{
	struct bench *bench = context;

	bench->logged++;
	bench->confessed += strcmp(entry->event, "lines_dropped") == 0;
}

static void babble(int fd)
{
	static const char line[] = "hauled\0text\0what nobody needs";
	struct record record = {.kind = REC_LOG, .index = LEVEL_INFO, .count = 1};

	record_set_text(&record, line, sizeof(line));
	for (unsigned i = 0; i < 5 * ALLOWANCE_LINES; i++)
		send_patiently(fd, &record, NULL, 0);
	leave(fd, true);
}

static void test_lets_none_fill_the_log(void **ctx)
{
	struct bench *bench = *ctx;

	log_to(count_line, bench, LEVEL_INFO);
	give_worker(bench, babble);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->logged, ALLOWANCE_LINES + 1);
	assert_int_equal(bench->confessed, 1);
	assert_int_equal(bench->result.kind, ERR_NONE);
}

/* Nor by what it makes us say. */
static void test_lets_none_fill_the_log_with_refusals(void **ctx)
{
	struct bench *bench = *ctx;
	const struct record refusal = {.kind = REC_OUTCOME, .verdict = VERDICT_REFUSED, .scope = SCOPE_MESSAGE};

	log_to(count_line, bench, LEVEL_INFO);
	for (unsigned i = 0; i < 5 * ALLOWANCE_LINES; i++)
		attendant_committed(bench->attendant, &refusal, REFUSAL_HELD);
	assert_int_equal(bench->logged, ALLOWANCE_LINES);
}

/* -- one that strace or a debugger looks at -- */

static void say_anybody_may_trace(int fd)
{
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	send_patiently(fd, &(struct record){.kind = REC_PROGRESS}, NULL, 0);
}

/* In a process of its own: the worker dies while it is traced, and is hidden from its parent until the other end of the pipe is closed. Exit 77: may
 * not trace here. */
static void hold_back(pid_t worker, int fd)
{
	char byte = 0;

	if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) < 0)
		_exit(77);
	kill(worker, SIGKILL);
	if (waitid(P_PID, (id_t)worker, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0 || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 0)
		_exit(1);
	waitpid(worker, NULL, 0);
	_exit(0);
}

static void test_notices_the_end_of_one_that_is_traced(void **ctx)
{
	struct bench *bench = *ctx;
	int ends[2], status;
	pid_t tracer;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	give_worker(bench, say_anybody_may_trace);
	assert_true(sd_event_run(bench->service.event, DEADLINE_S * 1000000ULL) > 0); /* it has spoken, so it may be traced */
	tracer = fork();
	if (tracer == 0) {
		close(ends[0]);
		hold_back(bench->attendant->worker.pid, ends[1]);
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) == 1) {
		/* The channel ends, the descriptor of the process is readable, and there is nothing to reap yet. */
		for (int turn = 0; turn < 10; turn++)
			assert_true(sd_event_run(bench->service.event, 10000) >= 0);
		assert_false(bench->finished);
	}
	close(ends[0]);
	assert_int_equal(waitpid(tracer, &status, 0), tracer);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "ended by signal 9"));
}

/* -- a message that is no file -- */

/* Its reader would wait for a writer for ever. */
static void run_with_a_pipe(int fd)
{
	struct record request = {.kind = REC_RUN}, answer;
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	int ends[2], fds[RECORD_FDS_MAX];
	unsigned count;

	if (pipe(ends) < 0)
		return;
	close(ends[1]);
	record_set_text(&request, "\0anna@home", sizeof("\0anna@home"));
	send_patiently(fd, &request, ends, 1);
	poll(&readable, 1, -1);
	if (record_receive(fd, &answer, fds, &count) > 0 && answer.kind == REC_FAILED)
		send_patiently(fd, &(struct record){.kind = REC_END}, NULL, 0);
	_exit(0);
}

static void test_does_not_wait_for_the_other_end_of_a_pipe(void **ctx)
{
	struct bench *bench = *ctx;

	alarm(DEADLINE_S); /* the loop itself would be stuck */
	give_worker(bench, run_with_a_pipe);
	run_until(bench, &bench->finished);
	alarm(0);
	assert_int_equal(bench->result.kind, ERR_NONE);
}

/* -- what a worker asks for -- */

/* False: not what it should be. */
static bool ask(int fd, struct record *request, enum record_kind expected)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	int fds[RECORD_FDS_MAX], result;
	struct record answer;
	unsigned count;

	send_patiently(fd, request, NULL, 0);
	poll(&readable, 1, -1);
	result = record_receive(fd, &answer, fds, &count);
	while (count != 0)
		close(fds[--count]);
	return result > 0 && answer.kind == expected;
}

static void complain_again_and_again(int fd)
{
	bool well = true;

	for (unsigned i = 0; i < 50 && well; i++)
		well = ask(fd, &(struct record){.kind = REC_DESTINATION, .error = ERR_TEMP, .scope = SCOPE_DESTINATION}, REC_NOTED);
	leave(fd, well);
}

/* However often one session says that a destination is down, that is one failure. */
static void test_counts_a_destination_that_is_down_once(void **ctx)
{
	struct bench *bench = *ctx;

	give_worker(bench, complain_again_and_again);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_int_equal(number(&bench->fixture, "SELECT failures FROM destination WHERE name = 'home'"), 1);
}

static void ask_for_a_folder_twice(int fd)
{
	bool well = ask(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, REC_KNOWN);

	send_patiently(fd, &(struct record){.kind = REC_PROGRESS}, NULL, 0);
	leave(fd, well && ask(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, REC_KNOWN));
}

/* As another mailhaul would, in whose configuration there are none. */
static void forget_empty_folders(struct service *service)
{
	struct bench *bench = service->context;
	const struct config none = {0};
	bool more;

	assert_int_equal(state_shrink(service->state, &none, clock_wall_s(), &more, &bench->fixture.error), 0);
	assert_int_equal(number(&bench->fixture, "SELECT count(*) FROM folder"), 0);
}

static void test_does_without_a_folder_that_was_forgotten(void **ctx)
{
	struct bench *bench = *ctx;

	bench->service.progress = forget_empty_folders;
	give_worker(bench, ask_for_a_folder_twice);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_int_equal(number(&bench->fixture, "SELECT count(*) FROM folder"), 1);
}

/* -- one that waits for mail -- */

static int let_stay(struct service *service, struct attendant *attendant, const struct error *trouble, bool *ret_stays, struct error *err)
{
	(void)service;
	(void)attendant;
	(void)trouble;
	(void)err;
	*ret_stays = true;
	return 0;
}

static void note_turn(struct service *service, struct attendant *attendant)
{
	struct bench *bench = service->context;

	bench->waits = attendant->idle;
	bench->turns++;
}

static void haul_while_it_waits(int fd)
{
	ask(fd, &(struct record){.kind = REC_IDLE}, REC_WATCH);
	send_patiently(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, NULL, 0);
}

static void record_while_it_waits(int fd)
{
	ask(fd, &(struct record){.kind = REC_IDLE}, REC_WATCH);
	send_patiently(fd, &(struct record){.kind = REC_DISPOSED, .seq = 1, .id = 1}, NULL, 0);
}

static void wait_twice(int fd)
{
	ask(fd, &(struct record){.kind = REC_IDLE}, REC_WATCH);
	send_patiently(fd, &(struct record){.kind = REC_IDLE}, NULL, 0);
}

/* It waits until it is asked to look, and then works again. */
static void wait_and_work_on(int fd)
{
	bool well = ask(fd, &(struct record){.kind = REC_IDLE}, REC_WATCH);
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	struct record poke;
	unsigned count;
	int fds[RECORD_FDS_MAX];

	poll(&readable, 1, -1);
	well = well && record_receive(fd, &poke, fds, &count) > 0 && poke.kind == REC_POLL;
	send_patiently(fd, &(struct record){.kind = REC_HOST, .size = 600}, NULL, 0);
	send_patiently(fd, &(struct record){.kind = REC_BUSY}, NULL, 0);
	leave(fd, well && ask(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, REC_KNOWN));
}

static void test_ends_one_that_does_more_than_wait(void **ctx)
{
	static void (*const cases[])(int) = {haul_while_it_waits, record_while_it_waits, wait_twice};
	struct bench *bench;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		end(ctx);
		begin(ctx);
		bench = *ctx;
		bench->service.idle = let_stay;
		bench->service.turned = note_turn;
		give_worker(bench, cases[i]);
		run_until(bench, &bench->finished);
		assert_non_null(strstr(bench->result.text, "should wait for mail"));
	}
}

static void ask_what_is_known(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, NULL, 0);
}

static void ask_to_stay(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_IDLE}, NULL, 0);
}

static void ask_for_a_file(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_WANT_FILE}, NULL, 0);
}

static void test_ends_one_that_does_more_than_listen(void **ctx)
{
	static void (*const cases[])(int) = {ask_what_is_known, ask_to_stay, ask_for_a_file, say_too_much_about_nothing};
	struct bench *bench;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		end(ctx);
		begin(ctx);
		bench = *ctx;
		bench->attendant->mode = JOB_LISTEN;
		give_worker(bench, cases[i]);
		run_until(bench, &bench->finished);
		assert_non_null(strstr(bench->result.text, "from one that should only"));
	}
}

/* -- Maildirs -- */

#define SIGHT .count = 1, .id = 12, .when = 1700000000, .size = 5, .targets = 99 /* as REC_MAILDIR has it */

static void report_what_is_not_its_own(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_MAILDIR, .index = 1, SIGHT}, NULL, 0);
}

static void report_twice(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_MAILDIR}, NULL, 0);
	send_patiently(fd, &(struct record){.kind = REC_MAILDIR, SIGHT}, NULL, 0);
}

static void connect_before(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_CONNECT}, NULL, 0);
}

/* Where it puts mail is told before it has talked to anybody, so nobody can have made it lie. */
static void test_ends_one_that_lies_about_its_maildirs(void **ctx)
{
	static void (*const cases[])(int) = {
		report_what_is_not_its_own, report_twice, connect_before, ask_what_is_known, ask_to_stay, ask_for_a_file, say_too_much_about_nothing};
	struct bench *bench;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		end(ctx);
		begin(ctx);
		bench = *ctx;
		want_maildir(bench);
		give_worker(bench, cases[i]);
		run_until(bench, &bench->finished);
		assert_non_null(strstr(bench->result.text, "the worker broke the order of steps"));
	}
}

static void report_and_work_on(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_MAILDIR, SIGHT}, NULL, 0);
	leave(fd, ask(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, REC_KNOWN));
}

static void test_keeps_what_a_worker_found(void **ctx)
{
	struct bench *bench = *ctx;
	struct attendant *attendant = bench->attendant;

	want_maildir(bench);
	assert_int_equal(attendant->unopened, 1);
	assert_int_equal(attendant->places[0], 0);
	assert_int_equal(attendant->job.tidied[0], MAILDIR_UNKNOWN);
	give_worker(bench, report_and_work_on);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_int_equal(attendant->unopened, 0);
	assert_int_equal(attendant->places[0], maildir_place(&(struct maildir_sight){.inode = 12, .born_s = 1700000000, .born_ns = 5, .number = 99}));
	maildirs_expect(attendant); /* the next one is told */
	assert_int_equal(attendant->job.tidied[0], 99);
}

static void test_gives_up_one_that_hangs_at_a_maildir(void **ctx)
{
	struct bench *bench = *ctx;
	struct destination_state destination;

	want_maildir(bench);
	deadline_set_factor(1e-5);
	give_worker(bench, say_nothing);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.scope, SCOPE_DESTINATION);
	assert_non_null(strstr(bench->result.text, "the file system of /nowhere/Maildir does not answer"));
	assert_false(bench->attendant->unfinished); /* there is nothing else to deliver to */
	assert_int_equal(state_destination_load(bench->service.state, "home", &destination, &bench->fixture.error), 0);
	assert_int_equal(destination.failures, 1);
	bench->attendant->failed = 0;
	maildirs_expect(bench->attendant); /* the next one does without */
	assert_int_equal(bench->attendant->job.closed, 1);
}

static void report_and_be_silent(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_MAILDIR, SIGHT}, NULL, 0);
}

/* From then on it has the time that everybody has. */
static void test_is_patient_with_one_that_has_opened_its_maildirs(void **ctx)
{
	struct bench *bench = *ctx;
	int64_t began_ns = clock_monotonic_ns();

	want_maildir(bench);
	deadline_set_factor(5e-4); /* an hour is 1800 ms */
	give_worker(bench, report_and_be_silent);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "said nothing"));
	assert_true(clock_monotonic_ns() - began_ns >= 1800 * INT64_C(1000000));
}

static void live_and_be_silent(int fd)
{
	for (int i = 0; i < 10; i++) {
		send_patiently(fd, &(struct record){.kind = REC_ALIVE}, NULL, 0);
		poll(NULL, 0, 50);
	}
	poll(NULL, 0, 20000);
}

/* One that lives need not say anything else, but does not keep a place with that. */
static void test_is_patient_with_one_that_waits(void **ctx)
{
	struct bench *bench = *ctx;
	int64_t began_ns = clock_monotonic_ns();

	deadline_set_factor(4e-4); /* an hour is 1440 ms */
	give_worker(bench, live_and_be_silent);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "said nothing"));
	assert_true(clock_monotonic_ns() - began_ns >= (450 + 1440) * INT64_C(1000000));
	assert_true(bench->attendant->heard_ns - began_ns < 1440 * INT64_C(1000000));
}

/* At rest it has nothing to say for longer. */
static void test_is_patient_with_one_at_rest(void **ctx)
{
	struct bench *bench = *ctx;
	int64_t began_ns = clock_monotonic_ns();

	deadline_set_factor(4e-5); /* two hours are 288 ms */
	bench->attendant->idle = true;
	give_worker(bench, say_nothing);
	run_until(bench, &bench->finished);
	assert_non_null(strstr(bench->result.text, "said nothing"));
	assert_true(clock_monotonic_ns() - began_ns >= 288 * INT64_C(1000000));
}

static void say_what_was_heard(int fd)
{
	send_patiently(fd, &(struct record){.kind = REC_HEARD}, NULL, 0);
	send_patiently(fd, &(struct record){.kind = REC_HEARD, .count = 3}, NULL, 0);
	leave(fd, true);
}

static void note_heard(struct service *service, struct attendant *attendant, uint32_t count)
{
	struct bench *bench = service->context;

	assert_true(attendant->idle);
	bench->heard += count;
	bench->turns++;
}

static void test_hears_from_one_that_listens(void **ctx)
{
	struct bench *bench = *ctx;

	bench->attendant->mode = JOB_LISTEN;
	bench->service.heard = note_heard;
	give_worker(bench, say_what_was_heard);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_int_equal(bench->turns, 2);
	assert_int_equal(bench->heard, 3);
}

/* Only who listens may say so. */
static void test_hears_from_nobody_else(void **ctx)
{
	struct bench *bench = *ctx;

	give_worker(bench, say_what_was_heard);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->turns, 0);
	assert_int_equal(bench->result.kind, ERR_LOCAL);
}

static void test_lets_one_wait_for_mail(void **ctx)
{
	struct bench *bench = *ctx;

	bench->service.idle = let_stay;
	bench->service.turned = note_turn;
	give_worker(bench, wait_and_work_on);
	run_until(bench, &bench->waits);
	attendant_poll(bench->attendant, true);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_int_equal(bench->turns, 2);
	assert_false(bench->waits);
	assert_true(bench->attendant->insistent);
	assert_int_equal(bench->attendant->host_facts.idle_s, 600);
}

/* Nobody is there who would let it stay. */
static void wait_unasked(int fd)
{
	leave(fd,
		ask(fd, &(struct record){.kind = REC_IDLE}, REC_WATCH) && ask(fd, &(struct record){.kind = REC_FOLDER, .uidvalidity = 7}, REC_KNOWN));
}

static void test_lets_nobody_wait_during_a_run(void **ctx)
{
	struct bench *bench = *ctx;

	give_worker(bench, wait_unasked);
	run_until(bench, &bench->finished);
	assert_int_equal(bench->result.kind, ERR_NONE);
	assert_false(bench->attendant->idle);
}

/* -- a program whose worker is gone -- */

static void on_program_end(void *context)
{
	(void)context;
	fail_msg("nobody waits for it any more");
}

static void test_kills_and_reaps_what_is_given_up(void **ctx)
{
	static char sh[] = "/bin/sh", option[] = "-c", script[] = "sleep 100 & wait", *argv[] = {sh, option, script, NULL};
	struct bench *bench = *ctx;
	struct spawner spawner = {.fd = -1};
	struct program *program = &bench->attendant->command;
	pid_t pid;

	assert_int_equal(spawner_start(&spawner, &bench->fixture.error), 0);
	bench->service.spawner = &spawner;
	assert_int_equal(program_start(&bench->service, program, &(struct program_call){.argv = argv, .stdio = {0, 1, 2}, .ended = on_program_end},
				 &bench->fixture.error),
		0);
	pid = program->child.pid;
	assert_int_equal(kill(pid, 0), 0);
	program_done(program);
	while (kill(pid, 0) == 0)
		assert_true(sd_event_run(bench->service.event, DEADLINE_S * 1000000ULL) > 0);
	for (int64_t began = clock_monotonic_ns(); kill(-pid, 0) == 0;) { /* its own child is init's to reap */
		assert_true(clock_monotonic_ns() - began < DEADLINE_S * INT64_C(1000000000));
		sched_yield();
	}
	spawner_stop(&spawner);
}

/* -- a disk that is full -- */

static void test_tells_that_the_reserve_is_spent(void **ctx)
{
	struct bench *bench = *ctx;
	struct record record = {.kind = REC_UNFETCHED, .id = plan_uids(&bench->fixture, 1, 1, 1), .error = ERR_TEMP};

	for (int spent = 0; spent < 2; spent++) {
		bench->fixture.state->reserve.spent = spent;
		record.seq++;
		ledger_add(bench->service.ledger, bench->attendant, &record);
		assert_int_equal(ledger_commit(bench->service.ledger, NULL), 0);
		assert_int_equal(bench->attendant->acknowledged, record.seq); /* what was recorded counts all the same */
		assert_int_equal(bench->short_of_room, spent);
	}
	assert_false(bench->ledger_failed);
}

/* -- leaving at once -- */

static void test_records_what_was_reported_before_it_gives_up(void **ctx)
{
	struct bench *bench = *ctx;
	uint64_t id = plan_uids(&bench->fixture, 1, 1, 1);

	assert_int_equal(intend(&bench->fixture, id, 1, 1), 0);
	ledger_add(bench->service.ledger, bench->attendant, &(struct record){.kind = REC_OUTCOME, .seq = 1, .id = id, .verdict = VERDICT_ACCEPTED});
	assert_int_equal(status_of(&bench->fixture, id, 0), DELIVERY_INTENT);
	service_give_up(&bench->service, EX_OK);
	assert_int_equal(status_of(&bench->fixture, id, 0), DELIVERY_ACCEPTED);
	assert_false(bench->ledger_failed);
}

/* -- a database that somebody else has -- */

static int on_release(sd_event_source *source, uint64_t when_us, void *context)
{
	sqlite3 *other = context;

	(void)source;
	(void)when_us;
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	return 0;
}

static void test_keeps_all_records_while_the_database_is_busy(void **ctx)
{
	struct bench *bench = *ctx;
	uint64_t id = plan_uids(&bench->fixture, 1, 1, 1);
	char *path = xasprintf("%s/state.db", bench->fixture.dir);
	const uint32_t count = 4 * LEDGER_MAX;
	sd_event_source *release;
	sqlite3 *other;
	bool all = false;

	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (uint32_t seq = 1; seq <= count; seq++)
		ledger_add(bench->service.ledger, bench->attendant, &(struct record){.kind = REC_UNFETCHED, .seq = seq, .id = id, .error = ERR_TEMP});
	assert_int_equal(bench->attendant->acknowledged, 0);
	assert_true(sd_event_add_time_relative(bench->service.event, &release, CLOCK_MONOTONIC, 50000, 0, on_release, other) >= 0);
	while (!all) {
		assert_true(sd_event_run(bench->service.event, DEADLINE_S * 1000000ULL) > 0);
		all = bench->attendant->acknowledged == count;
	}
	assert_false(bench->ledger_failed);
	assert_int_equal(number(&bench->fixture, "SELECT attempts FROM message"), count);
	sd_event_source_disable_unref(release);
	sqlite3_close(other);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ends_what_lies, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_records_while_it_should_only_look, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_says_nothing, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_says_nothing_while_others_babble, begin, end),
		cmocka_unit_test_setup_teardown(test_takes_leaving_unasked_for_a_failure, begin, end),
		cmocka_unit_test_setup_teardown(test_lets_none_fill_the_log, begin, end),
		cmocka_unit_test_setup_teardown(test_lets_none_fill_the_log_with_refusals, begin, end),
		cmocka_unit_test_setup_teardown(test_notices_the_end_of_one_that_is_traced, begin, end),
		cmocka_unit_test_setup_teardown(test_does_not_wait_for_the_other_end_of_a_pipe, begin, end),
		cmocka_unit_test_setup_teardown(test_counts_a_destination_that_is_down_once, begin, end),
		cmocka_unit_test_setup_teardown(test_does_without_a_folder_that_was_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_does_more_than_wait, begin, end),
		cmocka_unit_test_setup_teardown(test_lets_one_wait_for_mail, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_does_more_than_listen, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_one_that_lies_about_its_maildirs, begin, end),
		cmocka_unit_test_setup_teardown(test_keeps_what_a_worker_found, begin, end),
		cmocka_unit_test_setup_teardown(test_gives_up_one_that_hangs_at_a_maildir, begin, end),
		cmocka_unit_test_setup_teardown(test_is_patient_with_one_that_has_opened_its_maildirs, begin, end),
		cmocka_unit_test_setup_teardown(test_is_patient_with_one_that_waits, begin, end),
		cmocka_unit_test_setup_teardown(test_is_patient_with_one_at_rest, begin, end),
		cmocka_unit_test_setup_teardown(test_hears_from_one_that_listens, begin, end),
		cmocka_unit_test_setup_teardown(test_hears_from_nobody_else, begin, end),
		cmocka_unit_test_setup_teardown(test_lets_nobody_wait_during_a_run, begin, end),
		cmocka_unit_test_setup_teardown(test_kills_and_reaps_what_is_given_up, begin, end),
		cmocka_unit_test_setup_teardown(test_tells_that_the_reserve_is_spent, begin, end),
		cmocka_unit_test_setup_teardown(test_records_what_was_reported_before_it_gives_up, begin, end),
		cmocka_unit_test_setup_teardown(test_keeps_all_records_while_the_database_is_busy, begin, end),
	};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
