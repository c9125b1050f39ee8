//! What sagas reach, through which everything goes wrong: the cloud, the cluster, the journal.

mod cloud;
mod cluster;
mod journal;

use std::{fmt::Debug, future::pending};

use ::cloud::CloudError;
use optimizer::{
    reach::ReachError,
    saga::{Lease, RunMode},
};
use tokio::time::sleep;

use super::{
    case::Repeated,
    chaos::Fate,
    lies::Lie,
    process::Process,
    world::{Everything, World},
};

pub(super) use journal::Journal;

/// The cloud and the cluster as one process sees them while it has a lease.
#[derive(Clone)]
pub(super) struct Seam {
    pub(super) process: Process,
    pub(super) lease: Lease,
}

/// Why a call is not answered with what it asks for.
enum Failed {
    /// Nothing is heard.
    Unknown(String),
    /// We may not.
    Denied,
}

const DENIED: &str = "the role may not";

impl From<Failed> for CloudError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unknown(message) => Self::Unknown { message },
            Failed::Denied => Self::Denied { message: DENIED.to_owned() },
        }
    }
}

impl From<Failed> for ReachError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unknown(why) => Self::Unknown(why),
            Failed::Denied => Self::Refused(DENIED.to_owned()),
        }
    }
}

impl Seam {
    fn world(&self) -> &World {
        &self.process.world
    }

    fn lies(&self, lie: Lie) -> bool {
        self.world().case.lie == Some(lie)
    }

    async fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut Everything, jiff::Timestamp) -> T,
    ) -> Result<T, Failed> {
        self.process.can_die(&format!("before it reads {what}")).await;
        self.process.travels().await;
        if self.world().chaos.fails() {
            if self.world().chaos.chance(10) {
                self.process.tell(format!("reads {what}: silence"));
                pending::<()>().await;
            }
            self.process.tell(format!("reads {what}: no answer"));
            return Err(Failed::Unknown(format!("no answer: {what}")));
        }
        if self.world().is_denied() {
            self.process.tell(format!("reads {what}: denied"));
            return Err(Failed::Denied);
        }
        let answer = self.world().read(read);
        self.process.travels().await;
        self.process.tell(format!("reads {what}"));
        Ok(answer)
    }

    /// Does something that may be lost, late or done twice.
    async fn change<T: Debug + Send + 'static>(
        &self,
        what: &'static str,
        change: impl Fn(&Seam) -> T + Send + Sync + 'static,
    ) -> Result<T, Failed> {
        self.process.can_die(&format!("before it does: {what}")).await;
        if self.world().is_denied() {
            self.process.tell(format!("does: {what}: denied"));
            return Err(Failed::Denied);
        }
        let fate = match self.world().chaos.fate() {
            // No client repeats it by itself.
            Fate::Twice if what == cloud::END_OLD && self.world().case.repeated == Repeated::ShrinksAgain => {
                Fate::Answered
            }
            fate => fate,
        };
        if fate != Fate::Answered {
            self.process.tell(format!("does: {what}: {fate:?}"));
        }
        let lost = || Err(Failed::Unknown(format!("no answer: {what}")));
        match fate {
            Fate::RequestLost => {
                self.process.travels().await;
                return lost();
            }
            Fate::Silence => pending().await,
            Fate::Late(by) => {
                // It happens also when the process is gone by then.
                let seam = self.clone();
                tokio::spawn(async move {
                    sleep(by).await;
                    let done = seam.does(&change);
                    seam.process.tell(format!("has done, late: {what}: {done:?}"));
                });
                self.process.travels().await;
                return lost();
            }
            Fate::Answered | Fate::Twice | Fate::AnswerLost => {}
        }
        self.process.travels().await;
        let mut answer = self.does(&change);
        self.process.tell(format!("has done: {what}: {answer:?}"));
        self.process.can_die(&format!("after it has done: {what}")).await;
        if fate == Fate::Twice {
            answer = self.does(&change);
        }
        self.process.travels().await;
        if fate == Fate::AnswerLost { lost() } else { Ok(answer) }
    }

    /// Does it. Nobody may do anything for a saga in shadow mode, nor once another process may have taken it over.
    fn does<T>(&self, change: &(impl Fn(&Seam) -> T + Send + Sync)) -> T {
        let row = self.process.log.holds(self.lease);
        if row.mode == RunMode::Shadow {
            self.world().breaks("a saga in shadow mode has changed something".to_owned());
        }
        if !row.is_held && !row.was_released {
            self.world().breaks(format!(
                "something is done with epoch {} after another process has taken the saga over",
                self.lease.epoch
            ));
        }
        change(self)
    }
}
