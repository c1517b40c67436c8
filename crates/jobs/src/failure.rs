//! Why a job failed: one list of codes that never change their names, each with the words that its
//! user reads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Language;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, retry: $retry:literal, pt: $pt:literal, en: $en:literal;)*) => {
        /// Why a job failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FailureCode {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl FailureCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name, in upper snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether the same video may succeed at another time or on another machine.
            #[must_use]
            pub const fn retry_may_help(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }

            /// What happened and what the user can do, in one or two sentences.
            #[must_use]
            pub const fn words(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$variant, Language::Pt) => $pt, (Self::$variant, Language::En) => $en,)*
                }
            }
        }
    };
}

codes! {
    /// The file has no bytes.
    EmptyFile = "EMPTY_FILE", retry: false,
        pt: "O arquivo está vazio. Verifique o arquivo e envie-o novamente.",
        en: "The file is empty. Check it and upload it again.";
    /// The first bytes are not those of an accepted container.
    UnsupportedContainer = "UNSUPPORTED_CONTAINER", retry: false,
        pt: "O arquivo não é um vídeo em formato MP4, MOV, MKV, WebM, AVI, WMV ou FLV. Converta-o para um desses formatos.",
        en: "The file is not a video in MP4, MOV, MKV, WebM, AVI, WMV or FLV format. Convert it to one of these.";
    /// The container cannot be read, or nothing in it can be decoded.
    VideoDamaged = "VIDEO_DAMAGED", retry: false,
        pt: "O vídeo está danificado ou incompleto e não pôde ser lido. Verifique se ele abre em um reprodutor e envie-o novamente.",
        en: "The video is damaged or cut off and could not be read. Check that a player can open it and upload it again.";
    /// Only sound, subtitles or cover art.
    NoVideoStream = "NO_VIDEO_STREAM", retry: false,
        pt: "O arquivo não contém vídeo, apenas som, legendas ou uma capa.",
        en: "The file holds no video, only sound, subtitles or a cover picture.";
    /// The container declares too many streams.
    TooManyStreams = "TOO_MANY_STREAMS", retry: false,
        pt: "O arquivo declara faixas demais. Exporte-o apenas com a faixa de vídeo.",
        en: "The file declares too many streams. Export it with the video alone.";
    /// The codec is unknown or its stream is refused.
    FfmpegCodecError = "FFMPEG_CODEC_ERROR", retry: false,
        pt: "O codec do vídeo não pôde ser decodificado. Converta o vídeo para H.264 e envie-o novamente.",
        en: "The video's codec could not be decoded. Convert the video to H.264 and upload it again.";
    /// A picture exceeds the limits.
    PictureTooLarge = "PICTURE_TOO_LARGE", retry: false,
        pt: "As imagens do vídeo são grandes demais. Reduza a resolução e envie-o novamente.",
        en: "The pictures of the video are too large. Reduce its resolution and upload it again.";
    /// More pictures than one archive may hold.
    VideoTooLong = "VIDEO_TOO_LONG", retry: false,
        pt: "O vídeo é longo demais. Divida-o em partes e envie cada uma.",
        en: "The video is too long. Cut it into parts and upload each.";
    /// The archive would be larger than one may be.
    ArchiveTooLarge = "ARCHIVE_TOO_LARGE", retry: false,
        pt: "O arquivo ZIP das imagens seria grande demais. Divida o vídeo em partes ou reduza a resolução.",
        en: "The archive of the pictures would be too large. Cut the video into parts, or reduce its resolution.";
    /// An attempt took longer than it may.
    ProcessingTimeout = "PROCESSING_TIMEOUT", retry: true,
        pt: "O processamento demorou mais do que o permitido. Divida o vídeo em partes ou tente novamente mais tarde.",
        en: "Processing took longer than is allowed. Cut the video into parts, or try again later.";
    /// Memory ran out.
    OutOfMemory = "OUT_OF_MEMORY", retry: true,
        pt: "O vídeo precisa de mais memória do que há disponível. Reduza a resolução ou tente novamente mais tarde.",
        en: "The video needs more memory than there is. Reduce its resolution, or try again later.";
    /// The decoder crashed, or was taken over.
    DecoderCrashed = "DECODER_CRASHED", retry: true,
        pt: "O vídeo interrompe o decodificador. Converta-o para H.264 e envie-o novamente.",
        en: "The video breaks the decoder. Convert it to H.264 and upload it again.";
    /// The worker vanished while it had the job.
    WorkerLost = "WORKER_LOST", retry: true,
        pt: "O processamento foi interrompido várias vezes. Se isso se repetir, converta o vídeo para H.264 e envie-o novamente.",
        en: "Processing was interrupted several times. If this happens again, convert the video to H.264 and upload it again.";
    /// The video could not be read from storage, or the archive not written.
    StorageError = "STORAGE_ERROR", retry: true,
        pt: "Os arquivos não puderam ser lidos ou gravados por uma falha nossa. Envie o vídeo novamente mais tarde.",
        en: "Files could not be read or written, which is our fault. Upload the video again later.";
    /// The video is not in storage any more.
    VideoMissing = "VIDEO_MISSING", retry: false,
        pt: "O vídeo enviado não está mais armazenado. Envie-o novamente.",
        en: "The uploaded video is not stored any more. Upload it again.";
    /// A fault of the service itself.
    InternalError = "INTERNAL_ERROR", retry: true,
        pt: "Houve uma falha nossa no processamento. Envie o vídeo novamente mais tarde.",
        en: "Something went wrong on our side. Upload the video again later.";
}

impl FailureCode {
    /// Whether the video itself may have ended the attempt so, and would end every other.
    #[must_use]
    pub const fn may_be_poison(self) -> bool {
        matches!(
            self,
            Self::DecoderCrashed | Self::OutOfMemory | Self::ProcessingTimeout | Self::WorkerLost
        )
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no failure code")]
pub struct UnknownCode(String);

impl FromStr for FailureCode {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.name() == name)
            .ok_or_else(|| UnknownCode(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_change() {
        let names: Vec<&str> = FailureCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(
            names,
            [
                "EMPTY_FILE",
                "UNSUPPORTED_CONTAINER",
                "VIDEO_DAMAGED",
                "NO_VIDEO_STREAM",
                "TOO_MANY_STREAMS",
                "FFMPEG_CODEC_ERROR",
                "PICTURE_TOO_LARGE",
                "VIDEO_TOO_LONG",
                "ARCHIVE_TOO_LARGE",
                "PROCESSING_TIMEOUT",
                "OUT_OF_MEMORY",
                "DECODER_CRASHED",
                "WORKER_LOST",
                "STORAGE_ERROR",
                "VIDEO_MISSING",
                "INTERNAL_ERROR",
            ]
        );
        for code in FailureCode::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            assert_eq!(serde_json::to_value(code).ok(), Some(code.name().into()));
        }
    }
}
