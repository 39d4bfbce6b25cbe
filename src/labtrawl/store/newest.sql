-- revision 0008
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
	verified_at BIGINT NOT NULL, source_sha256 TEXT DEFAULT '' NOT NULL, refresh_token TEXT DEFAULT '' NOT NULL, expires_at BIGINT, renew_at BIGINT, token_version INTEGER DEFAULT '0' NOT NULL, renewal_began_at BIGINT, renewal_refused_at BIGINT,
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
	updated_at BIGINT NOT NULL,
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
INSERT INTO alembic_version (version_num) VALUES ('0008');
