#include "base/error.h"
#include "state/store.h"

#define CAPABILITIES_S (7 * 86400) /* asked for anew so often: servers are upgraded */
#define UNSAFE_S (30 * 86400)      /* a server that lost commands gets another chance, which costs a slow session if it still does */

/* A wall clock that was set back makes everything old. */
static bool is_fresh(int64_t since, int64_t max_s, int64_t now)
{
	return since <= now && now - since < max_s;
}

int state_host_load(struct state *state, const struct mailbox_config *mailbox, int64_t now, struct host_facts *ret_facts, struct error *err)
{
	const struct endpoint *server = &mailbox->server.endpoint;
	sqlite3_stmt *row SQL_SCOPED = sql_query(state, err,
		"SELECT before_login, after_login, mechanisms, learned_at, boundary, boundary_at, idle_s, login_delay_s FROM host"
		" WHERE protocol = ?1 AND host = ?2 AND port = ?3 AND tls = ?4",
		SQL_NUMBER(mailbox->protocol), SQL_TEXT(server->host), SQL_NUMBER(server->port), SQL_NUMBER(server->tls));
	int found = sql_step(state, row, err);
	struct host_facts facts = {0};

	if (found > 0) {
		facts.known = is_fresh(sqlite3_column_int64(row, 3), CAPABILITIES_S, now);
		facts.before = (uint32_t)sqlite3_column_int64(row, 0);
		facts.after = (uint32_t)sqlite3_column_int64(row, 1);
		facts.mechanisms = (uint32_t)sqlite3_column_int64(row, 2);
		facts.boundary = (enum login_boundary)sqlite3_column_int(row, 4);
		facts.idle_s = (uint32_t)sqlite3_column_int64(row, 6);
		facts.login_delay_s = facts.known ? (uint32_t)sqlite3_column_int64(row, 7) : 0;
		if (facts.boundary == BOUNDARY_UNSAFE && !is_fresh(sqlite3_column_int64(row, 5), UNSAFE_S, now))
			facts.boundary = BOUNDARY_UNKNOWN;
	}
	if (found >= 0)
		*ret_facts = facts;
	return found < 0 ? -1 : 0;
}

int state_host_store(struct state *state, const struct mailbox_config *mailbox, const struct host_facts *facts, int64_t now, struct error *err)
{
	const struct endpoint *server = &mailbox->server.endpoint;

	return sql_run(state, err,
		"INSERT INTO host (protocol, host, port, tls, before_login, after_login, mechanisms, learned_at, boundary, boundary_at, idle_s, "
		"login_delay_s)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?12, ?13) ON CONFLICT DO UPDATE SET before_login = excluded.before_login,"
		" after_login = excluded.after_login, mechanisms = excluded.mechanisms, learned_at = excluded.learned_at,"
		" idle_s = excluded.idle_s, login_delay_s = excluded.login_delay_s, boundary = excluded.boundary,"
		" boundary_at = CASE WHEN boundary = excluded.boundary AND boundary_at > ?11 THEN boundary_at ELSE excluded.boundary_at END",
		SQL_NUMBER(mailbox->protocol), SQL_TEXT(server->host), SQL_NUMBER(server->port), SQL_NUMBER(server->tls), SQL_NUMBER(facts->before),
		SQL_NUMBER(facts->after), SQL_NUMBER(facts->mechanisms), SQL_NUMBER(facts->known ? now : 0), SQL_NUMBER(facts->boundary),
		SQL_NUMBER(now), SQL_NUMBER(now - UNSAFE_S), SQL_NUMBER(facts->idle_s), SQL_NUMBER(facts->login_delay_s));
}
