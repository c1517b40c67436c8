//! The mail server is dead: mails come late, and nothing else does.

use crate::accounting::{LATER, SHORT, WRONG};
use crate::parts::Parts;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mail_server_delays_mails_alone() {
    let mut service = Parts::Servers.start().await;
    service.places.as_mut().expect("it has a mail server").mailbox.stop().await;
    let (ana, rui) = (service.user_of("en").await.account(), service.user_of("pt").await.account());
    for account in [&ana, &rui] {
        let user = account.at(&service);
        user.done(&user.send(SHORT).await).await;
        user.until(&user.send(WRONG).await, &["FAILED"]).await;
    }
    service.quiet().await;
    assert_eq!(service.mails().len(), 0);

    service.places.as_mut().expect("it has a mail server").mailbox.start_again().await;
    service.advance(LATER);
    let letters = service.letters(4).await;
    let subjects: Vec<&str> = letters.iter().map(|letter| letter.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "Não foi possível processar seu vídeo: audio_only.mp4",
            "Seu vídeo está pronto: h264_aac.mp4",
            "Your video could not be processed: audio_only.mp4",
            "Your video is ready: h264_aac.mp4",
        ]
    );
    for letter in letters {
        assert!(!letter.text.is_empty() && letter.html.contains("<html"), "{letter:?}");
    }
}
