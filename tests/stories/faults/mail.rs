//! The mail server is down: mails are late, and nothing else.

use crate::harness::audit::LATER;
use crate::harness::clips::{SHORT, WRONG};
use crate::harness::parts::Parts;

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_down_delays_only_mails() {
    let mut service = Parts::Servers.start().await;
    service.namespaces.as_mut().expect("it has a mail server").mailbox.stop().await;
    let (ana, rui) = (service.user_of("en").await.account(), service.user_of("pt").await.account());
    for account in [&ana, &rui] {
        let user = account.at(&service);
        user.wait_until_done(&user.upload_clip(SHORT).await).await;
        user.wait_for(&user.upload_clip(WRONG).await, &["FAILED"]).await;
    }
    service.wait_until_idle().await;
    assert_eq!(service.mails().len(), 0);

    service.namespaces.as_mut().expect("it has a mail server").mailbox.start_again().await;
    service.advance(LATER);
    let mails = service.expect_mails(4).await;
    let subjects: Vec<&str> = mails.iter().map(|mail| mail.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "Não foi possível processar seu vídeo: audio_only.mp4",
            "Seu vídeo está pronto: h264_aac.mp4",
            "Your video could not be processed: audio_only.mp4",
            "Your video is ready: h264_aac.mp4",
        ]
    );
    for mail in mails {
        assert!(!mail.text.is_empty() && mail.html.contains("<html"), "{mail:?}");
    }
}
