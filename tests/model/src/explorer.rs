//! Breadth-first exploration of all states of a model. Every state is visited once, so a
//! counterexample has the least possible number of steps.

use std::fmt::{self, Debug, Display};
use std::hash::Hash;

use crate::numbering::Numbering;

/// System of states and steps.
pub trait Model {
    /// Complete state of the system. Its alternate form describes an initial state.
    type State: Eq + Hash + Display;
    /// Step from one state to another.
    type Action: Copy + Display;
    /// Kind of violation.
    type Violation: Copy + Eq + Debug;

    /// States in which the system may start.
    fn initial_states(&self) -> Vec<Self::State>;

    /// All actions, whether or not a state permits them.
    fn actions(&self) -> Vec<Self::Action>;

    /// State after an action; `None` if the state does not permit it.
    fn next(&self, state: &Self::State, action: Self::Action) -> Option<Self::State>;

    /// Rule that a state violates.
    fn violation(&self, state: &Self::State) -> Option<Self::Violation>;

    /// Whether an action is a fair step: it happens sooner or later if it stays possible, with no
    /// fault and no request of a user.
    fn is_fair(&self, action: Self::Action) -> bool;

    /// Goals that fair steps have to be able to reach from every state, each with the violation
    /// of a state from which they cannot.
    fn goals(&self) -> Vec<Goal<Self::State, Self::Violation>>;
}

/// Goal, and the violation of a state from which no fair steps lead to it.
pub struct Goal<S, V> {
    /// Whether a state satisfies the goal.
    pub is_reached: fn(&S) -> bool,
    /// Violation of a state from which the goal cannot be reached.
    pub violation: V,
}

/// Result of an exploration.
#[derive(Debug)]
pub struct Exploration<V> {
    /// Number of different states.
    pub states: usize,
    /// Number of steps between them.
    pub steps: usize,
    /// Number of steps from an initial state to the farthest state.
    pub depth: usize,
    /// Actions that no state permitted, in words.
    pub unused: Vec<String>,
    /// First violation.
    pub counterexample: Option<Counterexample<V>>,
}

/// Violation and the steps that lead to it.
#[derive(Debug)]
pub struct Counterexample<V> {
    /// Violated rule.
    pub violation: V,
    /// Initial state and steps, in words.
    pub trace: String,
}

impl<V: Debug> Display for Exploration<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, depth, counterexample, .. } = self;
        writeln!(formatter, "{states} states, {steps} steps, depth {depth}")?;
        let Some(Counterexample { violation, trace }) = counterexample else {
            return write!(formatter, "no violation");
        };
        write!(formatter, "{violation:?}:\n{trace}")
    }
}

/// Explore all states of a model up to the first violation.
///
/// # Panics
/// If the model has more than 2^32 - 2 states.
pub fn explore<M: Model>(model: &M) -> Exploration<M::Violation> {
    let mut found = Found::new(model);
    let mut at = 0;
    while at < found.states.values().len() {
        for action in 0..found.actions.len() {
            if let Some(violation) = found.step(at, action) {
                return found.report(Some((violation, found.states.values().len() - 1)));
            }
        }
        found.successors_end.push(found.successors.len() as u32);
        at += 1;
    }
    let dead_end = model.goals().into_iter().find_map(|goal| found.dead_end(&goal));
    found.report(dead_end)
}

/// States found so far, by the order in which they were found.
struct Found<'a, M: Model> {
    model: &'a M,
    /// All actions, and whether a state has permitted them.
    actions: Vec<(M::Action, bool)>,
    states: Numbering<M::State>,
    /// State and action from which each state was found first; `None` for initial states.
    origins: Vec<Option<(u32, M::Action)>>,
    /// Number of steps to each state.
    depths: Vec<u16>,
    /// Successors of the states by fair steps, one state after another.
    successors: Vec<u32>,
    /// End of the successors of each state.
    successors_end: Vec<u32>,
    steps: usize,
}

impl<'a, M: Model> Found<'a, M> {
    fn new(model: &'a M) -> Self {
        let mut found = Self {
            model,
            actions: model.actions().into_iter().map(|action| (action, false)).collect(),
            states: Numbering::new(),
            origins: Vec::new(),
            depths: Vec::new(),
            successors: Vec::new(),
            successors_end: Vec::new(),
            steps: 0,
        };
        for state in model.initial_states() {
            found.number(state, None);
        }
        found
    }

    /// Number of a state, and whether it is new.
    fn number(&mut self, state: M::State, origin: Option<(u32, M::Action)>) -> (u32, bool) {
        let (number, is_new) = self.states.number(state);
        if is_new {
            self.origins.push(origin);
            self.depths.push(origin.map_or(0, |(from, _)| self.depths[from as usize] + 1));
        }
        (number, is_new)
    }

    /// Take an action, and return the violation of a new state.
    fn step(&mut self, from: usize, action: usize) -> Option<M::Violation> {
        let (action, is_used) = &mut self.actions[action];
        let action = *action;
        let next = self.model.next(&self.states.values()[from], action)?;
        *is_used = true;
        self.steps += 1;
        let (number, is_new) = self.number(next, Some((from as u32, action)));
        if self.model.is_fair(action) && number != from as u32 {
            self.successors.push(number);
        }
        if is_new { self.model.violation(&self.states.values()[number as usize]) } else { None }
    }

    /// State from which fair steps cannot reach a goal: the first one without any fair step to
    /// another state, else the first one.
    fn dead_end(&self, goal: &Goal<M::State, M::Violation>) -> Option<(M::Violation, usize)> {
        let mut reaches: Vec<bool> = self.states.values().iter().map(goal.is_reached).collect();
        let successors = |state: usize| {
            let start = state.checked_sub(1).map_or(0, |last| self.successors_end[last]);
            &self.successors[start as usize..self.successors_end[state] as usize]
        };
        // Most steps lead to states that were found later, so few rounds suffice.
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for state in (0..reaches.len()).rev() {
                if !reaches[state] && successors(state).iter().any(|next| reaches[*next as usize]) {
                    reaches[state] = true;
                    has_changed = true;
                }
            }
        }
        let mut dead_ends = (0..reaches.len()).filter(|state| !reaches[*state]);
        let first = dead_ends.clone().next()?;
        let quiescent = dead_ends.find(|state| successors(*state).is_empty());
        Some((goal.violation, quiescent.unwrap_or(first)))
    }

    fn report(&self, violation: Option<(M::Violation, usize)>) -> Exploration<M::Violation> {
        let unused = self.actions.iter().filter(|(_, is_used)| !is_used);
        Exploration {
            unused: unused.map(|(action, _)| action.to_string()).collect(),
            states: self.states.values().len(),
            steps: self.steps,
            depth: self.depths.iter().copied().max().unwrap_or_default().into(),
            counterexample: violation
                .map(|(violation, state)| Counterexample { violation, trace: self.trace(state) }),
        }
    }

    /// Steps to a state, each with the state after it.
    fn trace(&self, mut state: usize) -> String {
        let mut lines = Vec::new();
        while let Some((from, action)) = self.origins[state] {
            let number = self.depths[state];
            lines.push(format!("{number:3}. {action}\n       {}\n", self.states.values()[state]));
            state = from as usize;
        }
        lines.push(format!("  0. start\n       {:#}\n", self.states.values()[state]));
        lines.into_iter().rev().collect()
    }
}
