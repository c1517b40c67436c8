//! Failure codes: the reasons why an attempt or a job failed, each with its text for users.

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::names::impl_names;

/// Usefulness of another attempt at the same video. [`RetryPolicy`](crate::retry::RetryPolicy)
/// derives pauses and limits from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Every attempt would fail in the same way.
    Never,
    /// The video itself may be the cause, so the attempt counts against the job.
    Charged,
    /// The cause is in the service, so the attempt does not count.
    Free,
}

macro_rules! failure_codes {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $name:literal, retry: $retry:ident, pt: $pt:literal, en: $en:literal;
    )*) => {
        /// Reason why an attempt or a job failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FailureCode {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl FailureCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Stable name in upper snake case, used in the database, in messages and by the HTTP
            /// API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Usefulness of another attempt at the same video.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* }
            }

            /// Text for the user: the problem and its solution, in one or two sentences.
            #[must_use]
            pub const fn user_message(self, language: Language) -> &'static str {
                match (self, language) {
                    $(
                        (Self::$variant, Language::Pt) => $pt,
                        (Self::$variant, Language::En) => $en,
                    )*
                }
            }
        }
    };
}

failure_codes! {
    /// The file has no bytes.
    EmptyFile = "EMPTY_FILE", retry: Never,
        pt: "O arquivo está vazio. Verifique o arquivo e envie-o novamente.",
        en: "The file is empty. Check it and upload it again.";
    /// The first bytes are not those of an accepted container.
    UnsupportedContainer = "UNSUPPORTED_CONTAINER", retry: Never,
        pt: "O arquivo não é um vídeo em formato MP4, MOV, MKV, WebM, AVI, WMV ou FLV. \
             Converta-o para um desses formatos.",
        en: "The file is not a video in MP4, MOV, MKV, WebM, AVI, WMV or FLV format. \
             Convert it to one of these formats.";
    /// The container cannot be read, or nothing in it can be decoded.
    VideoDamaged = "VIDEO_DAMAGED", retry: Never,
        pt: "O vídeo está danificado ou incompleto e não pôde ser lido. \
             Verifique se ele abre em um reprodutor e envie-o novamente.",
        en: "The video is damaged or truncated and could not be read. \
             Check that a player can open it and upload it again.";
    /// The file contains only audio, subtitles or cover art.
    NoVideoStream = "NO_VIDEO_STREAM", retry: Never,
        pt: "O arquivo não contém vídeo, apenas áudio, legendas ou uma capa.",
        en: "The file contains no video, only audio, subtitles or cover art.";
    /// The container declares too many streams.
    TooManyStreams = "TOO_MANY_STREAMS", retry: Never,
        pt: "O arquivo declara faixas demais. Exporte-o apenas com a faixa de vídeo.",
        en: "The file declares too many streams. Export it with the video stream only.";
    /// The codec is unknown, or its stream is rejected.
    FfmpegCodecError = "FFMPEG_CODEC_ERROR", retry: Never,
        pt: "O codec do vídeo não pôde ser decodificado. \
             Converta o vídeo para H.264 e envie-o novamente.",
        en: "The codec of the video could not be decoded. \
             Convert the video to H.264 and upload it again.";
    /// A frame exceeds the limits on its dimensions.
    PictureTooLarge = "PICTURE_TOO_LARGE", retry: Never,
        pt: "Os quadros do vídeo são grandes demais. Reduza a resolução e envie-o novamente.",
        en: "The frames of the video are too large. Reduce its resolution and upload it again.";
    /// The recipe selects no frame of the video.
    NothingSelected = "NOTHING_SELECTED", retry: Never,
        pt: "Nenhum quadro do vídeo corresponde às opções escolhidas: os tempos podem estar fora \
             da duração dele, ou todos os quadros estão em branco ou se repetem. Mude as opções.",
        en: "No frame of the video matches the chosen options: the times may be beyond its \
             duration, or all frames are blank or repeated. Change the options.";
    /// The recipe selects more frames than allowed, as far as the duration that the container
    /// states shows.
    TooManyFrames = "TOO_MANY_FRAMES", retry: Never,
        pt: "As opções pedem mais quadros do que o permitido. \
             Escolha um intervalo maior ou uma parte do vídeo.",
        en: "The options select more frames than allowed. \
             Choose a longer interval or a part of the video.";
    /// The archive would have more frames than allowed.
    VideoTooLong = "VIDEO_TOO_LONG", retry: Never,
        pt: "O vídeo é longo demais. Divida-o em partes e envie cada uma.",
        en: "The video is too long. Split it into parts and upload each of them.";
    /// The archive would be larger than allowed.
    ArchiveTooLarge = "ARCHIVE_TOO_LARGE", retry: Never,
        pt: "O arquivo ZIP com os quadros seria grande demais. \
             Divida o vídeo em partes ou reduza a resolução.",
        en: "The ZIP archive of the frames would be too large. \
             Split the video into parts, or reduce its resolution.";
    /// The archive, or the fetched video, would exceed the storage of its user.
    QuotaExceeded = "QUOTA_EXCEEDED", retry: Never,
        pt: "O vídeo ou o arquivo ZIP com os quadros não cabe no seu espaço de armazenamento. \
             Exclua alguns vídeos, ou escolha menos quadros ou um formato menor, \
             e envie o vídeo de novo.",
        en: "The video or the ZIP archive of its frames does not fit into your storage. \
             Delete some videos, or choose fewer frames or a smaller format, and upload it again.";
    /// The attempt exceeded its time limit.
    ProcessingTimeout = "PROCESSING_TIMEOUT", retry: Charged,
        pt: "O processamento demorou mais do que o permitido. \
             Divida o vídeo em partes ou tente novamente mais tarde.",
        en: "Processing took longer than allowed. \
             Split the video into parts, or try again later.";
    /// The attempt exceeded its memory limit, or the machine had no memory left.
    OutOfMemory = "OUT_OF_MEMORY", retry: Charged,
        pt: "O vídeo precisa de mais memória do que a disponível. \
             Reduza a resolução ou tente novamente mais tarde.",
        en: "The video needs more memory than is available. \
             Reduce its resolution, or try again later.";
    /// The decoder crashed, or its process broke its protocol.
    DecoderCrashed = "DECODER_CRASHED", retry: Charged,
        pt: "O decodificador falha com este vídeo. Converta-o para H.264 e envie-o novamente.",
        en: "The decoder crashes on this video. Convert it to H.264 and upload it again.";
    /// The worker stopped renewing its lease.
    WorkerLost = "WORKER_LOST", retry: Free,
        pt: "O processamento foi interrompido várias vezes. Envie o vídeo novamente; \
             se isso se repetir, converta-o para H.264.",
        en: "Processing was interrupted several times. Upload the video again; \
             if this happens again, convert it to H.264.";
    /// The video could not be read from storage, or the archive could not be written.
    StorageError = "STORAGE_ERROR", retry: Free,
        pt: "Os arquivos não puderam ser lidos ou gravados por um erro no serviço. \
             Envie o vídeo novamente mais tarde.",
        en: "Files could not be read or written because of an error in the service. \
             Upload the video again later.";
    /// The video is not in storage anymore.
    VideoMissing = "VIDEO_MISSING", retry: Never,
        pt: "O vídeo enviado não está mais armazenado. Envie-o novamente.",
        en: "The uploaded video is not stored anymore. Upload it again.";
    /// The server of the video's address did not respond, was too slow, or broke off.
    SourceUnreachable = "SOURCE_UNREACHABLE", retry: Charged,
        pt: "O vídeo não pôde ser obtido do endereço dele: o servidor não respondeu, \
             foi lento demais ou interrompeu a transferência. \
             Verifique o endereço ou tente novamente mais tarde.",
        en: "The video could not be fetched from its address: the server did not respond, \
             was too slow, or broke off. Check the address, or try again later.";
    /// The server of the video's address has no such file for everybody, or the address is not
    /// permitted.
    SourceRefused = "SOURCE_REFUSED", retry: Never,
        pt: "O servidor do endereço não fornece o vídeo, ou o endereço não é permitido. \
             Use um endereço público com https:// que abra sem login.",
        en: "The server of the address does not provide the video, or the address is not \
             permitted. Use a public https:// address that opens without a login.";
    /// The video at the address is larger than allowed.
    SourceTooLarge = "SOURCE_TOO_LARGE", retry: Never,
        pt: "O vídeo do endereço é maior do que o permitido. \
             Divida-o em partes ou reduza a resolução.",
        en: "The video at the address is larger than allowed. \
             Split it into parts, or reduce its resolution.";
    /// The video at the address changed while it was read.
    SourceChanged = "SOURCE_CHANGED", retry: Charged,
        pt: "O vídeo do endereço mudou enquanto era lido. \
             Tente novamente quando ele não mudar mais.",
        en: "The video at the address changed while it was being read. \
             Try again when it does not change anymore.";
    /// An error of the service itself.
    InternalError = "INTERNAL_ERROR", retry: Free,
        pt: "Ocorreu um erro no serviço durante o processamento. \
             Envie o vídeo novamente mais tarde.",
        en: "An error in the service interrupted processing. Upload the video again later.";
}

impl FailureCode {
    /// Whether another attempt at the same video may succeed.
    #[must_use]
    pub fn retry_may_help(self) -> bool {
        self.retry() != Retry::Never
    }
}

impl_names!(FailureCode, UnknownFailureCode, "`{0}` is not a failure code");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable() {
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
                "NOTHING_SELECTED",
                "TOO_MANY_FRAMES",
                "VIDEO_TOO_LONG",
                "ARCHIVE_TOO_LARGE",
                "QUOTA_EXCEEDED",
                "PROCESSING_TIMEOUT",
                "OUT_OF_MEMORY",
                "DECODER_CRASHED",
                "WORKER_LOST",
                "STORAGE_ERROR",
                "VIDEO_MISSING",
                "SOURCE_UNREACHABLE",
                "SOURCE_REFUSED",
                "SOURCE_TOO_LARGE",
                "SOURCE_CHANGED",
                "INTERNAL_ERROR",
            ]
        );
        for code in FailureCode::ALL {
            assert_eq!(code.name().parse(), Ok(*code));
            assert_eq!(serde_json::to_value(code).ok(), Some(code.name().into()));
        }
    }

    #[test]
    fn user_messages_use_frame_as_the_only_term() {
        for code in FailureCode::ALL {
            for language in [Language::Pt, Language::En] {
                let message = code.user_message(language);
                let lower = message.to_lowercase();
                for word in ["picture", "image", "imag", "fotograma"] {
                    assert!(!lower.contains(word), "{code}: {message}");
                }
                // A line continuation without a space would join two words.
                assert!(message.ends_with('.') && !message.contains("  "), "{code}: {message}");
            }
        }
    }
}
