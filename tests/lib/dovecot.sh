# dovecot.sh - Dovecot as an ordinary user, on loopback and high ports: IMAP and POP3 in every TLS mode, LMTP on a unix socket and TCP, dovecot-lda.
# shellcheck shell=bash

# dovecot_start DIR CERTIFICATES: users are those of dovecot_user, their mail is in DIR/mail/USER (Maildir). Sets DOVECOT_DIR, IMAP_PORT, IMAPS_PORT, POP3_PORT,
# POP3S_PORT, LMTP_PORT. 127.0.0.2 to .5 show an expired, a wrongly named, a self-signed and an unknown CA's certificate.
dovecot_start() {
  DOVECOT_DIR=$1
  local certificates=$2 tries pid
  mkdir -p "$DOVECOT_DIR/mail"
  for tries in 1 2 3 4 5; do
    if [ -n "${DOVECOT_PORTS:-}" ]; then
      read -r IMAP_PORT IMAPS_PORT POP3_PORT POP3S_PORT LMTP_PORT <<<"$DOVECOT_PORTS"
    else
      read -r IMAP_PORT IMAPS_PORT POP3_PORT POP3S_PORT LMTP_PORT < <(free_ports 5)
    fi
    dovecot_write_config "$certificates"
    # In a process group of its own, and killed as one: nothing is left, and nothing needs a second to notice that it is to leave.
    setsid dovecot -F -c "$DOVECOT_DIR/dovecot.conf" >"$DOVECOT_DIR/start.log" 2>&1 &
    pid=$!
    disown "$pid"
    at_exit "kill -KILL -- -$pid 2>/dev/null"
    if wait_until 10 dovecot_is_up "$pid" && kill -0 "$pid" 2>/dev/null; then
      return 0
    fi
    kill -KILL -- -$pid 2>/dev/null
  done
  echo "Dovecot did not start after $tries tries: $(cat "$DOVECOT_DIR/start.log" "$DOVECOT_DIR/dovecot.log")" >&2
  return 1
}

# dovecot_is_up PID: all is bound when its master says so; without a master there is nothing to wait for, and the caller tries other ports.
dovecot_is_up() {
  kill -0 "$1" 2>/dev/null || return 0
  doveadm -c "$DOVECOT_DIR/dovecot.conf" service status imap-login
}

# dovecot_user NAME PASSWORD. A file per user: of one that many share Dovecot would not see a change within the same second.
dovecot_user() {
  echo "$1:{PLAIN.B64}$(printf %s "$2" | base64)::::::" >"$DOVECOT_DIR/users/$1"
  mkdir -p "$DOVECOT_DIR/mail/$1/cur" "$DOVECOT_DIR/mail/$1/new" "$DOVECOT_DIR/mail/$1/tmp"
}

dovecot_write_config() {
  local certificates=$1 user group
  user=${DOVECOT_USER:-$(id -un)}
  group=$(id -gn "$user")
  mkdir -p "$DOVECOT_DIR/users"
  : >"$DOVECOT_DIR/users/nobody-here"
  cat >"$DOVECOT_DIR/dovecot.conf" <<EOF
base_dir = $DOVECOT_DIR/run
state_dir = $DOVECOT_DIR/state
log_path = $DOVECOT_DIR/dovecot.log
protocols = imap pop3 lmtp
listen = 127.0.0.1, 127.0.0.2, 127.0.0.3, 127.0.0.4, 127.0.0.5
default_internal_user = $user
default_internal_group = $group
default_login_user = $user
default_vsz_limit = 1024M
first_valid_uid = 1
first_valid_gid = 1
ssl = yes
ssl_cert = <$certificates/server.pem
ssl_key = <$certificates/server.key
local 127.0.0.2 {
  ssl_cert = <$certificates/expired.pem
  ssl_key = <$certificates/expired.key
}
local 127.0.0.3 {
  ssl_cert = <$certificates/wrong-name.pem
  ssl_key = <$certificates/wrong-name.key
}
local 127.0.0.4 {
  ssl_cert = <$certificates/self-signed.pem
  ssl_key = <$certificates/self-signed.key
}
local 127.0.0.5 {
  ssl_cert = <$certificates/other-ca.pem
  ssl_key = <$certificates/other-ca.key
}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Ln
auth_failure_delay = 0
pop3_no_flag_updates = yes
mail_max_userip_connections = 0
mail_location = maildir:$DOVECOT_DIR/mail/%u
mail_uid = $user
mail_gid = $group
maildir_stat_dirs = yes
namespace inbox {
  inbox = yes
}
passdb {
  driver = passwd-file
  args = $DOVECOT_DIR/users/%n
}
userdb {
  driver = passwd-file
  args = $DOVECOT_DIR/users/%n
  override_fields = uid=$user gid=$group home=$DOVECOT_DIR/mail/%u
}
postmaster_address = postmaster@home.example
hostname = home.example
recipient_delimiter = +
lmtp_rcpt_check_quota = no
service imap-login {
  chroot =
  inet_listener imap {
    port = $IMAP_PORT
  }
  inet_listener imaps {
    port = $IMAPS_PORT
    ssl = yes
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = $POP3_PORT
  }
  inet_listener pop3s {
    port = $POP3S_PORT
    ssl = yes
  }
}
# Refused logins would slow down those after them from the same address.
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service lmtp {
  user = $user
  unix_listener $DOVECOT_DIR/lmtp {
    mode = 0600
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = $LMTP_PORT
  }
}
service auth {
  unix_listener auth-userdb {
    mode = 0600
    user = $user
  }
}
service auth-worker {
  user = $user
}
service stats {
  unix_listener stats-writer {
    mode = 0600
    user = $user
  }
}
EOF
}

# dovecot_put USER NAME FILE: as if it had been delivered just now.
dovecot_put() {
  cp --preserve=timestamps "$3" "$DOVECOT_DIR/mail/$1/tmp/$2" && mv "$DOVECOT_DIR/mail/$1/tmp/$2" "$DOVECOT_DIR/mail/$1/new/$2"
}

# dovecot_fill USER DIRECTORY: every file of it, names in order of arrival.
dovecot_fill() {
  local file number=1000000000
  for file in "$2"/*; do
    number=$((number + 1))
    dovecot_put "$1" "$number.$(basename "$file").host" "$file"
  done
}

doveadm_() {
  doveadm -c "$DOVECOT_DIR/dovecot.conf" "$@"
}

# dovecot_count USER MAILBOX [SEARCH...]
dovecot_count() {
  local user=$1 mailbox=$2
  shift 2
  doveadm_ search -u "$user" mailbox "$mailbox" "${@:-all}" | wc -l
}
