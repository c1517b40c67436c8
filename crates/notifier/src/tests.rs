//! Both loops together, on the embedded queue and SQLite, with mails to files or over a socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::embedded::Embedded;
use broker::{Broker, Queue, TracedMessage};
use database::accept::{Accepted, Video};
use database::attempt::Archive;
use database::claim::{Claim, NextJob};
use database::{Database, Rules};
use jobs::message::{Cancelled, Completed, Created, EncodedMessage, Event};
use jobs::{Clock, FailureCode, JobId, Language, Message, UserId, VideoFormat};
use metrics_exporter_prometheus::PrometheusBuilder;
use servers::Mailbox;
use servers::mailbox::Behavior;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::files::FileMailer;
use crate::mail::{Mail, Sender};
use crate::mailer::Mailer;
use crate::notifier::Notifier;
use crate::smtp::{SmtpMailer, server};

/// Time after which a test has hung.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A mailer that reports the result of each mail.
struct ReportingMailer<M> {
    mailer: M,
    outcomes: UnboundedSender<Result<(), Error>>,
}

#[async_trait]
impl<M: Mailer> Mailer for ReportingMailer<M> {
    async fn send(&self, mail: &Mail) -> Result<(), Error> {
        let outcome = self.mailer.send(mail).await;
        let _ = self.outcomes.send(outcome.clone());
        outcome
    }

    async fn check(&self) -> Result<(), Error> {
        self.mailer.check().await
    }
}

/// A running notifier.
struct Running {
    outcomes: UnboundedReceiver<Result<(), Error>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Result of the next mail.
    async fn next(&mut self) -> Result<(), Error> {
        tokio::time::timeout(TIMEOUT, self.outcomes.recv())
            .await
            .expect("a mail in time")
            .expect("a mailer")
    }

    /// Stop, and return the results of the remaining mails.
    async fn stop(mut self) -> Vec<Result<(), Error>> {
        self.stop.cancel();
        tokio::time::timeout(TIMEOUT, self.task)
            .await
            .expect("an end in time")
            .expect("an orderly end");
        std::iter::from_fn(|| self.outcomes.try_recv().ok()).collect()
    }
}

struct Service {
    directory: tempfile::TempDir,
    database: Database,
    broker: Arc<Embedded>,
    user: UserId,
}

impl Service {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("fiapx.db");
        let database =
            Database::sqlite(&file, Clock::default(), Rules::default()).await.expect("a database");
        database.migrate().await.expect("a schema");
        let user = database
            .register("ana@example.com", "Ana", "hash".to_owned(), Language::Pt)
            .await
            .expect("a user");
        Self { directory, database, broker: Arc::new(Embedded::new()), user: user.id }
    }

    fn mails(&self) -> std::path::PathBuf {
        self.directory.path().join("mails")
    }

    fn start(&self, mailer: impl Mailer) -> Running {
        let (sender, outcomes) = unbounded_channel();
        let mailer = Arc::new(ReportingMailer { mailer, outcomes: sender });
        let from = Sender::parse("fiapx@example.com").expect("a sender");
        let page_url = "https://fiapx.example.com".parse().expect("a URL");
        let (database, broker) = (self.database.clone(), self.broker.clone());
        let notifier = Notifier::new(database, broker, mailer, from, client(), &page_url);
        let stop = CancellationToken::new();
        Running { outcomes, stop: stop.clone(), task: tokio::spawn(notifier.run(stop)) }
    }

    async fn accept(&self, filename: &str) -> JobId {
        let video = Video {
            id: JobId::generate(),
            filename: filename.to_owned(),
            format: VideoFormat::Mp4,
            path: "input.mp4".to_owned(),
            size_bytes: 1,
            source: None,
            recipe: jobs::Recipe::default(),
        };
        let begun = self.database.begin_upload(self.user, video.id, &video.path, 0..=0).await;
        begun.expect("the upload is recorded");
        let accepted = self.database.accept(self.user, &[video], None, None).await.expect("a job");
        let Accepted::New(jobs) = accepted else { panic!("the job should be new") };
        jobs[0].id
    }

    /// Claim a job, the only one that waits.
    async fn claim(&self, id: JobId) -> Claim {
        match self.database.claim(id, "worker").await.expect("a claim") {
            NextJob::Claimed(claim) => *claim,
            other => panic!("the job does not wait: {other:?}"),
        }
    }

    /// Complete a job and return the message about it.
    async fn completed(&self, filename: &str) -> TracedMessage {
        let id = self.accept(filename).await;
        let claim = self.claim(id).await;
        let archive = Archive {
            path: "output.zip".to_owned(),
            size_bytes: 1,
            frame_count: 12,
            expected: 12,
            complete: true,
            warnings: vec![],
            duration: Duration::from_secs(1),
        };
        self.database.finish(&claim, &archive).await.expect("an end");
        self.outcome_of(id).await
    }

    /// Fail a job and return the message about it.
    async fn failed(&self, filename: &str) -> TracedMessage {
        let id = self.accept(filename).await;
        let claim = self.claim(id).await;
        self.database.fail(&claim, FailureCode::NoVideoStream, "no video").await.expect("an end");
        self.outcome_of(id).await
    }

    /// Return the message about the outcome of a job from the outbox.
    async fn outcome_of(&self, id: JobId) -> TracedMessage {
        let taken = self.database.take_outgoing(100, Duration::ZERO).await.expect("messages");
        let ended = |message: &EncodedMessage| {
            message.job_id == id && message.event_type != Created::EVENT_TYPE
        };
        let found = taken
            .into_iter()
            .find(|outgoing| ended(&outgoing.message))
            .expect("a message about the end");
        TracedMessage { message: found.message, traceparent: found.traceparent }
    }

    async fn publish(&self, outgoing: &TracedMessage) {
        self.broker.publish(outgoing).await.expect("a message in the queue");
    }

    async fn publish_event(&self, event: Event) {
        let message = Message::new(event, self.database.clock().now(), 0, 3).encode();
        self.publish(&TracedMessage { message, traceparent: None }).await;
    }

    /// Wait until the notifier has received all messages.
    async fn wait_until_received(&self) {
        while self.broker.message_count(Queue::Notification).await.expect("the queue") > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether no message is left in the queue, and no mail is due in the database, now or later.
    async fn is_idle(&self) -> bool {
        self.database.clock().advance(Duration::from_hours(48));
        let due =
            self.database.take_notifications(100, Duration::ZERO).await.expect("the database");
        due.is_empty()
            && self.broker.message_count(Queue::Notification).await.expect("the queue") == 0
    }
}

/// Client of webhooks, of which there are none.
fn client() -> egress::Client {
    egress::Client::new(egress::Policy::Public).expect("a client")
}

/// Return the mails in a directory.
fn read(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return vec![] };
    entries
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a mail"))
        .collect()
}

#[tokio::test]
async fn sends_one_mail_for_each_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let service = Service::new().await;
    let (done, failed) = (service.completed("done.mp4").await, service.failed("failed.mp4").await);
    // Messages that lead to no mail: repetitions before and after the mail, a cancellation, and an
    // outcome of a job that does not exist.
    service.publish(&done).await;
    service.publish(&done).await;
    let (job_id, user_id) = (service.accept("cancelled.mp4").await, service.user);
    service
        .publish_event(Event::Cancelled(Cancelled {
            job_id,
            user_id,
            filename: "cancelled.mp4".to_owned(),
        }))
        .await;
    let Event::Completed(completed) = done.message.decode().expect("a message").event else {
        panic!("the job should be completed")
    };
    service
        .publish_event(Event::Completed(Completed { job_id: JobId::generate(), ..completed }))
        .await;

    let mut running = service.start(FileMailer::new(service.mails()));
    assert_eq!(running.next().await, Ok(()));
    service.publish(&done).await;
    service.publish(&failed).await;
    assert_eq!(running.next().await, Ok(()));
    service.wait_until_received().await;
    assert_eq!(running.stop().await, []);

    let mut mails = read(&service.mails());
    mails.sort_by_key(|mail| mail.contains("failed.mp4"));
    assert_eq!(mails.len(), 2);
    assert!(
        mails[0].contains("done.mp4") && mails[0].contains("https://fiapx.example.com/"),
        "{}",
        mails[0]
    );
    assert!(mails[1].contains("NO_VIDEO_STREAM"), "{}", mails[1]);
    assert!(mails.iter().all(|mail| mail.contains("\r\nTo: Ana <ana@example.com>\r\n")));
    assert!(service.is_idle().await);
    assert!(recorder.handle().render().contains("fiapx_mails_total{outcome=\"sent\"} 2"));
}

#[tokio::test]
async fn a_deferred_mail_is_sent_later() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let service = Service::new().await;
    let sink = Mailbox::start([
        Behavior::Reply("RCPT", "451 4.7.1 come back later"),
        Behavior::Disconnect("DATA"),
    ])
    .await;
    service.publish(&service.completed("done.mp4").await).await;
    for pause in [60, 120] {
        let mut running = service.start(SmtpMailer::new(server(&sink)));
        assert!(running.next().await.is_err_and(|error| !error.permanent));
        assert_eq!(running.stop().await, []);
        assert_eq!(sink.received(), []);
        service.database.clock().advance(Duration::from_secs(pause));
    }
    let mut running = service.start(SmtpMailer::new(server(&sink)));
    assert_eq!(running.next().await, Ok(()));
    assert_eq!(running.stop().await, []);
    let [mail] = &sink.received()[..] else { panic!("one mail should have arrived") };
    assert_eq!(mail.to, "TO:<ana@example.com>");
    assert!(service.is_idle().await);
    let counted = recorder.handle().render();
    assert!(counted.contains("fiapx_mails_total{outcome=\"retried\"} 2"), "{counted}");
    assert!(counted.contains("fiapx_mails_total{outcome=\"sent\"} 1"), "{counted}");
}

#[tokio::test]
async fn gives_up_on_rejected_mails_and_after_a_day() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let service = Service::new().await;
    let refused =
        [Behavior::Reply("RCPT", "550 5.1.1 no such user"), Behavior::Disconnect("CONNECT")];
    let sink = Mailbox::start(refused).await;

    service.publish(&service.completed("refused.mp4").await).await;
    let mut running = service.start(SmtpMailer::new(server(&sink)));
    assert!(running.next().await.is_err_and(|error| error.permanent));
    assert_eq!(running.stop().await, []);
    assert!(service.is_idle().await);

    // A day without a mail server.
    let outcome = service.completed("late.mp4").await;
    service
        .database
        .create_notification(outcome.message.job_id, "job.completed")
        .await
        .expect("a notification");
    service.database.clock().advance(Duration::from_hours(24));
    let mut running = service.start(SmtpMailer::new(server(&sink)));
    assert!(running.next().await.is_err_and(|error| !error.permanent));
    assert_eq!(running.stop().await, []);
    assert!(service.is_idle().await);
    assert_eq!(sink.received(), []);
    assert!(recorder.handle().render().contains("fiapx_mails_total{outcome=\"failed\"} 2"));
}

#[tokio::test]
async fn sends_no_mail_about_deleted_archives_and_jobs() {
    let service = Service::new().await;
    let expired = service.completed("expired.mp4").await;
    let deleted = service.completed("deleted.mp4").await;
    for outcome in [&expired, &deleted] {
        service
            .database
            .create_notification(outcome.message.job_id, "job.completed")
            .await
            .expect("a notification");
    }
    assert!(service.database.delete(deleted.message.job_id).await.expect("a deletion"));
    service.database.clock().advance(service.database.rules().retention);
    service.publish(&service.completed("there.mp4").await).await;

    let mut running = service.start(FileMailer::new(service.mails()));
    assert_eq!(running.next().await, Ok(()));
    assert_eq!(running.stop().await, []);
    let mails = read(&service.mails());
    assert!(mails.len() == 1 && mails[0].contains("there.mp4"), "{mails:?}");
    assert!(service.is_idle().await);
}

#[tokio::test]
async fn a_hanging_mail_server_does_not_delay_recording() {
    let service = Service::new().await;
    let sink = Mailbox::start([Behavior::Hang("CONNECT")]).await;
    let first = service.completed("first.mp4").await;
    service
        .database
        .create_notification(first.message.job_id, "job.completed")
        .await
        .expect("a notification");
    let running = service.start(SmtpMailer::new(server(&sink)));
    tokio::time::timeout(TIMEOUT, sink.connected()).await.expect("the first mail on its way");
    service.publish(&service.completed("second.mp4").await).await;
    let recorded = async {
        while service.broker.message_count(Queue::Notification).await.expect("the queue") > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, recorded)
        .await
        .expect("the second outcome is recorded while the first mail hangs");
    running.task.abort();
}

#[tokio::test]
async fn an_outcome_stays_in_the_queue_until_it_is_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    let database =
        Database::sqlite(&directory.path().join("fiapx.db"), Clock::default(), Rules::default())
            .await;
    let database = database.expect("a database without a schema");
    let broker = Arc::new(Embedded::new());
    let from = Sender::parse("fiapx@example.com").expect("a sender");
    let page_url = "https://fiapx.example.com".parse().expect("a URL");
    let mailer = Arc::new(FileMailer::new(directory.path()));
    let notifier =
        Notifier::new(database.clone(), broker.clone(), mailer, from, client(), &page_url);

    let cancelled = Cancelled {
        job_id: JobId::generate(),
        user_id: UserId::generate(),
        filename: String::new(),
    };
    let failed = jobs::message::Failed {
        job_id: cancelled.job_id,
        user_id: cancelled.user_id,
        filename: String::new(),
        error_code: FailureCode::EmptyFile,
        error_message: String::new(),
    };
    let message = Message::new(Event::Failed(failed), database.clock().now(), 0, 3).encode();
    broker
        .publish(&TracedMessage { message, traceparent: None })
        .await
        .expect("a message in the queue");

    let mut subscription = broker.subscribe(Queue::Notification, 1).await.expect("a subscription");
    for left in [1, 0] {
        let delivery = tokio::time::timeout(TIMEOUT, subscription.next())
            .await
            .expect("a message in time")
            .expect("a message");
        notifier.listener.record(delivery).await.expect("the settlement succeeds");
        assert_eq!(broker.message_count(Queue::Notification).await.expect("the queue"), left);
        database.migrate().await.expect("a schema");
    }
}
