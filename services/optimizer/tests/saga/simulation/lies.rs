//! What a world tells that is not so, each such that one law is broken: a law that nothing can break says nothing.

/// What a world tells that is not so, or does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// A launch that is repeated is another launch.
    TokensAreIgnored,
    /// What is given back is told to be over.
    GivenBackIsOver,
    /// What is given back runs on.
    GivenBackRunsOn,
    /// What was attached is told to have left its group.
    DetachedIsOut,
    /// A node is told to be uncordoned.
    Uncordoned,
    /// A node is told not to be cordoned.
    NotCordoned,
    /// A node is told to be empty.
    Empty,
    /// A node is told to take work as soon as there is one.
    TakesWork,
    /// The old instance is told to be over.
    OldIsOver,
    /// Budgets are not looked at.
    NoBudgets,
    /// A lease that was lost is renewed.
    LeaseIsKept,
    /// Two sagas may have the same.
    NothingIsTaken,
    /// What is begun as a shadow is begun for real.
    ShadowIsLive,
    /// A saga is to be cancelled that nobody has cancelled.
    IsCancelled,
    /// One that is cancelled passes the point of no return, and is not told of it.
    CancelIsUnheard,
}

/// Each lie, and what the law that it breaks says.
pub(super) const LIES: &[(Lie, &str)] = &[
    (Lie::TokensAreIgnored, "replacements were launched"),
    (Lie::GivenBackIsOver, "left behind"),
    (Lie::GivenBackRunsOn, "the saga does not end"),
    (Lie::DetachedIsOut, "the group is to have"),
    (Lie::Uncordoned, "nodes take work"),
    (Lie::NotCordoned, "is not cordoned, at first it was"),
    (Lie::Empty, "was ended with pods on it"),
    (Lie::TakesWork, "nodes take work"),
    (Lie::OldIsOver, "the old instance runs on"),
    (Lie::NoBudgets, "its budget wants"),
    (Lie::LeaseIsKept, "after another process has taken the saga over"),
    (Lie::NothingIsTaken, "had the group at the same time"),
    (Lie::IsCancelled, "nobody has asked for it"),
    (Lie::CancelIsUnheard, "was cancelled in time"),
    (Lie::ShadowIsLive, "a saga in shadow mode has changed"),
];
