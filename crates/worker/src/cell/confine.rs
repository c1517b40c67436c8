//! Confinement of a cell, before it receives the first byte of a video.
//!
//! Afterwards the process can only compute, within limits of memory and time, and read and write
//! its two channels. Threads started later, including libav's, inherit the confinement.

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::close;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::protocol::CellLimits;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Drop all privileges. Return the restrictions that the kernel does not support, in plain text;
/// empty if the confinement is complete.
///
/// # Errors
/// A resource limit cannot be set, which no supported kernel refuses.
pub(super) fn confine(limits: &CellLimits) -> io::Result<Vec<String>> {
    set_no_new_privs()?;
    let mut missing = Vec::new();
    // Landlock first, because it opens a file; the system call filter last, because it forbids the
    // calls that the other steps need.
    if let Err(reason) = restrict_access() {
        missing.push(format!("Landlock: {reason}"));
    }
    set_resource_limits(limits)?;
    if let Err(error) = filter_system_calls() {
        missing.push(format!("seccomp: {error}"));
    }
    Ok(missing)
}

/// Make the process the first one that the kernel ends when memory is short, before the worker and
/// its other jobs, and let no process of the same user read its memory (prctl(2),
/// `PR_SET_DUMPABLE`; proc(5), `/proc/pid/oom_score_adj`). Where an API shares the machine, its
/// requests come first: they would otherwise wait for the decoder's threads whenever a job runs.
pub(super) fn separate_from_worker() -> io::Result<()> {
    /// Half of the memory of the machine, in thousandths of it, is added to what a cell uses.
    const OOM_SCORE: &str = "500";
    /// Nice value relative to that of the worker: a third of the time of a normal thread while all
    /// cores are in use (sched(7)).
    const NICENESS: i32 = 5;
    // Where the file is missing, the kernel has no such score. It can be raised without rights, but
    // not by a process that is not dumpable: the file then belongs to root.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    // Where it is refused, the decoder is as urgent as requests.
    let _ = rustix::process::nice(NICENESS);
    Ok(set_dumpable(false)?)
}

/// Close all descriptors except standard input, output and error. The process that started the
/// worker may have left descriptors open that its children inherit.
pub(super) fn close_inherited_descriptors() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|number| number.parse::<i32>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > libc::STDERR_FILENO) {
        // The descriptor of the directory listing is in the list and closed already.
        let _ = close(descriptor);
    }
    Ok(())
}

/// Set the limits that the kernel enforces (getrlimit(2)).
fn set_resource_limits(cell: &CellLimits) -> io::Result<()> {
    let limits = [
        // Private writable memory. Address space that allocators only reserve does not count.
        (Resource::RLIMIT_DATA, cell.memory_bytes),
        (Resource::RLIMIT_CPU, cell.cpu_seconds),
        // The two channels and standard error are open; no other descriptor can be opened.
        (Resource::RLIMIT_NOFILE, 3),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}

/// Forbid access to the file system, TCP ports and other processes (Landlock). Older kernels
/// restrict files only; the system call filter forbids sockets and signals as well.
fn restrict_access() -> Result<(), String> {
    let newest = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(newest))?
            .handle_access(AccessNet::from_all(newest))?
            .scope(Scope::from_all(newest))?
            .create()?
            .restrict_self()
    };
    let status = restrict().map_err(|error| error.to_string())?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("the kernel does not support it or has it disabled".to_owned());
    }
    Ok(())
}

/// Forbid all system calls except those that computing needs.
fn filter_system_calls() -> Result<(), Box<dyn std::error::Error>> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    let forbidden = SeccompAction::Errno(libc::EPERM as u32);
    let allow_list =
        SeccompFilter::new(allowed_calls()?, forbidden, SeccompAction::Allow, architecture)?;
    // The flags of clone3 are in memory, where a filter cannot read them. With ENOSYS the C library
    // starts threads by clone instead.
    let unsupported = SeccompAction::Errno(libc::ENOSYS as u32);
    let without_clone3 = SeccompFilter::new(
        Rules::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        unsupported,
        architecture,
    )?;
    for filter in [without_clone3, allow_list] {
        apply_filter(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// The allowed system calls with the conditions on their arguments, all of which have to hold. None
/// of them can open a file or connection, start a process or affect another one. The number of
/// threads is limited by the worker: see `threads`.
fn allowed_calls() -> Result<Rules, seccompiler::BackendError> {
    let condition = |argument, mask: i32, value: i32| {
        // No 32-bit argument is negative here.
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
    let mut rules: Rules = UNCONDITIONAL.iter().map(|call| (*call, vec![])).collect();
    let conditional = [
        (
            libc::SYS_mmap,
            vec![not_executable.clone(), condition(3, libc::MAP_TYPE, libc::MAP_PRIVATE)?],
        ),
        (libc::SYS_mprotect, vec![not_executable]),
        (libc::SYS_clone, vec![condition(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]),
        (libc::SYS_prctl, vec![equal(0, libc::PR_SET_NAME)?]),
        // abort() sends a signal to its own process.
        (libc::SYS_tgkill, vec![equal(0, std::process::id() as i32)?]),
    ];
    for (call, conditions) in conditional {
        rules.insert(call, vec![SeccompRule::new(conditions)?]);
    }
    Ok(rules)
}

/// System calls that are allowed with any arguments.
const UNCONDITIONAL: &[i64] = &[
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
    // Answered with ENOSYS by the other filter. If both forbade it, the later filter would win.
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
    // Signals to the own process.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Clocks and random numbers.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];
