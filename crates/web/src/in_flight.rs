//! How many of something may be under way at once: of one user, and of all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contracts::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Problem,
    metrics::{Held, refused},
};

/// After so long, too many that are under way are fewer.
pub const BUSY: Duration = Duration::from_secs(1);

/// What is bounded, by which settings.
#[derive(Clone, Copy)]
pub struct Bound {
    /// What there may be so many of, such as `requests`.
    pub what: &'static str,
    /// The gauge that shows what is under way.
    pub gauge: &'static str,
    /// Of all users, and the setting that says so.
    pub max: (u16, &'static str),
    /// Of one user, and the setting that says so.
    pub max_per_user: (u16, &'static str),
}

/// A bound, and what is under way within it.
pub struct InFlight {
    bound: Bound,
    places: Arc<Semaphore>,
    by_user: Mutex<HashMap<String, usize>>,
}

/// The place of one; free again when dropped.
pub struct Place {
    user_id: String,
    in_flight: Arc<InFlight>,
    _place: OwnedSemaphorePermit,
    _counted: Held,
}

impl InFlight {
    /// With nothing under way.
    pub fn new(bound: Bound) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(bound.max.0.into()));
        Arc::new(Self { bound, places, by_user: Mutex::default() })
    }

    /// Takes a place for one of this user.
    ///
    /// # Errors
    /// `rate_limited` when the user has too many under way, `unavailable` when all users together have.
    pub fn enter(self: &Arc<Self>, user_id: &str) -> Result<Place, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            refused(self.bound.max.1);
            let detail = format!("too many {} are under way here; try again", self.bound.what);
            Problem::new(ErrorCode::Unavailable, detail).retry_after(BUSY)
        })?;
        let mut by_user = self.lock();
        let of_user = by_user.entry(user_id.to_owned()).or_default();
        let (max, setting) = self.bound.max_per_user;
        if *of_user >= usize::from(max) {
            refused(setting);
            let detail = format!("you have {max} {} under way; wait for one of them", self.bound.what);
            return Err(Problem::new(ErrorCode::RateLimited, detail).retry_after(BUSY));
        }
        *of_user += 1;
        let counted = Held::new(self.bound.gauge, 1.0);
        let (user_id, in_flight) = (user_id.to_owned(), Arc::clone(self));
        Ok(Place { user_id, in_flight, _place: place, _counted: counted })
    }

    /// No code panics while it holds the lock, so a poisoned one is still good.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.by_user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_user = self.in_flight.lock();
        match by_user.get_mut(&self.user_id) {
            Some(of_user) if *of_user > 1 => *of_user -= 1,
            _ => drop(by_user.remove(&self.user_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let bound =
            Bound { what: "things", gauge: "in_flight", max: (3, "max"), max_per_user: (2, "max_per_user") };
        let in_flight = InFlight::new(bound);
        let code = |problem: Result<Place, Problem>| problem.err().map(|problem| problem.code().clone());
        let first = in_flight.enter("ada").ok();
        let second = in_flight.enter("ada").ok();
        assert_eq!(code(in_flight.enter("ada")), Some(ErrorCode::RateLimited));
        let third = in_flight.enter("bob").ok();
        assert_eq!(code(in_flight.enter("bob")), Some(ErrorCode::Unavailable));
        drop((first, second, third));
        assert_eq!(code(in_flight.enter("ada")), None);
        assert!(in_flight.lock().is_empty(), "nobody is kept who asks nothing");
    }
}
