//! What a seed is about: everything that is decided before it begins.

use std::time::Duration;

use optimizer::saga::RunMode;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::{chaos::Fate, lies::Lie};

/// Below this seed nothing is left to chance: see [`Case::systematic`]. From here on everything is.
pub(super) const SYSTEMATIC: u64 = WAYS * PLACES;
/// What is tried at each place, or each second.
pub(super) const WAYS: u64 = 7;
/// More places than a saga has at which its process can die, more entries than it writes, and more seconds than it takes.
const PLACES: u64 = 300;

/// So long no process is there, where they are away: longer than anything is waited for.
pub(super) const AWAY: Duration = Duration::from_hours(26);

/// The latest that a call comes of which nothing was heard.
const LATE: Duration = Duration::from_millis(9900);

/// What a seed is about.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    /// What its dice are thrown with.
    pub(super) dice: u64,
    pub(super) mode: RunMode,
    /// The least and the greatest size of the group, which is to have three instances.
    pub(super) sizes: (u32, u32),
    /// Which of them is to be replaced.
    pub(super) old: usize,
    /// Whether somebody has cordoned it before.
    pub(super) is_cordoned: bool,
    /// How long a lifecycle hook holds the end of each instance of the group.
    pub(super) hook: Option<Duration>,
    /// From a launch until the instance is to be seen.
    pub(super) visible: Duration,
    /// So many per cent of the spot pools have nothing.
    pub(super) shortage: u32,
    /// Another saga at the same time.
    pub(super) companion: Option<Companion>,
    pub(super) cancel: Cancel,
    /// The only place at which a process dies; by chance when absent.
    pub(super) dies_at: Option<u64>,
    /// In 1/1000, at each place at which a process can die.
    pub(super) deaths: u32,
    /// What becomes of the call with this number, of those that change something.
    pub(super) fate_at: Option<(u64, Fate)>,
    /// In 1/1000, of all calls.
    pub(super) faults: u32,
    /// Whether calls take seconds.
    pub(super) is_slow: bool,
    /// Whether processes are stopped, which is said to them before, and started again.
    pub(super) restarts: bool,
    /// What goes wrong for very long.
    pub(super) lasting: Option<Lasting>,
    /// From then on no process is there for [`AWAY`].
    pub(super) is_away_from: Option<Duration>,
    /// When the loner comes to the old node, and how long it stays.
    pub(super) loner: Option<(Duration, Duration)>,
    /// What comes of ending an instance through its group while it is being ended.
    pub(super) repeated: Repeated,
    /// What the world tells that is not so. Only to see that the laws notice.
    pub(super) lie: Option<Lie>,
}

/// Another saga that is begun a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Companion {
    /// On the same instance, as its user asks for it twice.
    SameInstance,
    /// On another instance of the group.
    SameGroup,
    /// In shadow mode, on the same instance.
    Shadow,
}

/// What comes of ending an instance through its group while it is being ended: AWS does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    Refused,
    DoesNothing,
    /// The group is to have one fewer once more.
    ShrinksAgain,
}

const REPEATED: [Repeated; 3] = [Repeated::Refused, Repeated::DoesNothing, Repeated::ShrinksAgain];

/// What goes wrong for very long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// From then on, for so long or for ever, neither the cloud nor the cluster lets us in: somebody has changed a role.
    Denied { from: Duration, long: Option<Duration> },
    /// From then on no budget allows anything.
    NobodyLeaves { from: Duration },
}

impl Lasting {
    /// Whether it never ends.
    fn is_for_ever(self) -> bool {
        matches!(self, Self::NobodyLeaves { .. } | Self::Denied { long: None, .. })
    }
}

/// When the user cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    Never,
    After(Duration),
    /// While this entry of the journal is written, so that it is heard before the next one.
    AtEntry(usize),
}

impl Case {
    pub(super) fn of(seed: u64) -> Self {
        if seed < SYSTEMATIC { Self::systematic(seed) } else { Self::by_chance(seed) }
    }

    /// A quiet world. One death at each place: of a saga whose group has room, of one whose group has none, and of one that is cancelled when
    /// everything is done that can be undone. A request to cancel at each entry of the journal. One change of which nothing is heard. Nobody
    /// there for very long, from each second on. And a pod that nobody makes anew, five times a second.
    fn systematic(seed: u64) -> Self {
        let (way, place) = (seed % WAYS, seed / WAYS);
        let has_room = match way {
            1 => false,
            3 | 5 => place.is_multiple_of(2),
            _ => true,
        };
        let entry = usize::try_from(place).unwrap();
        let fates = [Fate::Late(LATE), Fate::AnswerLost, Fate::Silence];
        Self {
            seed,
            dice: way,
            mode: RunMode::Live,
            sizes: if has_room { (1, 4) } else { (2, 3) },
            old: 1,
            is_cordoned: false,
            // So that it is still being ended when another call comes for it.
            hook: (way == 4).then_some(Duration::from_secs(30)),
            visible: Duration::ZERO,
            shortage: 0,
            companion: None,
            cancel: match way {
                // The drain is done then.
                2 => Cancel::AtEntry(19),
                3 => Cancel::AtEntry(entry / 2),
                5 if place % 4 < 2 => Cancel::AtEntry(19),
                _ => Cancel::Never,
            },
            dies_at: (way < 3).then_some(place),
            deaths: 0,
            fate_at: (way == 4).then(|| (place / 9, fates[entry / 3 % 3])),
            faults: 0,
            is_slow: false,
            restarts: false,
            lasting: None,
            is_away_from: (way == 5).then(|| Duration::from_secs(place)),
            loner: (way == 6).then(|| (Duration::from_millis(place * 200), Duration::from_mins(1))),
            repeated: REPEATED[entry % 3],
            lie: None,
        }
    }

    pub(super) fn by_chance(seed: u64) -> Self {
        let random = &mut StdRng::seed_from_u64(seed);
        // In the last one there is no room for a change.
        let sizes = *pick(random, &[(1, 4), (3, 4), (2, 3), (1, 4), (3, 4), (2, 3), (1, 4), (2, 3), (3, 3)]);
        let mode = if random.random_bool(0.1) { RunMode::Shadow } else { RunMode::Live };
        let companions = [None, None, None, None, Some(Companion::SameInstance), Some(Companion::SameGroup)];
        let hooks = [None, None, None, None, Some(30), Some(15 * 60), Some(150 * 60)];
        Self {
            seed,
            dice: random.next_u64(),
            mode,
            sizes,
            old: random.random_range(0..3),
            is_cordoned: random.random_bool(0.05),
            hook: pick(random, &hooks).map(Duration::from_secs),
            visible: Duration::from_secs(*pick(random, &[0, 0, 2, 20])),
            shortage: *pick(random, &[0, 0, 0, 30, 30, 100]),
            companion: if random.random_bool(0.1) {
                Some(Companion::Shadow)
            } else {
                *pick(random, &companions)
            },
            cancel: match random.random_range(0..10) {
                0 => Cancel::After(Duration::from_millis(random.random_range(0..60_000))),
                1 | 2 => Cancel::AtEntry(random.random_range(0..30)),
                _ => Cancel::Never,
            },
            dies_at: None,
            fate_at: None,
            deaths: *pick(random, &[0, 5, 20, 60]),
            faults: *pick(random, &[0, 20, 100, 250]),
            is_slow: random.random_bool(0.5),
            restarts: random.random_bool(0.2),
            // Thrown last: seeds that are known for something stay what they are.
            lasting: lasting(random),
            is_away_from: random
                .random_bool(0.05)
                .then(|| Duration::from_millis(random.random_range(0..180_000))),
            repeated: *pick(random, &REPEATED),
            loner: random.random_bool(0.1).then(|| {
                let [after, stays] = [180_000, 300_000].map(|most| random.random_range(0..most));
                (Duration::from_millis(after), Duration::from_millis(stays))
            }),
            lie: None,
        }
    }

    /// Whether something goes wrong that never ends.
    pub(super) fn is_hopeless(&self) -> bool {
        self.lasting.is_some_and(Lasting::is_for_ever)
    }

    /// Whether we are let in after so long.
    pub(super) fn is_denied(&self, after: Duration) -> bool {
        match self.lasting {
            Some(Lasting::Denied { from, long }) => {
                after >= from && long.is_none_or(|long| after - from < long)
            }
            _ => false,
        }
    }

    /// Whether budgets still allow anything after so long.
    pub(super) fn can_leave(&self, after: Duration) -> bool {
        !matches!(self.lasting, Some(Lasting::NobodyLeaves { from }) if after >= from)
    }

    /// Whether every call arrives as soon as it is made, if it does.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_wild() && self.fate_at.is_none()
    }

    /// Whether more than one death or one cancellation goes wrong.
    pub(super) fn is_wild(&self) -> bool {
        self.seed >= SYSTEMATIC
    }
}

fn lasting(random: &mut impl Rng) -> Option<Lasting> {
    let from = Duration::from_millis(random.random_range(0..180_000));
    // Shorter than the phases wait after which there is no way back.
    let minutes = random.random_range(1..90);
    match random.random_range(0..100) {
        0..4 => Some(Lasting::Denied { from, long: Some(Duration::from_mins(minutes)) }),
        4..6 => Some(Lasting::Denied { from, long: None }),
        6..8 => Some(Lasting::NobodyLeaves { from }),
        _ => None,
    }
}

fn pick<'a, T>(random: &mut impl Rng, of: &'a [T]) -> &'a T {
    &of[random.random_range(0..of.len())]
}
