//! The delivery of one job as a model: all actions, and their effects.

use crate::environment::{Fault, Recovery, Request};
use crate::explorer::{Goal, Model};
use crate::maintenance::Chore;
use crate::rules::{FaultKind, Protocol, Violation};
use crate::system::{System, WORKERS};
use crate::transaction::{Commit, End, only_if};
use crate::worker::WorkerStep;

/// Step of the system, and the course of its COMMIT if it writes to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    pub(crate) step: Step,
    pub(crate) commit: Commit,
}

/// Step of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// One tick passes.
    Tick,
    /// A worker takes a step.
    Work(usize, WorkerStep),
    /// The maintenance takes a step.
    Maintain(Chore),
    /// The user or an operator makes a request.
    Ask(Request),
    /// The database ends a transaction in doubt.
    EndDoubt(End),
    /// A fault ends.
    Recover(Recovery),
    /// A fault happens.
    Suffer(Fault),
}

impl Step {
    /// All steps.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Tick];
        for at in 0..WORKERS {
            all.extend(WorkerStep::ALL.map(|step| Self::Work(at, step)));
        }
        all.extend(Chore::ALL.map(Self::Maintain));
        all.extend(Request::ALL.map(Self::Ask));
        all.extend(End::ALL.map(Self::EndDoubt));
        all.extend(Recovery::ALL.map(Self::Recover));
        all.extend(Fault::ALL.map(Self::Suffer));
        all
    }

    /// Whether the step may be a transaction on the row.
    fn commits(self) -> bool {
        match self {
            Self::Work(_, step) => [
                WorkerStep::Claim,
                WorkerStep::Renew,
                WorkerStep::RecordFailure,
                WorkerStep::Finish,
            ]
            .contains(&step),
            Self::Maintain(chore) => [Chore::Reap, Chore::Expire].contains(&chore),
            Self::Ask(_) => true,
            _ => false,
        }
    }
}

impl Action {
    /// Kind of fault that this action includes.
    fn fault(self, state: &System) -> Option<FaultKind> {
        match self.step {
            // A broker redelivers the message of a consumer that does not answer anymore.
            Step::Suffer(Fault::Redeliver(at)) if state.workers[at].is_paused => None,
            Step::Suffer(fault) => Some(fault.kind()),
            Step::Work(_, WorkerStep::Release) => Some(FaultKind::Shutdown),
            _ if self.commit == Commit::Stalled => Some(FaultKind::Stall),
            _ => None,
        }
    }
}

impl Model for Protocol {
    type State = System;
    type Action = Action;
    type Violation = Violation;

    /// The clock of one worker is behind the database's as far as the bounds allow, and that of the
    /// other one is ahead. The clock of the maintenance is either.
    fn initial_states(&self) -> Vec<System> {
        let error = self.bounds.clock_error;
        [-error, error].map(|maintenance| System::first(self, [-error, error, maintenance])).into()
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for step in Step::all() {
            // Renewals that do not stall are part of a tick.
            if !matches!(step, Step::Work(_, WorkerStep::Renew)) {
                actions.push(Action { step, commit: Commit::Answered });
            }
            if step.commits() {
                actions.push(Action { step, commit: Commit::Stalled });
            }
        }
        actions
    }

    fn next(&self, state: &System, action: Action) -> Option<System> {
        let Action { step, commit } = action;
        let mut next = state.clone();
        if let Some(kind) = action.fault(state) {
            only_if(self.bounds.kinds.contains(&kind))?;
            next.faults = next.faults.checked_sub(1)?;
        }
        match step {
            Step::Tick => next.tick(self),
            Step::Work(at, step) => next.work(self, at, step, commit)?,
            Step::Maintain(chore) => next.maintain(self, chore, commit)?,
            Step::Ask(request) => next.request(self, request, commit)?,
            Step::EndDoubt(end) => next.end_doubt(self, end)?,
            Step::Recover(recovery) => next.recover(recovery)?,
            Step::Suffer(fault) => next.suffer(fault)?,
        }
        next.forget_messages(self);
        Some(next)
    }

    fn violation(&self, state: &System) -> Option<Violation> {
        let is_sought = |found: &Violation| self.sought.is_none_or(|sought| sought == *found);
        state.violations().find(is_sought)
    }

    fn is_fair(&self, action: Action) -> bool {
        let is_fault = matches!(
            action.step,
            Step::Ask(_) | Step::Suffer(_) | Step::Work(_, WorkerStep::Release)
        );
        action.commit == Commit::Answered && !is_fault
    }

    fn goals(&self) -> Vec<Goal<System, Violation>> {
        let goals = [
            Goal { is_reached: System::has_ended, violation: Violation::LostJob },
            Goal { is_reached: System::is_clean, violation: Violation::ArchiveLeft },
        ];
        let is_sought = |goal: &Goal<_, _>| self.sought.is_none_or(|it| it == goal.violation);
        goals.into_iter().filter(is_sought).collect()
    }
}
