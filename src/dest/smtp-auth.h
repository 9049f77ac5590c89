/* smtp-auth.h - AUTH (RFC 4954), with what auth/sasl.h has to say. */
#ifndef MAILHAUL_DEST_SMTP_AUTH_H
#define MAILHAUL_DEST_SMTP_AUTH_H

struct error;
struct smtp_session;

/* Logs in with the configured user, after EHLO and TLS. A credential goes in the clear only to this machine. Errors have SCOPE_DESTINATION: ERR_AUTH for
 * a refusal, ERR_CONFIG if there is no way to log in, ERR_PROTO if the server plays tricks with challenges. */
int smtp_login(struct smtp_session *session, struct error *err);

#endif
