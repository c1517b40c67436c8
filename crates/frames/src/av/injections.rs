//! Misbehavior of a decoder on demand, for tests of the isolation around it. In builds with the
//! feature `injections`, a packet that ends in `fiapx-test:` and a command of five bytes makes the
//! decoder crash, loop, wait, or try to escape. Builds without the feature do not contain this
//! code.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_long, c_void};
use std::io::Write;
use std::ptr;
use std::thread::{self, ThreadId};
use std::time::Duration;

use ffmpeg_next::ffi;
use parking_lot::Mutex;

use crate::error::Error;

/// Run the command at the end of a packet, if there is one.
pub(super) fn run(data: &[u8]) -> Result<(), Error> {
    let Some((before, command)) = data.split_last_chunk::<5>() else { return Ok(()) };
    if !before.ends_with(b"fiapx-test:") {
        return Ok(());
    }
    match command {
        // SAFETY: unsound on purpose, to crash the process.
        b"crash" => unsafe { ptr::null_mut::<u8>().write_volatile(0) },
        b"spins" => loop {
            std::hint::spin_loop();
        },
        b"waits" => loop {
            thread::park();
        },
        // Otherwise the compiler would remove an allocation that nothing reads.
        b"eats " => loop {
            std::mem::forget(std::hint::black_box(vec![1_u8; 16 << 20]));
        },
        // Messages of maximum size on the channel to which a cell writes its archive.
        b"flood" => loop {
            let message = [vec![1, 0, 0, 16, 0], vec![0; 1 << 20]].concat();
            let _ = std::io::stdout().write_all(&message);
        },
        // The cell misbehaves in place of sending this result.
        [b'@', behavior @ ..] => {
            let behavior = String::from_utf8_lossy(behavior);
            return Err(Error::Codec {
                codec: "test".to_owned(),
                reason: format!("hostile {behavior}"),
            });
        }
        b"flees" => return Err(Error::Codec { codec: "test".to_owned(), reason: try_to_escape() }),
        _ => {}
    }
    Ok(())
}

/// Try to access the system from this thread and from a thread of libav. Return what succeeded.
fn try_to_escape() -> String {
    let (this_thread, libav_thread) = (permitted_calls(), permitted_calls_on_libav_thread());
    let variables = std::env::vars_os().count();
    format!(
        "permitted on this thread {this_thread:?}, on a thread of libav {libav_thread:?}, other \
         open descriptors {:?}, variables {variables}",
        open_descriptors()
    )
}

/// Names of the system calls with effects outside of the process that were not refused.
fn permitted_calls() -> Vec<&'static str> {
    let (file, nothing) = (c"/etc/passwd".as_ptr(), c"/fiapx/nothing".as_ptr());
    let at = c_long::from(libc::AT_FDCWD);
    let (anonymous, shared) =
        (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let executable = libc::PROT_READ | libc::PROT_EXEC;
    // One line per call; a table is longer than a function but has no branches.
    let calls: [(&str, c_long, [c_long; 6]); 17] = [
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
    calls
        .into_iter()
        .filter(|(_, number, arguments)| !is_refused(*number, *arguments))
        .map(|(name, ..)| name)
        .collect()
}

/// Make a system call and return whether the sandbox refused it.
fn is_refused(number: c_long, arguments: [c_long; 6]) -> bool {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the texts are static, and each call is either refused or changes nothing in this
    // process. A forked child exits at once.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if number == libc::SYS_clone && result == 0 {
        // SAFETY: the child does nothing but exit.
        unsafe { libc::_exit(0) };
    }
    let error = std::io::Error::last_os_error().raw_os_error();
    result == -1 && matches!(error, Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
}

/// [`permitted_calls`] on a thread that libav starts for the slices of a frame.
fn permitted_calls_on_libav_thread() -> Vec<&'static str> {
    static FOUND: Mutex<(Vec<ThreadId>, BTreeSet<&str>)> =
        Mutex::new((Vec::new(), BTreeSet::new()));
    unsafe extern "C" fn job(_: *mut ffi::AVCodecContext, _: *mut c_void) -> c_int {
        let calls = permitted_calls();
        let mut found = FOUND.lock();
        found.0.push(thread::current().id());
        found.1.extend(calls);
        drop(found);
        // Keeps this thread from running all jobs, so that the other one runs some.
        thread::sleep(Duration::from_millis(5));
        0
    }
    // SAFETY: a decoder is opened with two threads for slices, runs a function that uses none of
    // its arguments, and is freed.
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
    let mut found = FOUND.lock();
    if found.0.iter().all(|id| *id == thread::current().id()) {
        found.1.insert("no other thread was used");
    }
    found.1.iter().copied().collect()
}

/// Open descriptors other than the standard three and the copies of two of them that a cell makes.
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
