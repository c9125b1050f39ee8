//! What goes wrong, and when.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::Notify, time::sleep};

/// Below this seed, the process dies once, at the place with the seed's number, and nothing else goes wrong.
pub(super) const ONE_DEATH: u64 = 300;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done, and answered.
    Answered,
    /// It comes twice, and is answered once.
    Twice,
    /// It never arrives.
    RequestLost,
    /// It is done; the answer is lost.
    AnswerLost,
    /// Nothing is heard, and it is done so much later.
    Late(Duration),
}

/// The dice of one seed.
pub(super) struct Chaos {
    dice: Mutex<Dice>,
    /// So long a call may take, and what is late with it.
    call: Duration,
}

struct Dice {
    random: StdRng,
    /// How many places there were at which a process can die.
    places: u64,
    /// The place at which it does; by chance when absent.
    dies_at: Option<u64>,
    /// In 1/1000, at each place.
    deaths: u32,
    /// In 1/1000, of all calls.
    faults: u32,
    slow: bool,
    deaths_left: u32,
    is_over: bool,
}

/// A process, as far as it can die.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) chaos: Arc<Chaos>,
    pub(super) dies: Arc<Notify>,
    pub(super) story: super::run::Story,
}

impl Chaos {
    pub(super) fn new(seed: u64, call: Duration) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let one = seed < ONE_DEATH;
        let deaths = if one { 0 } else { [0, 5, 20, 60][random.random_range(0..4)] };
        let faults = if one { 0 } else { [0, 20, 100, 250][random.random_range(0..4)] };
        let slow = !one && random.random_bool(0.5);
        let dice = Dice {
            random,
            places: 0,
            dies_at: one.then_some(seed),
            deaths,
            faults,
            slow,
            deaths_left: 12,
            is_over: false,
        };
        Self { dice: Mutex::new(dice), call }
    }

    /// From now on nothing goes wrong.
    pub(super) fn end(&self) {
        self.dice.lock().unwrap().is_over = true;
    }

    /// Something that is so in one of so many cases.
    pub(super) fn chance(&self, percent: u32) -> bool {
        self.dice.lock().unwrap().random.random_range(0..100) < percent
    }

    pub(super) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.dice.lock().unwrap().random.random_range(from..=to))
    }

    pub(super) fn pick(&self, of: usize) -> usize {
        self.dice.lock().unwrap().random.random_range(0..of)
    }

    /// Whether something that can fail does.
    pub(super) fn fails(&self) -> bool {
        let dice = &mut *self.dice.lock().unwrap();
        !dice.is_over && dice.random.random_range(0..1000) < dice.faults
    }

    pub(super) fn fate(&self) -> Fate {
        if !self.fails() {
            return Fate::Answered;
        }
        let longest = u64::try_from(self.call.as_millis()).unwrap() - 100;
        match self.pick(4) {
            0 => Fate::Twice,
            1 => Fate::RequestLost,
            2 => Fate::AnswerLost,
            _ => Fate::Late(self.millis(1, longest)),
        }
    }

    /// How long a call is on its way.
    fn delay(&self) -> Duration {
        let dice = &mut *self.dice.lock().unwrap();
        let most = if dice.slow && !dice.is_over { 4000 } else { 20 };
        Duration::from_millis(dice.random.random_range(1..=most))
    }

    fn dies(&self) -> bool {
        let dice = &mut *self.dice.lock().unwrap();
        let place = dice.places;
        dice.places += 1;
        if dice.is_over || dice.deaths_left == 0 {
            return false;
        }
        let dies = match dice.dies_at {
            Some(at) => at == place,
            None => dice.random.random_range(0..1000) < dice.deaths,
        };
        dice.deaths_left -= u32::from(dies);
        dies
    }
}

impl Process {
    /// A place at which the process can die. Then it does nothing more, and is taken away.
    pub(super) async fn can_die(&self, place: &str) {
        if self.chaos.dies() {
            self.story.tell(format!("{} dies {place}", self.name));
            self.dies.notify_one();
            pending::<()>().await;
        }
    }

    /// A call is on its way.
    pub(super) async fn travels(&self) {
        sleep(self.chaos.delay()).await;
    }
}
