//! Conformance suite: the required behavior of PostgreSQL and SQLite.

mod case;
mod schema;
mod accounts;
mod sessions;
mod second_factor;
mod keys;
mod account_mails;
mod uploads;
mod resumable_uploads;
mod acceptance;
mod outbox;
mod claims;
mod attempts;
mod cancellation;
mod reading;
mod shares;
mod counters;
mod quotas;
mod sources;
mod chores;
mod notifications;
mod webhooks;
mod retention;
mod history;
mod account_deletion;
mod operator;
mod recovery;
mod later_version;
mod model;
mod sharing;
mod stress;
#[cfg(test)]
mod sqlite;

use std::pin::Pin;

use jobs::Clock;

use self::case::Case;
use crate::connection::{Database, Rules};

/// Run all cases on one kind of database.
///
/// `open` connects to the database with a name of at most 50 lowercase letters and underscores.
/// The first call with a name creates an empty database; calls may be concurrent.
/// Needs a runtime with several threads.
///
/// # Panics
///
/// A case fails.
pub async fn all(open: impl AsyncFn(&str, Clock, Rules) -> Database) {
    schema::migrates_once("schema", &open).await;
    for (name, run) in CASES {
        run(&Case::open(name, &open).await).await;
    }
}

/// Case, boxed so that the future of `all` does not contain the futures of all cases.
type Run = for<'a> fn(&'a Case) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Declare the cases. Each runs in [`all`], and as a separate test on SQLite.
macro_rules! cases {
    ($($theme:ident { $($case:ident,)* })*) => {
        /// All cases with their names.
        const CASES: &[(&str, Run)] = &[$($((
            concat!(stringify!($theme), "_", stringify!($case)),
            |case| Box::pin($theme::$case(case)),
        )),*),*];

        #[cfg(test)]
        mod on_sqlite {
            #[tokio::test(flavor = "multi_thread")]
            async fn schema_migrates_once() {
                let directory = tempfile::tempdir().expect("a temporary directory");
                super::schema::migrates_once("schema", &super::files_in(directory.path())).await;
            }

            $(
                mod $theme {
                    $(
                        #[tokio::test(flavor = "multi_thread")]
                        async fn $case() {
                            use super::super::{$theme, Case, files_in};
                            let directory = tempfile::tempdir().expect("a temporary directory");
                            let open = files_in(directory.path());
                            $theme::$case(&Case::open(stringify!($case), &open).await).await;
                        }
                    )*
                }
            )*
        }
    };
}

/// Run all cases on PostgreSQL, each in a separate database.
#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn all_on_a_server() {
    let server = servers::Postgres::start();
    let urls = parking_lot::Mutex::new(std::collections::HashMap::<String, String>::new());
    let url_of = |name: &str| {
        let mut urls = urls.lock();
        urls.entry(name.to_owned()).or_insert_with(|| server.create_database()).clone()
    };
    let open = async |name: &str, clock, rules| {
        Database::postgres(&url_of(name).into(), clock, rules)
            .await
            .expect("the server accepts connections")
    };
    Box::pin(all(open)).await;
}

/// A renewal writes no index: it is an update of a heap-only tuple (PostgreSQL, "Heap-Only Tuples
/// (HOT)"), on pages that are filled with other jobs.
#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_heap_only_on_a_server() {
    const RENEWALS: usize = 100;
    let server = servers::Postgres::start();
    let url = server.create_database();
    let open = async |_: &str, clock, rules| {
        Database::postgres(&url.clone().into(), clock, rules).await.expect("the server is running")
    };
    let case = Case::open("", &open).await;
    let user = case.user().await;
    let mut renewals = Vec::new();
    for number in 0..300 {
        let id = case.queued_for(user).await;
        if number % 40 == 0 {
            let claim = case.claim(id).await;
            renewals.push(crate::renewal::Renewal { claim, done: 0, expected: None });
        }
    }
    // Numbers of all and of heap-only updates. Each connection reports its own when it ends.
    let updates = || {
        let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
             WHERE relname = 'jobs'";
        let counts = server.execute(&url, counts);
        let (all, heap_only) = counts.trim().split_once('|').expect("two columns");
        [all, heap_only].map(|count| count.parse::<usize>().expect("a number"))
    };
    let close = async |database: Database| {
        database.write.pool.close().await.expect("the connections are closed");
    };
    let renewing = open("", case.clock.clone(), Rules::default()).await;
    close(case.database).await;
    close(case.other).await;
    let [all_before, heap_only_before] = updates();
    for done in 0..RENEWALS {
        for renewal in &mut renewals {
            renewal.done = done as u64;
        }
        let renewed = renewing.renew(&renewals).await.expect("the server responds");
        assert_eq!(renewed, vec![crate::renewal::Renewed::Yes; renewals.len()]);
    }
    close(renewing).await;
    let expected = RENEWALS * renewals.len();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let [all, heap_only] = loop {
        let [all, heap_only] = updates();
        if all >= all_before + expected || std::time::Instant::now() > deadline {
            break [all, heap_only];
        }
    };
    assert_eq!((all - all_before, heap_only - heap_only_before), (expected, expected));
}

/// Open SQLite databases as files in a directory.
#[cfg(test)]
fn files_in(directory: &std::path::Path) -> impl AsyncFn(&str, Clock, Rules) -> Database {
    async |name: &str, clock, rules| {
        Database::sqlite(&directory.join(name), clock, rules).await.expect("the file is opened")
    }
}

cases! {
    schema {
        allows_exactly_the_legal_transitions,
        rejects_inconsistent_jobs,
        rejects_invalid_users_and_notifications,
        orders_times_by_microsecond,
        accepts_rows_of_the_previous_release,
    }
    accounts {
        have_unique_addresses,
        rotate_refresh_tokens,
        lose_a_session_on_reuse,
        lose_a_session_on_concurrent_use,
        repeat_a_rotation_once,
        lose_a_session_during_rotation,
        close_their_sessions,
        lose_all_sessions_on_password_change,
        keep_their_sessions_when_a_hash_is_replaced,
        report_their_usage,
        are_disabled_and_enabled,
        have_the_time_of_their_last_update,
    }
    sessions {
        are_opened_for_verified_users_only,
        are_not_opened_while_the_password_changes,
        end_at_their_total_lifetime,
        are_listed,
        end_with_their_access,
        end_except_one,
        ignore_unknown_tokens,
    }
    second_factor {
        is_enabled_with_a_confirmed_secret,
        accepts_each_code_once,
        limits_wrong_codes,
        accepts_each_recovery_code_once,
    }
    keys {
        are_created_listed_and_deleted,
        are_created_for_verified_users_only,
        are_limited_in_number,
        record_one_use_a_minute,
        survive_a_password_and_the_end_of_sessions,
        end_when_an_unconfirmed_address_is_recovered,
        ignore_unknown_scopes,
    }
    account_mails {
        stay_within_the_budget,
        keep_a_budget_for_notices,
        keep_a_budget_for_webhooks,
        are_no_notices_to_unconfirmed_addresses,
        are_held_and_sent,
        fail_permanently,
        are_taken_once,
        confirm_an_address_once,
        expire,
        replace_a_forgotten_password,
        give_a_disabled_user_no_access,
        change_an_address,
        change_no_address_to_a_taken_one,
    }
    uploads {
        become_jobs_once,
        are_abandoned_after_a_day,
        are_abandoned_by_a_restart,
        belong_to_one_installation,
    }
    resumable_uploads {
        are_held_by_one_request,
        become_jobs_with_their_ids,
        expire_after_two_days,
        are_free_after_a_restart,
        are_terminated_once,
        reserve_all_of_their_bytes,
        are_abandoned_with_their_user,
    }
    acceptance {
        creates_a_job,
        creates_several_jobs,
        creates_all_jobs_or_none,
        detects_repeated_requests,
        detects_another_request_with_the_same_key,
        detects_concurrent_requests,
        keeps_the_recipe,
    }
    outbox {
        holds_taken_messages,
        respects_the_limit,
        delivers_each_message_to_one_relay,
        reports_the_oldest_unpublished_message,
        postpones_messages,
    }
    claims {
        succeed_once,
        require_an_available_job,
        are_renewed_until_lost,
        are_renewed_together,
        are_renewed_beside_locked_jobs,
        have_no_effect_when_lost,
    }
    attempts {
        know_their_fate,
        are_announced_when_due,
        are_not_charged_for_failures_of_the_service,
        finish,
        are_repeated_after_pauses,
        end_at_once_where_a_retry_cannot_help,
        are_released,
        clear_an_earlier_failure,
    }
    cancellation {
        ends_a_queued_job,
        ends_a_running_job,
        ignores_final_jobs,
        succeeds_once,
        deletes_final_jobs,
    }
    reading {
        lists_jobs_by_page,
        returns_the_history,
        finds_any_number_of_jobs,
        reports_the_oldest_waiting_job,
    }
    shares {
        are_created_listed_and_revoked,
        are_limited_in_number,
        end_with_their_files,
        end_with_their_job_and_their_user,
    }
    counters {
        count_jobs_by_state,
        follow_every_change,
        are_added_up_once,
    }
    quotas {
        are_not_exceeded_by_simultaneous_uploads,
        are_settled_exactly,
        are_freed_after_a_crash,
        limit_the_numbers_of_jobs,
    }
    sources {
        are_recorded_while_the_claim_holds,
        are_shown_without_their_queries,
    }
    chores {
        are_done_once_per_interval,
        are_begun_by_one_process,
        pass_from_a_frozen_process,
        are_not_stopped_by_a_wrong_clock,
        are_free_after_a_restart,
    }
    notifications {
        are_created_once,
        are_held_and_sent,
        fail_permanently,
        respect_the_limit,
        are_taken_once,
        respect_the_choice,
        form_digests,
        outlive_the_head_of_a_digest,
        are_ended_by_a_secret,
    }
    webhooks {
        get_every_outcome_once,
        get_second_outcomes,
        get_outcomes_of_earlier_programs,
        are_delivered_at_least_once,
        are_taken_once,
        are_not_due_while_busy,
        are_disabled_after_days_of_failures,
        are_deleted_beside_outcomes,
        are_due_again_after_a_restart,
        keep_their_newest_deliveries,
        keep_the_previous_secret_for_a_day,
        of_disabled_users_get_nothing,
        are_skipped_if_they_cannot_be_read,
        begin_anew_with_another_destination,
    }
    retention {
        expires_archives,
        returns_other_final_jobs,
        may_run_concurrently,
        finds_orphans,
        purges_expired_rows,
    }
    history {
        receives_jobs_without_files,
        receives_each_job_once,
        is_deleted_by_month,
    }
    account_deletion {
        leaves_no_rows,
        refuses_uploads_in_progress,
        takes_running_jobs_from_their_workers,
    }
    operator {
        lists_failed_jobs,
        requeues_failed_jobs,
        requeues_no_other_jobs,
        revokes_a_failure_that_is_announced_later,
        requeues_once,
        does_not_requeue_a_job_whose_files_are_being_removed,
    }
    recovery {
        reaps_expired_leases,
        fails_a_job_that_lost_many_workers,
        reaps_beside_locked_and_unreadable_rows,
        reaps_each_attempt_once,
        expires_all_leases,
        recovers_after_restart,
        announces_jobs_again_if_the_queue_is_empty,
        announces_no_jobs_while_messages_are_left,
        announces_many_jobs_again,
        releases_holds,
    }
    later_version {
        recipes_are_read_and_kept,
        recipes_do_not_stop_maintenance,
        recipes_are_left_to_later_workers,
        messages_are_forwarded_unchanged,
    }
    model {
        keeps_all_invariants,
    }
    sharing {
        lets_another_user_start_next_or_second,
        gives_each_user_a_turn_in_each_round,
        moves_up_the_jobs_behind_a_cancelled_one,
        lets_failures_wait_behind_other_jobs,
        claims_each_job_once,
        orders_simultaneous_requests,
        is_fair_in_random_runs,
    }
    stress {
        loses_no_job,
    }
}
