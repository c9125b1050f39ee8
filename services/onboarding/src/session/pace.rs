//! How fast agents are let in: when thousands come back at once, queries to those that have stayed go on beside them, and the database,
//! which all replicas share, has time for others.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};
use web::metrics::refused;

/// So long an agent waits for its turn; it waits for its connection a little longer.
const PATIENCE: Duration = Duration::from_secs(12);
/// After a pause so many may come at once.
const BURST: u32 = 50;
/// So many sessions are opened at a time. Where the turns come faster than sessions can be opened, each opening would take longer
/// than its agent waits for it, and in the end all work would be done for agents that have given up.
const AT_ONCE: usize = 64;

/// Turns, one after the other at even distances, and no faster than those who had theirs get on.
pub(crate) struct Pace {
    /// Of one replica that is alone.
    gap: Duration,
    next: Mutex<Instant>,
    openings: Arc<Semaphore>,
}

/// An agent's turn: dropped when its session needs no more work of this process and the database.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        Self {
            gap: Duration::from_secs(1) / per_second.get(),
            next: Mutex::new(now),
            openings: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Waits for a turn of one of so many replicas; `None` when too many wait already.
    pub(super) async fn turn(&self, replicas: u32) -> Option<Turn> {
        let turn = self.wait(replicas).await;
        if turn.is_none() {
            refused("connects_per_second");
        }
        turn
    }

    async fn wait(&self, replicas: u32) -> Option<Turn> {
        let now = Instant::now();
        sleep_until(self.reserve(now, replicas)?).await;
        timeout_at(now + PATIENCE, Arc::clone(&self.openings).acquire_owned()).await.ok()?.ok()
    }

    fn reserve(&self, now: Instant, replicas: u32) -> Option<Instant> {
        let gap = self.gap * replicas;
        // No code panics while it holds the lock, so a poisoned one is still good.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.checked_sub(gap * (BURST / replicas)).map_or(*next, |earliest| earliest.max(*next));
        if turn > now + PATIENCE {
            return None;
        }
        *next = turn + gap;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_even_distances_after_a_burst() {
        let now = Instant::now() + Duration::from_secs(100);
        let pace = Pace::new(NonZeroU32::new(100).unwrap(), Instant::now());
        let turns: Vec<Instant> = std::iter::from_fn(|| pace.reserve(now, 1)).collect();
        let waits = |turn: &Instant| turn.saturating_duration_since(now);
        assert_eq!(turns.iter().filter(|turn| waits(turn).is_zero()).count(), BURST as usize + 1);
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(10)));
        // Whoever would wait for too long is told at once.
        assert_eq!(turns.last().map(waits), Some(PATIENCE));
        assert!(pace.reserve(now + Duration::from_secs(1), 1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_no_sooner_than_one_before_it_is_over() {
        let pace = Pace::new(NonZeroU32::new(1000).unwrap(), Instant::now());
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(pace.turn(1).await.unwrap());
        }
        // Whoever waits for longer than its agent is refused.
        let began = Instant::now();
        assert!(pace.turn(1).await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        turns.pop();
        assert!(pace.turn(1).await.is_some());
    }

    #[test]
    fn replicas_share_the_turns() {
        let now = Instant::now() + Duration::from_secs(100);
        let pace = Pace::new(NonZeroU32::new(100).unwrap(), Instant::now());
        let turns: Vec<Instant> = std::iter::from_fn(|| pace.reserve(now, 4)).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(40)));
    }
}
