//! Spreading sessions over the replicas: one that has more than its share sends some of its agents away, a few at a time.

use std::{sync::Arc, time::Duration};

use rand::seq::IndexedRandom;
use store::StoreError;

use super::Directory;
use crate::store::Replica;

/// How often a replica looks whether it has more than its share.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// A session is left alone for so long: its agent may have just been sent here.
const SETTLED: Duration = Duration::from_secs(30);
/// So many percent more than its share a replica may have, since agents come back to any replica.
const TOLERANCE_PERCENT: usize = 10;

impl Directory {
    /// Sends some agents away, so that in `over` all that are too many have been; they go over to another replica before they leave
    /// this one.
    pub(super) async fn balance(&self, own: &Arc<str>, over: Duration) -> Result<(), StoreError> {
        let replicas = self.0.database.replicas().await?;
        let number = to_send_away(&replicas, own, over);
        if number == 0 {
            return Ok(());
        }
        let mut sessions = self.0.registry.all();
        sessions.retain(|session| session.may_be_sent_away(SETTLED));
        let mut rng = rand::rng();
        let chosen: Vec<_> = sessions.sample(&mut rng, number).collect();
        tracing::info!(sessions = chosen.len(), "agents are sent to other replicas, which have fewer");
        metrics::counter!("agent_sessions_sent_away_total").increment(chosen.len() as u64);
        for session in chosen {
            session.send_away(rand::random_range(Duration::ZERO..=LOOK));
        }
        Ok(())
    }
}

/// How many of this replica's sessions are to go now.
fn to_send_away(replicas: &[Replica], own: &str, over: Duration) -> usize {
    let sessions = |replica: &Replica| usize::try_from(replica.sessions).unwrap_or(0);
    let Some(held) = replicas.iter().find(|replica| replica.address == own).map(sessions) else { return 0 };
    let all: usize = replicas.iter().map(sessions).sum();
    let share = all.div_ceil(replicas.len().max(1));
    // Also of a few agents one may be too many.
    let excess = held.saturating_sub(share + (share * TOLERANCE_PERCENT).div_ceil(100));
    let rounds = usize::try_from(over.as_secs() / LOOK.as_secs()).unwrap_or(usize::MAX).max(1);
    excess.div_ceil(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_away(held: &[i64]) -> usize {
        let replica = |(number, &sessions): (usize, &i64)| Replica { address: number.to_string(), sessions };
        let replicas: Vec<Replica> = held.iter().enumerate().map(replica).collect();
        to_send_away(&replicas, "0", Duration::from_mins(1))
    }

    #[test]
    fn a_replica_sends_away_what_it_has_beyond_its_share_over_some_time() {
        assert_eq!(sent_away(&[1000]), 0);
        assert_eq!(sent_away(&[1000, 1000]), 0);
        assert_eq!(sent_away(&[0, 1000]), 0);
        // 600 beyond 400 and a tenth, in twelve rounds.
        assert_eq!(sent_away(&[1000, 200, 0]), 47);
        // Within a tenth.
        assert_eq!(sent_away(&[110, 90, 100]), 0);
        assert_eq!(sent_away(&[2, 0]), 0);
        assert_eq!(sent_away(&[4, 0]), 1);
    }
}
