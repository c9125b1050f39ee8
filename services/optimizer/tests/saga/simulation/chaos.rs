//! What goes wrong, and when.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::case::Case;

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
    /// It never arrives, and that is never said.
    Silence,
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
    case: Case,
    /// How many places there were at which a process could die.
    places: u64,
    /// How many calls there were that change something.
    changes: u64,
    deaths_left: u32,
    restarts_left: u32,
    is_over: bool,
    counted: BTreeMap<String, Counted>,
}

/// How often something can have happened, and has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) visits: u64,
    pub(super) deaths: u64,
}

impl Chaos {
    pub(super) fn new(case: &Case, call: Duration) -> Self {
        let dice = Dice {
            random: StdRng::seed_from_u64(case.dice),
            case: case.clone(),
            places: 0,
            changes: 0,
            deaths_left: 12,
            restarts_left: 6,
            is_over: false,
            counted: BTreeMap::new(),
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

    /// Whether something that can fail does.
    pub(super) fn fails(&self) -> bool {
        let dice = &mut *self.dice.lock().unwrap();
        !dice.is_over && dice.random.random_range(0..1000) < dice.case.faults
    }

    /// What becomes of a change.
    pub(super) fn fate(&self) -> Fate {
        if let Some(fate) = self.decided() {
            return fate;
        }
        if !self.fails() {
            return Fate::Answered;
        }
        let longest = u64::try_from(self.call.as_millis()).unwrap() - 100;
        match self.millis(0, 9).as_millis() {
            0 | 1 => Fate::Twice,
            2 | 3 => Fate::RequestLost,
            4 | 5 => Fate::AnswerLost,
            6 => Fate::Silence,
            _ => Fate::Late(self.millis(1, longest)),
        }
    }

    /// What the case has decided for the change that comes next.
    fn decided(&self) -> Option<Fate> {
        let dice = &mut *self.dice.lock().unwrap();
        let number = dice.changes;
        dice.changes += 1;
        dice.case.fate_at.filter(|(at, _)| *at == number).map(|(_, fate)| fate)
    }

    /// How long a call is on its way.
    pub(super) fn delay(&self) -> Duration {
        let dice = &mut *self.dice.lock().unwrap();
        let most = if dice.case.is_slow && !dice.is_over { 4000 } else { 20 };
        Duration::from_millis(dice.random.random_range(1..=most))
    }

    /// How long a process runs until it is stopped and started again; `None` when it is not.
    pub(super) fn restarts_after(&self) -> Option<Duration> {
        let dice = &mut *self.dice.lock().unwrap();
        if dice.case.restarts && dice.case.is_hopeless() {
            // As often as a team deploys, and for as long as anything is tried.
            return Some(Duration::from_mins(dice.random.random_range(10..60)));
        }
        if !dice.case.restarts || dice.is_over || dice.restarts_left == 0 {
            return None;
        }
        dice.restarts_left -= 1;
        Some(Duration::from_millis(dice.random.random_range(100..60_000)))
    }

    /// Whether the process dies at this place.
    pub(super) fn dies(&self, place: &str) -> bool {
        let dice = &mut *self.dice.lock().unwrap();
        let number = dice.places;
        dice.places += 1;
        let may = !dice.is_over && dice.deaths_left > 0;
        let dies = may
            && match dice.case.dies_at {
                Some(at) => at == number,
                None => dice.random.random_range(0..1000) < dice.case.deaths,
            };
        dice.deaths_left -= u32::from(dies);
        if !dice.counted.contains_key(place) {
            dice.counted.insert(place.to_owned(), Counted::default());
        }
        let counted = dice.counted.get_mut(place).unwrap();
        counted.visits += 1;
        counted.deaths += u64::from(dies);
        dies
    }

    /// The places at which processes could die, and how often they did.
    pub(super) fn counted(&self) -> BTreeMap<String, Counted> {
        self.dice.lock().unwrap().counted.clone()
    }
}
