//! How a cell gives up its rights, before it sees the first byte of a video.
//!
//! What is left is to compute, in bounded memory and time, and to read and write the two channels.
//! Threads that start later, those of libav too, inherit that.

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::close;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::wire::Task;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Give up all rights. Gives what the kernel could not take, in words.
///
/// # Errors
/// The limits cannot be set, which no kernel refuses.
pub(super) fn confine(task: &Task) -> io::Result<Vec<String>> {
    set_no_new_privs()?;
    let mut lacking = Vec::new();
    // First, since it opens a file; and last what refuses the calls by which the others are done.
    if let Err(reason) = shut_files() {
        lacking.push(format!("Landlock: {reason}"));
    }
    limit(task)?;
    if let Err(error) = filter_calls() {
        lacking.push(format!("seccomp: {error}"));
    }
    Ok(lacking)
}

/// Close all descriptors but the three usual ones. Whoever started the worker may have left some
/// open for its children.
pub(super) fn close_what_was_inherited() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|number| number.parse::<i32>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > libc::STDERR_FILENO) {
        // The one by which they were listed is closed already.
        let _ = close(descriptor);
    }
    Ok(())
}

/// Limits that the kernel keeps (getrlimit(2)).
fn limit(task: &Task) -> io::Result<()> {
    let limits = [
        // What may be written to of its own memory; what allocators only reserve does not count.
        (Resource::RLIMIT_DATA, task.memory_bytes),
        (Resource::RLIMIT_CPU, task.cpu_seconds),
        // The channels and the error output are open, and nothing more ever is.
        (Resource::RLIMIT_NOFILE, 3),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

/// Shut the file system, TCP ports and other processes. Older kernels know only files; sockets and
/// signals are refused by the filter of calls as well.
fn shut_files() -> Result<(), String> {
    let newest = ABI::V6;
    let shut = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(newest))?
            .handle_access(AccessNet::from_all(newest))?
            .scope(Scope::from_all(newest))?
            .create()?
            .restrict_self()
    };
    let status = shut().map_err(|error| error.to_string())?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("the kernel does not have it, or has it switched off".to_owned());
    }
    Ok(())
}

/// Refuse all system calls but those that computing needs.
fn filter_calls() -> Result<(), Box<dyn std::error::Error>> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let allowed = SeccompFilter::new(allowed()?, refused, SeccompAction::Allow, architecture)?;
    // The flags of clone3 lie in memory, where no filter sees them. Without it, the C library
    // starts threads by clone.
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let old = SeccompFilter::new(
        Rules::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        absent,
        architecture,
    )?;
    for filter in [old, allowed] {
        apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// The calls that are left, each under all of its conditions. They open nothing, connect to
/// nothing, start no process and reach none.
fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let condition = |argument, mask: i32, value: i32| {
        // Arguments of 32 bits are not negative here.
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask as u64),
            value as u64,
        )
    };
    let equal = |argument, value: i32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64)
    };
    let not_executable = condition(2, libc::PROT_EXEC, 0)?;
    let mut rules: Rules = FREE.iter().map(|call| (*call, vec![])).collect();
    let conditional = [
        (
            libc::SYS_mmap,
            vec![not_executable.clone(), condition(3, libc::MAP_TYPE, libc::MAP_PRIVATE)?],
        ),
        (libc::SYS_mprotect, vec![not_executable]),
        (libc::SYS_clone, vec![condition(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]),
        (libc::SYS_prctl, vec![equal(0, libc::PR_SET_NAME)?]),
        // Aborting is a signal to oneself.
        (libc::SYS_tgkill, vec![equal(0, std::process::id() as i32)?]),
    ];
    for (call, conditions) in conditional {
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    Ok(rules)
}

/// Calls that are allowed whatever their arguments.
const FREE: &[i64] = &[
    // The channels.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads.
    // Refused by a filter of its own; of two refusals, that of the later filter would count.
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals to oneself.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Time and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];
