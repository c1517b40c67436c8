//! Warnings: facts about a video that affect the use of its archive, each with its text for users.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::Language;

/// Fact about a video that affects the use of its archive.
///
/// As JSON, an object with a `code` and the values below. Codes never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Warning {
    /// The container cannot be read to its end.
    ContainerDamaged {
        /// Description of the error by libav, in English.
        reason: String,
    },
    /// The file ends within an element.
    FileTruncated {
        /// How that is known, as an English phrase.
        reason: String,
        /// End of the video in seconds.
        end_s: f64,
    },
    /// The container marks packets as cut short or damaged.
    PacketsDamaged {
        /// Number of the packets.
        packets: u64,
    },
    /// The video ends elsewhere than its container states.
    EndDiffers {
        /// End of the video in seconds.
        end_s: f64,
        /// End that the container states, in seconds.
        stated_s: f64,
    },
    /// Packets have times that are far from those of their neighbours, and are not used.
    TimesImplausible {
        /// Number of the packets.
        packets: u64,
    },
    /// Timestamps do not predict the frames.
    TimesContradictory,
    /// The index does not lead to the frames, and was not followed.
    IndexContradictory,
    /// The recipe requests times after the end of the video.
    TimesAfterEnd {
        /// Number of the times.
        times: u64,
        /// End of the video in seconds.
        end_s: f64,
    },
    /// The orientation changes during the video.
    OrientationChanges,
    /// The video is to be rotated by an angle that is not a multiple of 90 degrees.
    OrientationSkewed,
    /// A warning of another version of this program.
    Other {
        /// English sentence.
        text: String,
    },
}

impl Warning {
    /// Stable code in upper snake case, as the HTTP API states it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ContainerDamaged { .. } => "CONTAINER_DAMAGED",
            Self::FileTruncated { .. } => "FILE_TRUNCATED",
            Self::PacketsDamaged { .. } => "PACKETS_DAMAGED",
            Self::EndDiffers { .. } => "END_DIFFERS",
            Self::TimesImplausible { .. } => "TIMES_IMPLAUSIBLE",
            Self::TimesContradictory => "TIMES_CONTRADICTORY",
            Self::IndexContradictory => "INDEX_CONTRADICTORY",
            Self::TimesAfterEnd { .. } => "TIMES_AFTER_END",
            Self::OrientationChanges => "ORIENTATION_CHANGES",
            Self::OrientationSkewed => "ORIENTATION_SKEWED",
            Self::Other { .. } => "OTHER",
        }
    }

    /// Text for the user, as a sentence without a capital and a full stop.
    #[must_use]
    pub fn text(&self, language: Language) -> String {
        match language {
            Language::Pt => self.in_portuguese(),
            Language::En => self.in_english(),
        }
    }

    fn in_english(&self) -> String {
        match self {
            Self::ContainerDamaged { reason } => format!("the container is damaged: {reason}"),
            Self::FileTruncated { reason, end_s } => {
                format!("the file is truncated: {reason}; its video ends after {end_s:.3} s")
            }
            Self::PacketsDamaged { packets } => {
                format!("packets cut short or damaged: {packets}")
            }
            Self::EndDiffers { end_s, stated_s } => format!(
                "the video ends after {end_s:.3} s, but its container states {stated_s:.3} s"
            ),
            Self::TimesImplausible { packets } => format!(
                "packets with times more than 30 hours from those before them: {packets}; their \
                 frames have times that follow from the duration of the frames"
            ),
            Self::TimesContradictory => "the timestamps of the video contradict the order of its \
                 frames; from there on, the frames have the times that the ffmpeg command assumes"
                .to_owned(),
            Self::IndexContradictory => {
                "the index of the video contradicts its packets, so the whole file was read"
                    .to_owned()
            }
            Self::TimesAfterEnd { times, end_s } => {
                format!("requested times after the end of the video at {end_s:.3} s: {times}")
            }
            Self::OrientationChanges => {
                "the orientation changes during the video; each frame is rotated by its own"
                    .to_owned()
            }
            Self::OrientationSkewed => "the video is to be rotated by an angle that is not a \
                 multiple of 90 degrees; the frames are stored without rotation"
                .to_owned(),
            Self::Other { text } => text.clone(),
        }
    }

    fn in_portuguese(&self) -> String {
        let seconds = |seconds: &f64| format!("{seconds:.3} s").replace('.', ",");
        match self {
            // The description of libav is not translated.
            Self::ContainerDamaged { reason } => {
                format!("a estrutura do arquivo está danificada (“{reason}”)")
            }
            Self::FileTruncated { end_s, .. } => {
                format!("o arquivo está cortado, e o vídeo termina em {}", seconds(end_s))
            }
            Self::PacketsDamaged { packets } => {
                format!("pacotes cortados ou danificados: {packets}")
            }
            Self::EndDiffers { end_s, stated_s } => format!(
                "o vídeo termina em {}, mas o arquivo informa {}",
                seconds(end_s),
                seconds(stated_s)
            ),
            Self::TimesImplausible { packets } => format!(
                "pacotes com tempos a mais de 30 horas dos anteriores: {packets}; o tempo dos \
                 quadros deles foi calculado pela duração dos quadros"
            ),
            Self::TimesContradictory => "os tempos do vídeo contradizem a ordem dos quadros; a \
                 partir daí, os quadros têm os tempos que o comando ffmpeg usaria"
                .to_owned(),
            Self::IndexContradictory => {
                "o índice do vídeo contradiz o conteúdo, por isso o arquivo inteiro foi lido"
                    .to_owned()
            }
            Self::TimesAfterEnd { times, end_s } => {
                format!("tempos pedidos depois do fim do vídeo, em {}: {times}", seconds(end_s))
            }
            Self::OrientationChanges => {
                "a orientação muda durante o vídeo; cada quadro foi girado conforme a sua"
                    .to_owned()
            }
            Self::OrientationSkewed => "o vídeo pede uma rotação que não é múltipla de 90 graus; \
                 os quadros foram salvos sem rotação"
                .to_owned(),
            Self::Other { text } => text.clone(),
        }
    }

    /// Warnings by their JSON, of which a later version may have written some. `texts` are their
    /// English texts, which stand for those that this version does not know.
    #[must_use]
    pub fn known(details: Vec<Value>, texts: Vec<String>) -> Vec<Self> {
        let mut details = details.into_iter();
        let known = |text| {
            let known = details.next().and_then(|detail| serde_json::from_value(detail).ok());
            known.unwrap_or(Self::Other { text })
        };
        texts.into_iter().map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all() -> [Warning; 11] {
        let reason = || "End of file".to_owned();
        [
            Warning::ContainerDamaged { reason: reason() },
            Warning::FileTruncated { reason: reason(), end_s: 4.25 },
            Warning::PacketsDamaged { packets: 3 },
            Warning::EndDiffers { end_s: 4.25, stated_s: 10.0 },
            Warning::TimesImplausible { packets: 3 },
            Warning::TimesContradictory,
            Warning::IndexContradictory,
            Warning::TimesAfterEnd { times: 2, end_s: 6.0 },
            Warning::OrientationChanges,
            Warning::OrientationSkewed,
            Warning::Other { text: "a later warning".to_owned() },
        ]
    }

    #[test]
    fn codes_are_those_of_the_json() {
        for warning in all() {
            let json = serde_json::to_value(&warning).expect("JSON");
            assert_eq!(json["code"], warning.code());
            let read: Warning = serde_json::from_value(json).expect("a warning");
            assert_eq!(read, warning);
        }
    }

    #[test]
    fn texts_are_stable() {
        let texts = all().map(|warning| {
            let [pt, en] = [Language::Pt, Language::En].map(|language| warning.text(language));
            format!("{}\n  {pt}\n  {en}", warning.code())
        });
        insta::assert_snapshot!("warnings", texts.join("\n"));
    }

    #[test]
    fn warnings_of_other_versions_keep_their_english_text() {
        let texts =
            |number: usize| (0..number).map(|number| format!("text {number}")).collect::<Vec<_>>();
        let other = |number: u32| Warning::Other { text: format!("text {number}") };
        // An earlier version writes texts only.
        assert_eq!(Warning::known(Vec::new(), texts(2)), [other(0), other(1)]);
        let later = json!({ "code": "SOMETHING_NEW", "value": 1 });
        let details = vec![later, json!({ "code": "PACKETS_DAMAGED", "packets": 3 })];
        let packets = Warning::PacketsDamaged { packets: 3 };
        assert_eq!(Warning::known(details, texts(2)), [other(0), packets]);
    }
}
