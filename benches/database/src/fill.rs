//! Rows of a large service, written with `generate_series` instead of by the service itself.

use servers::Postgres;

/// Sizes of the tables.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Number of jobs that wait or run.
    pub live: u64,
    /// Number of jobs that have ended, over one year.
    pub finished: u64,
    /// Number of users. The first one owns every twentieth job.
    pub users: u64,
}

/// Number of running jobs: the slots of a hundred workers.
pub const RUNNING: u64 = 800;

/// SQL expression of the id of job number `n`. Like real ids, they ascend with the time.
fn job_id(n: &str) -> String {
    format!("(lpad(to_hex({n}), 12, '0') || '70008000' || lpad(to_hex({n}), 12, '0'))::uuid")
}

/// SQL expression of the id of user number `n`.
fn user_id(n: &str) -> String {
    format!("(lpad(to_hex({n}), 12, '0') || '70009000' || lpad(to_hex({n}), 12, '0'))::uuid")
}

/// Counters of the jobs, with the changes of a few seconds.
const COUNTERS: &str = "INSERT INTO job_counts SELECT status, count(*) FROM jobs GROUP BY 1; \
     INSERT INTO user_usage SELECT user_id, count(*) FILTER (WHERE waiting_since IS NOT NULL), \
     sum(video_size_bytes) FROM jobs GROUP BY 1; \
     INSERT INTO counter_changes (user_id, old_state, new_state, unfinished_jobs, stored_bytes) \
     SELECT id, 'PROCESSING', 'DONE', -1, 64000000 FROM users LIMIT 4000";

/// Fill an empty, migrated database.
pub fn fill(server: &Postgres, url: &str, sizes: Sizes) {
    // One call of psql, hence one session. Without triggers and foreign keys, and with indexes
    // built at the end, it takes minutes instead of hours.
    let statements = [
        "SET session_replication_role = replica; SET synchronous_commit = off; \
         SET maintenance_work_mem = '512MB'"
            .to_owned(),
        "CREATE TEMPORARY TABLE definitions AS SELECT indexname, indexdef FROM pg_indexes \
         WHERE schemaname = 'public' AND tablename IN ('jobs', 'notifications', 'job_events') \
         AND indexname NOT LIKE '%_pkey'"
            .to_owned(),
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT indexname FROM definitions LOOP \
         EXECUTE 'DROP INDEX ' || quote_ident(name); END LOOP; END $$"
            .to_owned(),
        users(sizes),
        finished_jobs(sizes),
        waiting_and_running_jobs(sizes),
        other_rows(sizes),
        COUNTERS.to_owned(),
        "DO $$ DECLARE definition text; BEGIN FOR definition IN SELECT indexdef FROM definitions \
         LOOP EXECUTE definition; END LOOP; END $$"
            .to_owned(),
    ];
    server.execute(url, &statements.join("; "));
    server.execute(url, "VACUUM (ANALYZE)");
}

fn users(sizes: Sizes) -> String {
    format!(
        "INSERT INTO users (id, email, name, password_hash, language, created_at) \
         SELECT {}, n || '@example.org', 'Ana', 'hash', 'pt', now() \
         FROM generate_series(0, {} - 1) n",
        user_id("n"),
        sizes.users
    )
}

/// Owner of job number `n`.
fn owner(sizes: Sizes) -> String {
    user_id(&format!("CASE WHEN n % 20 = 0 THEN 0 ELSE n % {} END", sizes.users))
}

/// Jobs that ended during the last year. Files are kept for seven days; a few hundred jobs are to
/// expire now.
fn finished_jobs(sizes: Sizes) -> String {
    let Sizes { finished, .. } = sizes;
    format!(
        "INSERT INTO jobs (id, user_id, status, filename, video_format, video_path, \
         video_size_bytes, zip_path, zip_size_bytes, frame_count, complete, \
         processing_time_seconds, progress_done, progress_expected, error_code, attempt, fence, \
         worker, created_at, started_at, completed_at, expires_at, files_removed, invited_at) \
         SELECT {id}, {owner}, \
         CASE WHEN n % 33 = 0 THEN 'FAILED' WHEN is_old THEN 'EXPIRED' ELSE 'DONE' END, \
         'praia.mp4', 'mp4', 'u/' || n || '/input.mp4', 60000000, 'u/' || n || '/output-1.zip', \
         64000000, 60, true, 5.9, 60, 60, \
         CASE WHEN n % 33 = 0 THEN 'NO_VIDEO_STREAM' END, 1, 1, 'worker', ended, ended, ended, \
         ended + interval '7 days', is_old, ended \
         FROM (SELECT n, ended, ended < now() - interval '7 days 3 minutes' AS is_old FROM \
         (SELECT n, now() - interval '1 hour' - interval '365 days' \
         * (({finished} - n)::float8 / {finished}) \
         AS ended FROM generate_series(1, {finished}) n) AS times) AS jobs",
        id = job_id("n"),
        owner = owner(sizes),
    )
}

/// Waiting jobs, accepted during the last hour, and running ones, which were accepted before them.
///
/// The first tenth of the waiting jobs was announced again a minute ago. Every hundredth waits for
/// another attempt.
fn waiting_and_running_jobs(sizes: Sizes) -> String {
    let Sizes { live, finished, .. } = sizes;
    format!(
        "INSERT INTO jobs (id, user_id, status, filename, video_format, video_path, \
         video_size_bytes, attempt, fence, worker, lease_until, created_at, started_at, \
         expires_at, next_attempt_at, invited_at, waiting_since, round) \
         SELECT {id}, {owner}, \
         CASE WHEN is_running OR is_retried THEN 'PROCESSING' ELSE 'QUEUED' END, \
         'praia.mp4', 'mp4', 'u/' || n || '/input.mp4', 60000000, \
         CASE WHEN is_running OR is_retried THEN 1 ELSE 0 END, \
         CASE WHEN is_running OR is_retried THEN 1 ELSE 0 END, 'worker', \
         CASE WHEN is_running THEN now() + interval '1 minute' END, accepted, \
         CASE WHEN is_running OR is_retried THEN accepted END, now() + interval '7 days', \
         CASE WHEN is_retried THEN now() + interval '1 hour' END, \
         CASE WHEN NOT is_running AND place < {live} / 10 THEN now() - interval '1 minute' \
         ELSE accepted END, \
         CASE WHEN is_retried THEN now() + interval '1 hour' \
         WHEN NOT is_running THEN accepted END, \
         row_number() OVER (PARTITION BY {owner} ORDER BY place) \
         FROM (SELECT {finished} + place AS n, place, place <= {RUNNING} AS is_running, \
         place > {RUNNING} AND place % 100 = 0 AS is_retried, \
         now() - interval '1 hour' * (({live} - place)::float8 / {live}) \
         - interval '2 minutes' AS accepted \
         FROM generate_series(1, {live}) place) AS jobs",
        id = job_id("n"),
        owner = owner(sizes),
    )
}

/// Rows that belong to jobs. Mails and histories of older jobs are left out, because they take more
/// space than the jobs themselves.
fn other_rows(sizes: Sizes) -> String {
    let (live, finished) = (sizes.live, sizes.finished);
    let recent =
        format!("generate_series({finished} - least({finished}, {live}) + 1, {finished}) n");
    let (id, key) = (job_id("n"), job_id("n + 1"));
    [
        format!(
            "INSERT INTO notifications (id, job_id, event_type, status, attempts, created_at, \
             next_attempt_at, sent_at) SELECT {key}, {id}, 'job.completed', 'SENT', 1, now(), \
             now(), now() FROM {recent}"
        ),
        format!(
            "INSERT INTO job_events (job_id, old_state, new_state, metadata, created_at) \
             SELECT {id}, 'PROCESSING', 'DONE', '{{}}', now() FROM {recent}"
        ),
        format!(
            "INSERT INTO outbox (id, job_id, event_type, message, created_at, run_after, due_at) \
             SELECT {key}, {id}, 'job.created', '{{}}', now(), now() + interval '1 hour', \
             now() + interval '1 hour' FROM generate_series({finished} + 1, {finished} + 10000) n"
        ),
        "INSERT INTO accepted_jobs SELECT id, user_id, created_at FROM jobs \
         WHERE waiting_since IS NOT NULL"
            .to_owned(),
        format!(
            "INSERT INTO uploads (id, user_id, key, state, expires_at) SELECT gen_random_uuid(), \
             {id}, n || '/input.mp4', 'RECEIVING', now() + interval '1 day' \
             FROM generate_series(1, 1000) n"
        ),
        format!(
            "INSERT INTO idempotency_keys (user_id, key, job_ids, created_at) SELECT {}, n, '[]', \
             now() FROM generate_series(1, least({live}, 100000)) n",
            user_id(&format!("n % {}", sizes.users))
        ),
        format!(
            "INSERT INTO refresh_tokens (id, user_id, family_id, token_hash, created_at, \
             expires_at) SELECT gen_random_uuid(), {}, gen_random_uuid(), n, now(), \
             now() + interval '7 days' FROM generate_series(1, least({live}, 100000)) n",
            user_id(&format!("n % {}", sizes.users))
        ),
    ]
    .join("; ")
}
