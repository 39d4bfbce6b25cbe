-- revision 0010
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE admin_link (
	token_sha256 TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT, role TEXT DEFAULT 'admin' NOT NULL CONSTRAINT ck_admin_link_role CHECK (role IN ('admin', 'operator', 'participant')),
	CONSTRAINT pk_admin_link PRIMARY KEY (token_sha256)
);
CREATE TABLE instance (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	url TEXT NOT NULL,
	version TEXT DEFAULT '' NOT NULL,
	added_at BIGINT NOT NULL,
	CONSTRAINT pk_instance PRIMARY KEY (id),
	CONSTRAINT uq_instance_name UNIQUE (name)
);
CREATE TABLE account (
	id INTEGER NOT NULL,
	instance_id INTEGER NOT NULL,
	gitlab_user_id INTEGER NOT NULL,
	username TEXT NOT NULL,
	scopes TEXT DEFAULT '' NOT NULL,
	token TEXT NOT NULL,
	state TEXT NOT NULL,
	verified_at BIGINT NOT NULL, source_sha256 TEXT DEFAULT '' NOT NULL, refresh_token TEXT DEFAULT '' NOT NULL, expires_at BIGINT, renew_at BIGINT, token_version INTEGER DEFAULT '0' NOT NULL, renewal_began_at BIGINT, renewal_refused_at BIGINT, redirect_uri TEXT DEFAULT '' NOT NULL, mode TEXT DEFAULT 'team' NOT NULL CONSTRAINT ck_account_mode CHECK (mode IN ('team', 'study')), consent_id INTEGER CONSTRAINT ck_account_consent CHECK (mode = 'team' OR state <> 'active' OR consent_id IS NOT NULL), disabled_at BIGINT,
	CONSTRAINT pk_account PRIMARY KEY (id),
	CONSTRAINT ck_account_state CHECK (state IN ('active', 'refused')),
	CONSTRAINT fk_account_instance_id FOREIGN KEY(instance_id) REFERENCES instance (id),
	CONSTRAINT uq_account_instance_id_gitlab_user_id UNIQUE (instance_id, gitlab_user_id)
);
CREATE TABLE area (
	id INTEGER NOT NULL,
	instance_id INTEGER NOT NULL,
	kind TEXT NOT NULL,
	gitlab_id INTEGER NOT NULL,
	full_path TEXT NOT NULL,
	name TEXT NOT NULL,
	web_url TEXT DEFAULT '' NOT NULL,
	parent_path TEXT DEFAULT '' NOT NULL,
	discovered_at BIGINT NOT NULL,
	seen_at BIGINT NOT NULL, unseen_at BIGINT,
	CONSTRAINT pk_area PRIMARY KEY (id),
	CONSTRAINT ck_area_kind CHECK (kind IN ('instance', 'group', 'project', 'user')),
	CONSTRAINT fk_area_instance_id FOREIGN KEY(instance_id) REFERENCES instance (id),
	CONSTRAINT uq_area_instance_id_kind_gitlab_id UNIQUE (instance_id, kind, gitlab_id)
);
CREATE INDEX ix_area_full_path ON area (full_path, id);
CREATE INDEX ix_area_tree ON area (replace(full_path, '/', ' '), id);
CREATE TABLE area_access (
	area_id INTEGER NOT NULL,
	account_id INTEGER NOT NULL,
	role INTEGER NOT NULL,
	seen_at BIGINT NOT NULL,
	CONSTRAINT pk_area_access PRIMARY KEY (area_id, account_id),
	CONSTRAINT fk_area_access_account_id FOREIGN KEY(account_id) REFERENCES account (id),
	CONSTRAINT fk_area_access_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE INDEX ix_area_access_account_id ON area_access (account_id, area_id);
CREATE TABLE area_path (
	area_id INTEGER NOT NULL,
	full_path TEXT NOT NULL,
	seen_from BIGINT NOT NULL,
	CONSTRAINT pk_area_path PRIMARY KEY (area_id, full_path),
	CONSTRAINT fk_area_path_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE TABLE job (
	id INTEGER NOT NULL,
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	state TEXT NOT NULL,
	hold_reason TEXT,
	priority INTEGER DEFAULT '0' NOT NULL,
	run_after BIGINT,
	attempt INTEGER DEFAULT '0' NOT NULL,
	fence INTEGER DEFAULT '0' NOT NULL,
	lease_holder TEXT,
	lease_expires_at BIGINT,
	claim_id TEXT,
	account_id INTEGER,
	parent_id INTEGER,
	cursor TEXT,
	next_segment INTEGER DEFAULT '1' NOT NULL,
	processed_items INTEGER DEFAULT '0' NOT NULL,
	total_items INTEGER,
	requests INTEGER DEFAULT '0' NOT NULL,
	retries INTEGER DEFAULT '0' NOT NULL,
	earlier_requests INTEGER DEFAULT '0' NOT NULL,
	earlier_retries INTEGER DEFAULT '0' NOT NULL,
	stage TEXT DEFAULT '' NOT NULL,
	error_reason TEXT,
	error_message TEXT,
	applied_origin TEXT,
	applied_id TEXT,
	created_at BIGINT NOT NULL,
	started_at BIGINT,
	finished_at BIGINT,
	updated_at BIGINT NOT NULL,
	change INTEGER NOT NULL, wanted TEXT DEFAULT 'run' NOT NULL CONSTRAINT ck_job_wanted CHECK (wanted = 'run' OR (wanted = 'pause' AND state = 'running')), mode TEXT DEFAULT 'full' NOT NULL CONSTRAINT ck_job_mode CHECK (mode IN ('full', 'changes', 'sweep')), read_role INTEGER, changed_items INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_job PRIMARY KEY (id),
	CONSTRAINT ck_job_error CHECK ((state = 'failed') = (error_reason IS NOT NULL)),
	CONSTRAINT ck_job_hold CHECK ((state = 'held') = (hold_reason IS NOT NULL)),
	CONSTRAINT ck_job_lease CHECK ((state = 'running') = (lease_holder IS NOT NULL AND lease_expires_at IS NOT NULL)),
	CONSTRAINT ck_job_state CHECK (state IN ('queued', 'running', 'held', 'completed', 'failed', 'cancelled')),
	CONSTRAINT fk_job_account_id FOREIGN KEY(account_id) REFERENCES account (id),
	CONSTRAINT fk_job_area_id FOREIGN KEY(area_id) REFERENCES area (id),
	CONSTRAINT fk_job_parent_id FOREIGN KEY(parent_id) REFERENCES job (id)
);
CREATE INDEX ix_job_area_id ON job (area_id, resource, id);
CREATE INDEX ix_job_change ON job (change);
CREATE INDEX ix_job_parent_id ON job (parent_id, id);
CREATE INDEX ix_job_resource ON job (resource, id);
CREATE INDEX ix_job_resource_state ON job (resource, state, id);
CREATE INDEX ix_job_state ON job (state, id);
CREATE INDEX ix_job_due ON job (priority DESC, id) WHERE state = 'queued' AND run_after IS NULL;
CREATE INDEX ix_job_lease_expires_at ON job (lease_expires_at) WHERE state = 'running';
CREATE INDEX ix_job_run_after ON job (run_after) WHERE run_after IS NOT NULL;
CREATE UNIQUE INDEX uq_job_open ON job (area_id, resource) WHERE state IN ('queued', 'running', 'held');
CREATE TABLE segment (
	id INTEGER NOT NULL,
	job_id INTEGER NOT NULL,
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	fence INTEGER NOT NULL,
	name TEXT NOT NULL,
	length BIGINT NOT NULL,
	sha256 TEXT NOT NULL,
	records INTEGER NOT NULL,
	created_at BIGINT NOT NULL,
	CONSTRAINT pk_segment PRIMARY KEY (id),
	CONSTRAINT fk_segment_area_id FOREIGN KEY(area_id) REFERENCES area (id),
	CONSTRAINT fk_segment_job_id FOREIGN KEY(job_id) REFERENCES job (id),
	CONSTRAINT uq_segment_name UNIQUE (name)
);
CREATE INDEX ix_segment_area_id ON segment (area_id, resource, id);
CREATE INDEX ix_segment_job_id ON segment (job_id, id);
CREATE TABLE ledger (
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	job_id INTEGER,
	expected INTEGER,
	expected_by TEXT DEFAULT '' NOT NULL,
	collected INTEGER DEFAULT '0' NOT NULL,
	reason TEXT,
	detail TEXT DEFAULT '' NOT NULL,
	completed_at BIGINT,
	updated_at BIGINT NOT NULL, stored_role INTEGER,
	CONSTRAINT pk_ledger_rows PRIMARY KEY (area_id, resource),
	CONSTRAINT ck_ledger_reason CHECK (reason IN ('feature_off', 'empty_repository', 'forbidden', 'tier', 'cap', 'deleted', 'failed', 'changed', 'cancelled', 'elsewhere')),
	CONSTRAINT fk_ledger_area_id FOREIGN KEY(area_id) REFERENCES area (id),
	CONSTRAINT fk_ledger_job_id FOREIGN KEY(job_id) REFERENCES job (id)
);
CREATE TABLE api_token (
	id INTEGER NOT NULL,
	name TEXT NOT NULL,
	prefix TEXT NOT NULL,
	token_sha256 TEXT NOT NULL,
	scopes TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	last_used_at BIGINT,
	revoked_at BIGINT,
	CONSTRAINT pk_api_token PRIMARY KEY (id),
	CONSTRAINT uq_api_token_prefix UNIQUE (prefix),
	CONSTRAINT uq_api_token_token_sha256 UNIQUE (token_sha256)
);
CREATE TABLE crawler (
	name TEXT NOT NULL,
	owner TEXT DEFAULT '' NOT NULL,
	wanted TEXT DEFAULT 'run' NOT NULL,
	changed_at BIGINT NOT NULL,
	CONSTRAINT pk_crawler PRIMARY KEY (name),
	CONSTRAINT ck_crawler_wanted CHECK (wanted IN ('run', 'pause', 'drain'))
);
CREATE TABLE budget (
	account_id INTEGER NOT NULL,
	class TEXT NOT NULL,
	limit_per_minute INTEGER,
	not_before BIGINT DEFAULT '0' NOT NULL,
	updated_at BIGINT NOT NULL,
	CONSTRAINT pk_budget PRIMARY KEY (account_id, class),
	CONSTRAINT fk_budget_account_id FOREIGN KEY(account_id) REFERENCES account (id)
);
CREATE TABLE message (
	origin TEXT NOT NULL,
	message_id TEXT NOT NULL,
	applied_at BIGINT NOT NULL,
	CONSTRAINT pk_message PRIMARY KEY (origin, message_id)
);
CREATE INDEX ix_message_applied_at ON message (applied_at);
CREATE TABLE audit (
	id INTEGER NOT NULL,
	at BIGINT NOT NULL,
	tier TEXT NOT NULL,
	client TEXT NOT NULL,
	level TEXT NOT NULL,
	action TEXT NOT NULL,
	target TEXT NOT NULL,
	outcome TEXT NOT NULL,
	detail TEXT DEFAULT '' NOT NULL,
	mac TEXT NOT NULL,
	CONSTRAINT pk_audit PRIMARY KEY (id),
	CONSTRAINT ck_audit_level CHECK (level IN ('high', 'medium', 'low', 'none'))
);
CREATE INDEX ix_audit_at ON audit (at);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TABLE visit (
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	watermark BIGINT,
	every_ms BIGINT,
	next_at BIGINT,
	sweep_at BIGINT,
	last_at BIGINT,
	last_changed_at BIGINT,
	wanted_at BIGINT,
	role INTEGER,
	runs INTEGER DEFAULT '0' NOT NULL,
	unchanged INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_visit PRIMARY KEY (area_id, resource),
	CONSTRAINT fk_visit_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE INDEX ix_visit_next_at ON visit (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX ix_visit_sweep_at ON visit (sweep_at) WHERE sweep_at IS NOT NULL;
CREATE TABLE ledger_window (
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	since TEXT NOT NULL,
	until TEXT NOT NULL,
	expected INTEGER,
	collected INTEGER NOT NULL,
	updated_at BIGINT NOT NULL,
	CONSTRAINT pk_ledger_window PRIMARY KEY (area_id, resource, since, until),
	CONSTRAINT fk_ledger_window_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE TABLE retired (
	name TEXT NOT NULL,
	retired_at BIGINT NOT NULL,
	CONSTRAINT pk_retired PRIMARY KEY (name)
);
CREATE TABLE person (
	id INTEGER NOT NULL,
	instance_id INTEGER NOT NULL,
	gitlab_user_id INTEGER NOT NULL,
	username TEXT DEFAULT '' NOT NULL,
	name TEXT DEFAULT '' NOT NULL,
	added_at BIGINT NOT NULL,
	seen_at BIGINT NOT NULL,
	CONSTRAINT pk_person PRIMARY KEY (id),
	CONSTRAINT fk_person_instance_id FOREIGN KEY(instance_id) REFERENCES instance (id),
	CONSTRAINT uq_person_instance_id_gitlab_user_id UNIQUE (instance_id, gitlab_user_id)
);
CREATE TABLE session (
	id INTEGER NOT NULL,
	token_sha256 TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	seen_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	revoked_at BIGINT,
	role TEXT DEFAULT 'admin' NOT NULL,
	person_id INTEGER,
	CONSTRAINT pk_session_rows PRIMARY KEY (id),
	CONSTRAINT ck_session_role CHECK (role IN ('admin', 'operator', 'participant')),
	CONSTRAINT ck_session_owner CHECK (role <> 'participant' OR person_id IS NOT NULL),
	CONSTRAINT fk_session_person_id FOREIGN KEY(person_id) REFERENCES person (id),
	CONSTRAINT uq_session_token_sha256 UNIQUE (token_sha256)
);
CREATE INDEX ix_session_person_id ON session (person_id, id);
CREATE TABLE sign_in_attempt (
	state_sha256 TEXT NOT NULL,
	browser_sha256 TEXT NOT NULL,
	instance_name TEXT NOT NULL,
	wish TEXT NOT NULL,
	return_to TEXT DEFAULT '/' NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at BIGINT,
	CONSTRAINT pk_sign_in_attempt PRIMARY KEY (state_sha256),
	CONSTRAINT ck_sign_in_attempt_wish CHECK (wish IN ('take_part', 'operate'))
);
CREATE TABLE pinned (
	id INTEGER NOT NULL,
	mode TEXT NOT NULL,
	key_id TEXT DEFAULT '' NOT NULL,
	basis TEXT DEFAULT '' NOT NULL,
	pinned_at BIGINT NOT NULL,
	CONSTRAINT pk_pinned PRIMARY KEY (id),
	CONSTRAINT ck_pinned_one CHECK (id = 1),
	CONSTRAINT ck_pinned_mode CHECK (mode IN ('team', 'study'))
);
CREATE TABLE consent_text (
	version INTEGER NOT NULL,
	title TEXT NOT NULL,
	body TEXT NOT NULL,
	until BIGINT NOT NULL,
	written_at BIGINT NOT NULL,
	written_by TEXT NOT NULL,
	CONSTRAINT pk_consent_text PRIMARY KEY (version)
);
CREATE TABLE consent_resource (
	version INTEGER NOT NULL,
	resource TEXT NOT NULL,
	CONSTRAINT pk_consent_resource PRIMARY KEY (version, resource),
	CONSTRAINT fk_consent_resource_version FOREIGN KEY(version) REFERENCES consent_text (version)
);
CREATE TABLE consent (
	id INTEGER NOT NULL,
	account_id INTEGER NOT NULL,
	version INTEGER NOT NULL,
	areas TEXT NOT NULL,
	until BIGINT NOT NULL,
	given_at BIGINT NOT NULL,
	given_by TEXT NOT NULL,
	ended_at BIGINT,
	ended_why TEXT,
	CONSTRAINT pk_consent PRIMARY KEY (id),
	CONSTRAINT ck_consent_areas CHECK (areas IN ('all', 'chosen')),
	CONSTRAINT ck_consent_ended_why CHECK (ended_why IN ('withdrawn', 'expired', 'changed', 'new text')),
	CONSTRAINT ck_consent_ended CHECK ((ended_at IS NULL) = (ended_why IS NULL)),
	CONSTRAINT fk_consent_account_id FOREIGN KEY(account_id) REFERENCES account (id),
	CONSTRAINT fk_consent_version FOREIGN KEY(version) REFERENCES consent_text (version)
);
CREATE INDEX ix_consent_account_id ON consent (account_id, id);
CREATE UNIQUE INDEX uq_consent_living ON consent (account_id) WHERE ended_at IS NULL;
CREATE INDEX ix_consent_until ON consent (until) WHERE ended_at IS NULL;
CREATE TABLE area_choice (
	account_id INTEGER NOT NULL,
	area_id INTEGER NOT NULL,
	wanted INTEGER,
	role INTEGER DEFAULT '0' NOT NULL,
	seen_at BIGINT NOT NULL,
	chosen_at BIGINT,
	CONSTRAINT pk_area_choice PRIMARY KEY (account_id, area_id),
	CONSTRAINT ck_area_choice_wanted CHECK (wanted IN (0, 1)),
	CONSTRAINT fk_area_choice_account_id FOREIGN KEY(account_id) REFERENCES account (id),
	CONSTRAINT fk_area_choice_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE TABLE withheld (
	area_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	field TEXT NOT NULL,
	records INTEGER NOT NULL,
	seen_at BIGINT NOT NULL,
	CONSTRAINT pk_withheld PRIMARY KEY (area_id, resource, field),
	CONSTRAINT fk_withheld_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE INDEX ix_withheld_resource ON withheld (resource, field);
CREATE TRIGGER pinned_no_delete BEFORE DELETE ON pinned BEGIN SELECT RAISE(ABORT, 'the mode of a data folder stays'); END;
CREATE TRIGGER pinned_no_return BEFORE UPDATE ON pinned WHEN OLD.mode = 'study' AND (NEW.mode <> 'study' OR NEW.key_id <> OLD.key_id) BEGIN SELECT RAISE(ABORT, 'a data folder never goes from study to team, nor to another key'); END;
CREATE TRIGGER consent_text_no_update BEFORE UPDATE ON consent_text BEGIN SELECT RAISE(ABORT, 'people agreed to these words'); END;
CREATE TRIGGER consent_text_no_delete BEFORE DELETE ON consent_text BEGIN SELECT RAISE(ABORT, 'people agreed to these words'); END;
CREATE TRIGGER consent_resource_no_update BEFORE UPDATE ON consent_resource BEGIN SELECT RAISE(ABORT, 'people agreed to these words'); END;
CREATE TRIGGER consent_resource_no_delete BEFORE DELETE ON consent_resource BEGIN SELECT RAISE(ABORT, 'people agreed to these words'); END;
CREATE TRIGGER consent_no_delete BEFORE DELETE ON consent BEGIN SELECT RAISE(ABORT, 'a consent is ended, never removed'); END;
CREATE TRIGGER consent_only_ends BEFORE UPDATE ON consent WHEN OLD.ended_at IS NOT NULL OR NEW.account_id <> OLD.account_id OR NEW.version <> OLD.version OR NEW.areas <> OLD.areas OR NEW.until <> OLD.until OR NEW.given_at <> OLD.given_at OR NEW.given_by <> OLD.given_by BEGIN SELECT RAISE(ABORT, 'a consent only ever ends'); END;
CREATE TRIGGER consent_is_used BEFORE UPDATE OF ended_at ON consent WHEN NEW.ended_at IS NOT NULL AND EXISTS (SELECT 1 FROM account WHERE account.consent_id = OLD.id) BEGIN SELECT RAISE(ABORT, 'an account still rests on this consent'); END;
CREATE TRIGGER account_stays_in_study BEFORE UPDATE OF mode ON account WHEN OLD.mode = 'study' AND NEW.mode <> 'study' BEGIN SELECT RAISE(ABORT, 'an account of a study stays one'); END;
CREATE TRIGGER account_needs_consent BEFORE UPDATE OF state, mode, consent_id ON account WHEN (NEW.mode = 'study' OR EXISTS (SELECT 1 FROM pinned WHERE mode = 'study')) AND (NEW.state = 'active' OR NEW.consent_id IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM consent WHERE consent.id = NEW.consent_id AND consent.account_id = NEW.id AND consent.ended_at IS NULL) BEGIN SELECT RAISE(ABORT, 'no account of a study is used without a consent that holds'); END;
CREATE TRIGGER account_begins_unused BEFORE INSERT ON account WHEN EXISTS (SELECT 1 FROM pinned WHERE mode = 'study') AND (NEW.state = 'active' OR NEW.consent_id IS NOT NULL) BEGIN SELECT RAISE(ABORT, 'no account of a study is used without a consent that holds'); END;
CREATE TRIGGER area_access_needs_consent BEFORE INSERT ON area_access WHEN (SELECT mode FROM account WHERE account.id = NEW.account_id) = 'study' AND NOT
EXISTS (SELECT 1 FROM account AS c JOIN consent AS k ON k.id = c.consent_id
  JOIN area AS a ON a.id = NEW.area_id
  WHERE c.id = NEW.account_id AND c.mode = 'study' AND k.ended_at IS NULL
  AND (a.kind = 'user' OR 1 = COALESCE(
    (SELECT h.wanted FROM area_choice AS h JOIN area AS p ON p.id = h.area_id
     WHERE h.account_id = c.id AND h.wanted IS NOT NULL AND p.instance_id = a.instance_id
     AND (p.id = a.id OR (p.kind = 'group'
       AND substr(a.full_path, 1, length(p.full_path) + 1) = p.full_path || '/'))
     ORDER BY CASE WHEN p.id = a.id THEN 0 ELSE 1 END, length(p.full_path) DESC LIMIT 1),
    CASE WHEN k.areas = 'all' THEN 1 ELSE 0 END)))
 BEGIN SELECT RAISE(ABORT, 'no area of a participant is read without consent'); END;
CREATE TRIGGER area_access_keeps_consent BEFORE UPDATE OF area_id, account_id ON area_access WHEN (SELECT mode FROM account WHERE account.id = NEW.account_id) = 'study' AND NOT
EXISTS (SELECT 1 FROM account AS c JOIN consent AS k ON k.id = c.consent_id
  JOIN area AS a ON a.id = NEW.area_id
  WHERE c.id = NEW.account_id AND c.mode = 'study' AND k.ended_at IS NULL
  AND (a.kind = 'user' OR 1 = COALESCE(
    (SELECT h.wanted FROM area_choice AS h JOIN area AS p ON p.id = h.area_id
     WHERE h.account_id = c.id AND h.wanted IS NOT NULL AND p.instance_id = a.instance_id
     AND (p.id = a.id OR (p.kind = 'group'
       AND substr(a.full_path, 1, length(p.full_path) + 1) = p.full_path || '/'))
     ORDER BY CASE WHEN p.id = a.id THEN 0 ELSE 1 END, length(p.full_path) DESC LIMIT 1),
    CASE WHEN k.areas = 'all' THEN 1 ELSE 0 END)))
 BEGIN SELECT RAISE(ABORT, 'no area of a participant is read without consent'); END;
CREATE TRIGGER job_needs_consent BEFORE INSERT ON job WHEN EXISTS (SELECT 1 FROM pinned WHERE mode = 'study') AND (NOT EXISTS (SELECT 1 FROM area_access AS x WHERE x.area_id = NEW.area_id) OR (NEW.resource <> 'discovery' AND NOT EXISTS (SELECT 1 FROM consent_resource AS r WHERE r.resource IN (NEW.resource, '*') AND r.version = (SELECT MAX(version) FROM consent_text)))) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER job_is_asked_for BEFORE UPDATE OF state ON job WHEN OLD.state <> 'running' AND NEW.state = 'queued' AND EXISTS (SELECT 1 FROM pinned WHERE mode = 'study') AND (NOT EXISTS (SELECT 1 FROM area_access AS x WHERE x.area_id = NEW.area_id) OR (NEW.resource <> 'discovery' AND NOT EXISTS (SELECT 1 FROM consent_resource AS r WHERE r.resource IN (NEW.resource, '*') AND r.version = (SELECT MAX(version) FROM consent_text)))) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER account_is_of_the_study AFTER INSERT ON account WHEN NEW.mode = 'team' AND EXISTS (SELECT 1 FROM pinned WHERE mode = 'study') BEGIN UPDATE account SET mode = 'study' WHERE id = NEW.id; END;
CREATE TRIGGER account_loses_access AFTER UPDATE OF consent_id ON account WHEN NEW.mode = 'study' AND NEW.consent_id IS NULL BEGIN DELETE FROM area_access WHERE account_id = NEW.id; END;
CREATE TRIGGER area_choice_takes_access AFTER UPDATE OF wanted ON area_choice WHEN NEW.wanted = 0 BEGIN DELETE FROM area_access WHERE account_id = NEW.account_id AND area_id = NEW.area_id; END;
CREATE TRIGGER area_choice_takes_new_access AFTER INSERT ON area_choice WHEN NEW.wanted = 0 BEGIN DELETE FROM area_access WHERE account_id = NEW.account_id AND area_id = NEW.area_id; END;
CREATE TABLE operation (
	id INTEGER NOT NULL,
	action TEXT NOT NULL,
	wanted TEXT NOT NULL,
	value INTEGER,
	because TEXT NOT NULL,
	who TEXT NOT NULL,
	state TEXT DEFAULT 'running' NOT NULL,
	expected INTEGER NOT NULL,
	expected_more INTEGER DEFAULT '0' NOT NULL,
	looked_id BIGINT DEFAULT '0' NOT NULL,
	last_id BIGINT NOT NULL,
	matching INTEGER DEFAULT '0' NOT NULL,
	done INTEGER DEFAULT '0' NOT NULL,
	skipped TEXT DEFAULT '{}' NOT NULL,
	ended_by TEXT DEFAULT '' NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	ended_at BIGINT,
	CONSTRAINT pk_operation PRIMARY KEY (id),
	CONSTRAINT ck_operation_action CHECK (action IN ('retry', 'pause', 'resume', 'cancel', 'priority')),
	CONSTRAINT ck_operation_state CHECK (state IN ('running', 'stopped', 'completed')),
	CONSTRAINT ck_operation_ended CHECK ((state = 'running') = (ended_at IS NULL)),
	CONSTRAINT ck_operation_value CHECK ((action = 'priority') = (value IS NOT NULL))
);
CREATE INDEX ix_operation_running ON operation (id) WHERE state = 'running';
CREATE TABLE attempt (
	job_id INTEGER NOT NULL,
	fence INTEGER NOT NULL,
	holder TEXT NOT NULL,
	account_id INTEGER,
	began_at BIGINT NOT NULL,
	ended_at BIGINT,
	outcome TEXT,
	reason TEXT,
	message TEXT,
	requests INTEGER DEFAULT '0' NOT NULL,
	CONSTRAINT pk_attempt PRIMARY KEY (job_id, fence),
	CONSTRAINT ck_attempt_ended CHECK ((ended_at IS NULL) = (outcome IS NULL)),
	CONSTRAINT fk_attempt_job_id FOREIGN KEY(job_id) REFERENCES job (id),
	CONSTRAINT fk_attempt_account_id FOREIGN KEY(account_id) REFERENCES account (id)
)
 WITHOUT ROWID

;
CREATE TRIGGER attempt_begins AFTER UPDATE OF state ON job WHEN NEW.state = 'running' AND OLD.state <> 'running'
BEGIN
  INSERT INTO attempt (job_id, fence, holder, account_id, began_at)
  VALUES (NEW.id, NEW.fence, NEW.lease_holder, NEW.account_id, NEW.updated_at)
  ON CONFLICT (job_id, fence) DO NOTHING;
  DELETE FROM attempt WHERE job_id = NEW.id AND fence <= NEW.fence - 10;
END;
CREATE TRIGGER attempt_ends AFTER UPDATE OF state ON job WHEN OLD.state = 'running' AND NEW.state <> 'running'
BEGIN
  UPDATE attempt SET ended_at = NEW.updated_at, outcome = NEW.state,
    reason = COALESCE(NEW.error_reason, NEW.hold_reason),
    message = CASE WHEN NEW.state = 'failed' OR NEW.run_after IS NOT NULL
      OR COALESCE(NEW.error_message, '') <> COALESCE(OLD.error_message, '')
      THEN NEW.error_message END,
    requests = NEW.requests - NEW.earlier_requests
  WHERE job_id = NEW.id AND fence = NEW.fence;
END;
CREATE INDEX ix_job_account ON job (account_id, id) WHERE account_id IS NOT NULL;
CREATE INDEX ix_job_hold_reason ON job (hold_reason, id) WHERE hold_reason IS NOT NULL;
CREATE INDEX ix_job_error_reason ON job (error_reason, id) WHERE error_reason IS NOT NULL;
CREATE INDEX ix_job_held_change ON job (change, id) WHERE hold_reason IS NOT NULL;
CREATE INDEX ix_job_failed_change ON job (change, id) WHERE error_reason IS NOT NULL;
CREATE INDEX ix_job_priority ON job (priority DESC, id) WHERE finished_at IS NULL;
CREATE INDEX ix_job_duration ON job (finished_at - started_at, id) WHERE finished_at IS NOT NULL;
CREATE TABLE sample (
	grain TEXT NOT NULL,
	at BIGINT NOT NULL,
	figures TEXT NOT NULL,
	CONSTRAINT pk_sample PRIMARY KEY (grain, at),
	CONSTRAINT ck_sample_grain CHECK (grain IN ('minute', 'hour', 'day'))
);
CREATE TABLE notice (
	id INTEGER NOT NULL,
	cause TEXT NOT NULL,
	period TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	body TEXT NOT NULL,
	raised_at BIGINT NOT NULL,
	CONSTRAINT pk_notice PRIMARY KEY (id),
	CONSTRAINT uq_notice_cause_period UNIQUE (cause, period)
);
CREATE TABLE delivery (
	notice_id INTEGER NOT NULL,
	channel TEXT NOT NULL,
	state TEXT DEFAULT 'queued' NOT NULL,
	attempts INTEGER DEFAULT '0' NOT NULL,
	due_at BIGINT,
	result TEXT DEFAULT '' NOT NULL,
	tried_at BIGINT,
	CONSTRAINT pk_delivery PRIMARY KEY (notice_id, channel),
	CONSTRAINT ck_delivery_state CHECK (state IN ('queued', 'sent', 'failed')),
	CONSTRAINT ck_delivery_due CHECK ((state = 'queued') = (due_at IS NOT NULL)),
	CONSTRAINT fk_delivery_notice_id FOREIGN KEY(notice_id) REFERENCES notice (id)
);
CREATE INDEX ix_delivery_due_at ON delivery (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE backup (
	id INTEGER NOT NULL,
	place TEXT NOT NULL,
	began_at BIGINT NOT NULL,
	ended_at BIGINT,
	state TEXT DEFAULT 'running' NOT NULL,
	segments INTEGER DEFAULT '0' NOT NULL,
	bytes BIGINT DEFAULT '0' NOT NULL,
	copied_bytes BIGINT DEFAULT '0' NOT NULL,
	message TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_backup PRIMARY KEY (id),
	CONSTRAINT ck_backup_state CHECK (state IN ('running', 'done', 'failed')),
	CONSTRAINT ck_backup_ended CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE TABLE seen_version (
	component TEXT NOT NULL,
	version TEXT NOT NULL,
	seen_at BIGINT NOT NULL,
	CONSTRAINT pk_seen_version PRIMARY KEY (component, version)
);
CREATE TABLE seen_fields (
	instance_id INTEGER NOT NULL,
	resource TEXT NOT NULL,
	version TEXT NOT NULL,
	records INTEGER NOT NULL,
	fields TEXT NOT NULL,
	segment_id INTEGER NOT NULL,
	seen_at BIGINT NOT NULL,
	CONSTRAINT pk_seen_fields PRIMARY KEY (instance_id, resource, version),
	CONSTRAINT fk_seen_fields_instance_id FOREIGN KEY(instance_id) REFERENCES instance (id)
);
CREATE TABLE share_mark (
	area_id INTEGER NOT NULL,
	best INTEGER NOT NULL,
	latest INTEGER NOT NULL,
	fell_at BIGINT,
	CONSTRAINT pk_share_mark PRIMARY KEY (area_id),
	CONSTRAINT fk_share_mark_area_id FOREIGN KEY(area_id) REFERENCES area (id)
);
CREATE TABLE stop_request (
	id INTEGER NOT NULL,
	asked_at BIGINT NOT NULL,
	contact TEXT NOT NULL,
	words TEXT NOT NULL,
	answered_at BIGINT,
	answered_by TEXT DEFAULT '' NOT NULL,
	CONSTRAINT pk_stop_request PRIMARY KEY (id)
);
CREATE TRIGGER segment_has_a_role AFTER INSERT ON segment BEGIN UPDATE ledger SET stored_role = (SELECT COALESCE(x.role, j.read_role) FROM job AS j LEFT JOIN area_access AS x
  ON x.area_id = j.area_id AND x.account_id = j.account_id WHERE j.id = NEW.job_id)
  WHERE area_id = NEW.area_id AND resource = NEW.resource AND COALESCE(stored_role, -1) < (SELECT COALESCE(x.role, j.read_role) FROM job AS j LEFT JOIN area_access AS x
  ON x.area_id = j.area_id AND x.account_id = j.account_id WHERE j.id = NEW.job_id); END;
INSERT INTO alembic_version (version_num) VALUES ('0010');
