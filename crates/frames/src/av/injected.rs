//! What a decoder might do to whoever runs it, done on demand: in builds for tests, a packet that
//! ends in `fiapx-test:` and one of these words makes the decoder crash, spin, and so on. Nothing
//! of this is in a build without the feature `injections`.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_long, c_void};
use std::io::Write;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ffmpeg_next::ffi;

use crate::Error;

/// Do what a packet's last bytes ask for, if they ask for something. What comes back is what the
/// decoder says of it.
pub(super) fn obey(data: &[u8]) -> Result<(), Error> {
    let Some((before, word)) = data.split_last_chunk::<5>() else { return Ok(()) };
    if !before.ends_with(b"fiapx-test:") {
        return Ok(());
    }
    match word {
        // SAFETY: none; that is the point.
        b"crash" => unsafe { ptr::null_mut::<u8>().write_volatile(0) },
        b"spins" => loop {
            std::hint::spin_loop();
        },
        b"eats " => loop {
            std::mem::forget(vec![1_u8; 16 << 20]);
        },
        // What a cell writes its archive to, in frames as long as they may be.
        b"flood" => loop {
            let frame = [vec![1, 0, 0, 16, 0], vec![0; 1 << 20]].concat();
            let _ = std::io::stdout().write_all(&frame);
        },
        b"flees" => return Err(Error::Codec { codec: "test".to_owned(), reason: flee() }),
        _ => {}
    }
    Ok(())
}

/// Try to get out, from this thread and from one of libav's own. Says what was possible.
fn flee() -> String {
    let (here, there) = (possible(), possible_on_a_thread_of_libav());
    let variables = std::env::vars_os().count();
    format!(
        "possible here {here:?}, on a thread of libav {there:?}, open besides {:?}, variables {variables}",
        open_descriptors()
    )
}

/// The calls that are not refused, of those by which a process reaches beyond itself.
fn possible() -> Vec<&'static str> {
    let (file, nothing) = (c"/etc/passwd".as_ptr(), c"/fiapx/nothing".as_ptr());
    let at = c_long::from(libc::AT_FDCWD);
    let (anonymous, shared) =
        (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let executable = libc::PROT_READ | libc::PROT_EXEC;
    let tries: [(&str, c_long, [c_long; 6]); 17] = [
        ("open", libc::SYS_openat, [at, file as c_long, 0, 0, 0, 0]),
        (
            "create",
            libc::SYS_openat,
            [at, nothing as c_long, c_long::from(libc::O_CREAT | libc::O_WRONLY), 0o600, 0, 0],
        ),
        ("link", libc::SYS_readlinkat, [at, file as c_long, 0, 0, 0, 0]),
        (
            "socket",
            libc::SYS_socket,
            [c_long::from(libc::AF_INET), c_long::from(libc::SOCK_STREAM), 0, 0, 0, 0],
        ),
        (
            "local socket",
            libc::SYS_socket,
            [c_long::from(libc::AF_UNIX), c_long::from(libc::SOCK_STREAM), 0, 0, 0, 0],
        ),
        ("exec", libc::SYS_execve, [nothing as c_long, 0, 0, 0, 0, 0]),
        ("fork", libc::SYS_clone, [c_long::from(libc::SIGCHLD), 0, 0, 0, 0, 0]),
        ("fork anew", libc::SYS_clone3, [0; 6]),
        ("trace", libc::SYS_ptrace, [c_long::from(libc::PTRACE_PEEKUSER), 0, 0, 0, 0, 0]),
        ("read another's memory", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0, 0]),
        ("signal", libc::SYS_kill, [1, 0, 0, 0, 0, 0]),
        ("raise a limit", libc::SYS_prlimit64, [0; 6]),
        (
            "leave a namespace",
            libc::SYS_unshare,
            [c_long::from(libc::CLONE_NEWUSER), 0, 0, 0, 0, 0],
        ),
        ("file in memory", libc::SYS_memfd_create, [file as c_long, 0, 0, 0, 0, 0]),
        ("ring", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]),
        (
            "new code",
            libc::SYS_mmap,
            [0, 4096, c_long::from(executable), c_long::from(anonymous), -1, 0],
        ),
        (
            "shared memory",
            libc::SYS_mmap,
            [0, 4096, c_long::from(libc::PROT_READ), c_long::from(shared), -1, 0],
        ),
    ];
    let refused = |(_, number, [a, b, c, d, e, f]): &(&str, c_long, [c_long; 6])| {
        // SAFETY: the texts live for ever, and each call either is refused or changes nothing here
        // but for a child, which ends at once.
        let result = unsafe { libc::syscall(*number, *a, *b, *c, *d, *e, *f) };
        if *number == libc::SYS_clone && result == 0 {
            // SAFETY: ending the child is all that is done in it.
            unsafe { libc::_exit(0) };
        }
        let error = std::io::Error::last_os_error().raw_os_error();
        result == -1 && matches!(error, Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
    };
    tries.iter().filter(|attempt| !refused(attempt)).map(|(name, ..)| *name).collect()
}

/// As [`possible`], on a thread that libav starts for the slices of a picture.
fn possible_on_a_thread_of_libav() -> Vec<&'static str> {
    static FOUND: Mutex<(Vec<ThreadId>, BTreeSet<&str>)> =
        Mutex::new((Vec::new(), BTreeSet::new()));
    unsafe extern "C" fn job(_: *mut ffi::AVCodecContext, _: *mut c_void) -> c_int {
        let calls = possible();
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        found.0.push(thread::current().id());
        found.1.extend(calls);
        drop(found);
        // Long enough for the other thread to get a turn.
        thread::sleep(Duration::from_millis(5));
        0
    }
    // SAFETY: a decoder is opened with two threads for slices, asked to run a function that uses
    // none of its arguments, and freed.
    unsafe {
        let mut context = ffi::avcodec_alloc_context3(ffi::avcodec_find_decoder(
            ffi::AVCodecID::AV_CODEC_ID_MPEG2VIDEO,
        ));
        (*context).thread_count = 2;
        (*context).thread_type = ffi::FF_THREAD_SLICE;
        ffi::avcodec_open2(context, ptr::null(), ptr::null_mut());
        if let Some(execute) = (*context).execute {
            execute(context, Some(job), ptr::null_mut(), ptr::null_mut(), 32, 0);
        }
        ffi::avcodec_free_context(&raw mut context);
    }
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if found.0.iter().all(|id| *id == thread::current().id()) {
        found.1.insert("nothing was tried");
    }
    found.1.iter().copied().collect()
}

/// The descriptors that something can be read from or written to, beyond the three usual ones and a
/// second number for two of them.
fn open_descriptors() -> Vec<c_int> {
    let is_open = |descriptor: &c_int| {
        // SAFETY: no byte is read or written.
        let results = unsafe {
            [libc::read(*descriptor, ptr::null_mut(), 0), libc::write(*descriptor, ptr::null(), 0)]
        };
        results.contains(&0)
    };
    (5..1024).filter(is_open).collect()
}
