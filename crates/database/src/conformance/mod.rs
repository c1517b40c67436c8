//! What every kind of database must do, as tests that panic where it does not.

mod case;
mod schema;
mod accounts;
mod acceptance;
mod outbox;
mod claims;
mod attempts;
mod leases;
mod cancellation;
mod reading;
mod notifications;
mod retention;
mod operator;
mod model;
mod storm;

use std::pin::Pin;

use jobs::Clock;

use self::case::Case;
use crate::{Database, Rules};

/// Hold a kind of database to everything that its methods promise.
///
/// `open` is given a name, made of at most 50 lower-case letters and underscores, and connects to
/// the database of that name: to a new one, without tables, when it hears the name for the first
/// time, perhaps several times at once, and to the same one again after that. Needs a runtime with
/// several threads.
///
/// # Panics
///
/// When the database breaks a promise.
pub async fn all(open: impl AsyncFn(&str, Clock, Rules) -> Database) {
    schema::comes_up_once("schema", &open).await;
    for (name, run) in CASES {
        run(&Case::open(name, &open).await).await;
    }
}

/// A case, boxed so that `all` need not hold room for each.
type Run = for<'a> fn(&'a Case) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Name every case once: it runs with [`all`], and is a test of its own on SQLite.
macro_rules! cases {
    ($($theme:ident { $($case:ident,)* })*) => {
        /// Every case with its name.
        const CASES: &[(&str, Run)] =
            &[$($((concat!(stringify!($theme), "_", stringify!($case)), |case| Box::pin($theme::$case(case)))),*),*];

        #[cfg(test)]
        mod on_sqlite {
            #[tokio::test(flavor = "multi_thread")]
            async fn schema_comes_up_once() {
                let directory = tempfile::tempdir().expect("there is room for a file");
                super::schema::comes_up_once("schema", &super::files_in(directory.path())).await;
            }

            $(
                mod $theme {
                    $(
                        #[tokio::test(flavor = "multi_thread")]
                        async fn $case() {
                            use super::super::{$theme, Case, files_in};
                            let directory = tempfile::tempdir().expect("there is room for a file");
                            $theme::$case(&Case::open(stringify!($case), &files_in(directory.path())).await).await;
                        }
                    )*
                }
            )*
        }
    };
}

/// PostgreSQL's are databases of one server.
#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn all_on_a_server_of_postgresql() {
    let server = servers::Postgres::start();
    let urls = std::sync::Mutex::new(std::collections::HashMap::<String, String>::new());
    let url_of = |name: &str| {
        let mut urls = urls.lock().expect("nobody panicked");
        urls.entry(name.to_owned()).or_insert_with(|| server.create_database()).clone()
    };
    let open = async |name: &str, clock, rules| {
        Database::postgres(&url_of(name).into(), clock, rules).await.expect("it is there")
    };
    Box::pin(all(open)).await;
}

/// SQLite's databases are files.
#[cfg(test)]
fn files_in(directory: &std::path::Path) -> impl AsyncFn(&str, Clock, Rules) -> Database {
    async |name: &str, clock, rules| {
        Database::sqlite(&directory.join(name), clock, rules).await.expect("a file can be opened")
    }
}

cases! {
    schema {
        follows_the_vocabulary,
        refuses_impossible_jobs,
        refuses_impossible_neighbours,
        tells_moments_apart,
        accepts_rows_of_the_previous_release,
    }
    accounts {
        are_one_for_each_address,
        rotate_their_sessions,
        lose_a_session_that_was_stolen,
        lose_a_session_that_is_used_twice_at_once,
        lose_a_session_that_is_being_renewed,
        end_their_sessions,
        lose_all_sessions_with_their_password,
        know_what_they_take,
        are_disabled_and_enabled,
        have_the_time_of_their_last_update,
    }
    acceptance {
        makes_a_job,
        makes_several_jobs,
        makes_all_or_none,
        knows_a_repeated_request,
        knows_requests_made_at_once,
        keeps_the_recipe,
    }
    outbox {
        holds_what_is_taken,
        gives_as_many_as_asked,
        gives_no_message_to_two,
        tells_since_when_it_waits,
        waits_as_it_is_told,
        invites_again,
        tells_again,
        lets_go_of_what_was_taken,
    }
    claims {
        are_won_by_one,
        wait_until_they_may,
        are_renewed_until_lost,
        change_nothing_once_lost,
    }
    attempts {
        finish,
        are_repeated_after_pauses,
        end_at_once_where_no_other_helps,
        are_given_back,
        forget_their_failure,
    }
    leases {
        that_end_are_reaped,
        cost_a_job_three_workers_at_most,
        are_reaped_once,
        are_ended_together,
    }
    cancellation {
        ends_a_job_that_waits,
        ends_a_job_that_runs,
        leaves_what_has_ended,
        is_won_by_one,
        deletes_what_has_ended,
    }
    reading {
        goes_page_by_page,
        tells_the_history,
        counts_by_state,
        tells_the_oldest_that_waits,
    }
    notifications {
        are_made_once,
        are_held_and_sent,
        fail_at_last,
        are_given_as_many_as_asked,
        are_given_to_one,
    }
    retention {
        expires_archives,
        removes_files_of_the_others,
        is_safe_to_run_at_once,
        knows_orphans,
        forgets,
    }
    operator {
        reads_what_failed,
        puts_back_what_failed,
        puts_back_nothing_else,
        undoes_an_outcome_that_is_told_later,
        puts_back_once,
    }
    model {
        keeps_every_promise,
    }
    storm {
        loses_nothing,
    }
}
